// What a command waits for, and what a cancel request finds of it: nothing more when the waiting has failed.

import { Waits } from '@gate/relay/protocols/postgres/waits'
import { GateError } from '@gate/shared/errors'
import t from 'tap'

const failure = new GateError('ERR_GATE_RECORD', 'the disk is full')

t.test('a command that waited and failed is not there to be cancelled', async t => {
  const waits = new Waits()
  const answer = Promise.reject(failure)
  const waiting = waits.cancellable(answer, given => given)
  t.ok(waits.cancelWaiting())
  await t.rejects(waiting, { code: 'ERR_GATE_RECORD' })
  t.notOk(waits.cancelWaiting())
})

t.test('a held command is withdrawn once; released, it is not there any more', t => {
  const waits = new Waits()
  const hold = new AbortController()
  t.notOk(waits.cancelHold())
  waits.held(hold)
  t.ok(waits.cancelHold())
  t.ok(waits.released(hold))
  t.notOk(waits.cancelHold())
  t.notOk(waits.released(hold))
  t.end()
})
