// Everyday requests of well-known clients while fields are masked: a refusal without need sends people around the gate.
import t from 'tap'
import { refusalOf } from '../../../support/http-refusals.ts'
import { legitimateRequests } from '../../../support/legitimate-http.ts'

const patterns = ['data.users.email', 'customers.cards.pan', '**.email', '**.phone', '**.vin', '**.ssn']

for (const [who, requests] of Object.entries(legitimateRequests))
  t.test(`requests of ${who} pass`, async t => {
    for (const [method, target, type, body] of requests) {
      const request = {
        method,
        target,
        ...(type === undefined ? {} : { type }),
        ...(body === undefined ? {} : { body }),
      }
      t.equal(refusalOf(request, patterns), undefined, `${method} ${target} ${body ?? ''}`)
    }
  })
