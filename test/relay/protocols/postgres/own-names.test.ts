// Which names stand for what the open transaction has made.
import { OwnNames, type Step } from '@gate/relay/protocols/postgres/own-names'
import t from 'tap'

const made = (schema: string | undefined, name: string): Step => ({
  kind: 'made',
  making: { schema, name, temporary: false, moved: false },
})
const path = { changed: false, role: 'service' }

t.test('what a transaction made', async t => {
  const names = new OwnNames([made('apart', 'one'), made('public', 'two'), made(undefined, 'three')])
  const has = (schema: string | undefined, name: string): boolean => names.has({ schema, name }, path)
  t.ok(has('apart', 'one'))
  t.notOk(has(undefined, 'one'), 'in another schema')
  t.ok(has(undefined, 'two'))
  t.ok(has('public', 'three'))
  t.notOk(has('apart', 'three'))
  for (const step of [{ kind: 'savepoint', savepoint: 's' }, made('public', 'four')] as const) names.take(step)
  t.ok(has('public', 'four'))
  names.take({ kind: 'back', savepoint: 's' })
  t.notOk(has('public', 'four'), 'rolled back')
  t.ok(has('public', 'two'))
  names.take({ kind: 'gone', name: { schema: 'public', name: 'two' } })
  t.notOk(has('public', 'two'), 'dropped')
  names.take({ kind: 'back', savepoint: 'unknown' })
  t.notOk(has('apart', 'one'), 'before a savepoint that is not known')
})
