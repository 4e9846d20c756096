// Row limits over the simple protocol: what gate adds, in a transaction of its own and in the client's, and what a refusal leaves behind.
import type { Answer } from '@gate/relay/protocols/postgres/questions'
import t from 'tap'
import { begun, counting, deleted, go, seen, texts, tooMany } from '../../../support/counting.ts'
import { Harness } from '../../../support/machine.ts'
import { client, errorFields, messages, server, types } from '../../../support/wire.ts'

t.test('a counted query outside a transaction runs in one of gate', async t => {
  const counts: unknown[] = []
  const harness = new Harness(
    counting(question => {
      counts.push(question.counts)
      return go
    }),
  )
  harness.client(Buffer.concat([client.query('delete from t'), client.query('select 1')]))
  t.same(texts(harness.trace.toTarget), ['BEGIN'], 'the query waits for the transaction')
  harness.target(begun)
  t.same(texts(harness.trace.toTarget), ['BEGIN', 'delete from t'], 'what follows waits')
  harness.target(deleted(7))
  t.same(counts, [[{ command: 1, rows: 7 }]])
  t.same(texts(harness.trace.toTarget), ['BEGIN', 'delete from t', 'COMMIT'])
  t.equal(seen(harness), '', 'nothing is shown before it is committed')
  t.same(harness.trace.outcomes, [])
  harness.target(Buffer.concat([server.complete('COMMIT'), server.ready()]))
  t.equal(seen(harness), 'CZ')
  t.same(harness.trace.outcomes, [{ command: 1, status: 'DELETE 7', rows: 7 }])
  t.equal(texts(harness.trace.toTarget).at(-1), 'select 1')
  harness.target(Buffer.concat([server.complete('SELECT 1'), server.ready()]))
  t.equal(seen(harness), 'CZ')
})

t.test('a refused one is rolled back, with its rows and what followed it', async t => {
  const harness = new Harness(counting(() => tooMany))
  harness.client(client.query('delete from t returning x; select 2'))
  harness.target(begun)
  harness.target(
    Buffer.concat([
      server.rowDescription([{ name: 'x' }]),
      server.dataRow(['secret']),
      server.complete('DELETE 1'),
      server.rowDescription([{ name: 'y' }]),
      server.dataRow(['two']),
      server.complete('SELECT 1'),
      server.notification('news', 'kept'),
      server.ready('T'),
    ]),
  )
  t.equal(texts(harness.trace.toTarget).at(-1), 'ROLLBACK')
  t.equal(seen(harness), 'A', 'what the server says beside its answers is not lost')
  harness.target(Buffer.concat([server.complete('ROLLBACK'), server.ready()]))
  t.equal(types(harness.trace.toClient), 'EZ')
  const [error, ready] = messages(harness.trace.toClient)
  t.match(errorFields(error ?? { type: '', body: Buffer.alloc(0) }), { C: '42501', M: 'gate: too many rows' })
  t.equal(ready?.body.toString(), 'I')
  t.same(
    harness.trace.outcomes.map(({ command, status, rows }) => [command, status, rows]),
    [
      [1, 'ROLLED BACK', undefined],
      [2, 'ROLLED BACK', undefined],
    ],
  )
})

t.test('the statements of one query are counted together, and asked about once', async t => {
  const asked: unknown[] = []
  const harness = new Harness(
    counting(question => {
      asked.push(question.counts)
      return go
    }),
  )
  harness.client(client.query('select 0; delete from a; select 1; delete from b; select 2'))
  harness.target(begun)
  harness.target(Buffer.concat([server.complete('SELECT 1'), server.complete('DELETE 3')]))
  t.equal(seen(harness), 'C', 'what comes before the first counted statement is shown at once')
  harness.target(Buffer.concat([server.complete('SELECT 1'), server.complete('DELETE 4')]))
  t.same(asked, [
    [
      { command: 2, rows: 3 },
      { command: 4, rows: 4 },
    ],
  ])
  t.equal(seen(harness), 'CCC', 'what comes after the last one is shown as it comes')
  harness.target(Buffer.concat([server.complete('SELECT 1'), server.ready('T')]))
  t.equal(seen(harness), '', 'but for the last completion, which waits for the commit')
  harness.target(Buffer.concat([server.complete('COMMIT'), server.ready()]))
  t.equal(seen(harness), 'CZ')
})

t.test('an error at COMMIT takes the place of the completion', async t => {
  const harness = new Harness(counting(() => go))
  harness.client(client.query('delete from t'))
  harness.target(begun)
  harness.target(deleted(1))
  harness.target(Buffer.concat([server.error('23503', 'deferred constraint'), server.ready()]))
  t.equal(types(harness.trace.toClient), 'EZ')
  t.match(harness.trace.toClient.toString('latin1'), 'deferred constraint')
  t.same(harness.trace.outcomes, [{ command: 1, status: '23503', rows: undefined }])
  harness.client(client.query('select 1'))
  t.equal(texts(harness.trace.toTarget).at(-1), 'select 1')
})

t.test("the statement's own error is shown, and gate's transaction is rolled back", async t => {
  const harness = new Harness(counting(() => go))
  harness.client(client.query('delete from t; delete from u'))
  harness.target(begun)
  harness.target(Buffer.concat([server.complete('DELETE 2'), server.error('42P01', 'no table'), server.ready('E')]))
  t.equal(texts(harness.trace.toTarget).at(-1), 'ROLLBACK')
  t.equal(types(harness.trace.toClient), 'E')
  harness.target(Buffer.concat([server.complete('ROLLBACK'), server.ready()]))
  t.equal(types(harness.trace.toClient), 'EZ')
  t.same(
    harness.trace.outcomes.map(({ command, status }) => [command, status]),
    [
      [1, 'ROLLED BACK'],
      [2, '42P01'],
    ],
  )
})

t.test('cancel requests that hit gate’s own statements leave no transaction open', async t => {
  const cancelled = server.error('57014', 'canceling statement due to user request')
  await t.test('BEGIN: nothing of the query is sent', async t => {
    const harness = new Harness(counting(() => go))
    harness.client(client.query('delete from t'))
    harness.target(Buffer.concat([cancelled, server.ready()]))
    t.same(texts(harness.trace.toTarget), ['BEGIN'])
    t.equal(types(harness.trace.toClient), 'EZ')
    t.same(harness.trace.outcomes, [{ command: 1, status: '57014', rows: undefined }])
    harness.client(client.query('select 1'))
    t.equal(texts(harness.trace.toTarget).at(-1), 'select 1')
  })
  await t.test('COMMIT and ROLLBACK: gate rolls back until it is done', async t => {
    const harness = new Harness(counting(() => go))
    harness.client(client.query('delete from t'))
    harness.target(begun)
    harness.target(deleted(1))
    harness.target(Buffer.concat([cancelled, server.ready('E')]))
    harness.target(Buffer.concat([cancelled, server.ready('E')]))
    t.same(texts(harness.trace.toTarget).slice(2), ['COMMIT', 'ROLLBACK', 'ROLLBACK'])
    harness.target(Buffer.concat([server.complete('ROLLBACK'), server.ready()]))
    t.equal(types(harness.trace.toClient), 'EZ', 'the client sees one error')
  })
})

t.test('inside a transaction of the client nothing is added', async t => {
  const inTransaction = (answer: Answer): Harness => {
    const harness = new Harness(counting(() => answer))
    harness.client(client.query('begin'))
    harness.target(begun)
    seen(harness)
    harness.client(Buffer.concat([client.query('delete from t'), client.query('select 1')]))
    return harness
  }
  await t.test('allowed: the answer is shown then', async t => {
    const harness = inTransaction(go)
    t.same(texts(harness.trace.toTarget), ['begin', 'delete from t'])
    harness.target(deleted(5))
    t.equal(seen(harness), 'CZ')
    t.equal(texts(harness.trace.toTarget).at(-1), 'select 1')
  })
  await t.test('refused: the server fails, so the transaction is aborted', async t => {
    const harness = inTransaction(tooMany)
    harness.target(deleted(5))
    t.same(texts(harness.trace.toTarget), ['begin', 'delete from t', 'refused_by_gate', 'select 1'])
    t.equal(seen(harness), '')
    harness.target(Buffer.concat([server.error('42601', 'syntax error'), server.ready('E')]))
    const [error, ready] = messages(harness.trace.toClient)
    t.match(errorFields(error ?? { type: '', body: Buffer.alloc(0) }), { C: '42501' })
    t.equal(ready?.body.toString(), 'E')
    t.match(harness.trace.outcomes.at(-1), { status: 'ROLLED BACK' })
  })
  await t.test('refused, and a later statement failed by itself: one error', async t => {
    const harness = new Harness(counting(() => tooMany))
    harness.client(client.query('begin'))
    harness.target(begun)
    seen(harness)
    harness.client(client.query('delete from t; select 1/0'))
    harness.target(
      Buffer.concat([server.complete('DELETE 5'), server.error('22012', 'division by zero'), server.ready('E')]),
    )
    t.equal(types(harness.trace.toClient), 'EZ')
    t.match(harness.trace.toClient.toString('latin1'), 'too many rows')
  })
})

t.test('a counted query waits until it is known whether a transaction is open', async t => {
  const harness = new Harness(counting(() => go))
  harness.client(Buffer.concat([client.query('begin'), client.query('delete from t')]))
  t.same(texts(harness.trace.toTarget), ['begin'])
  harness.target(begun)
  t.same(texts(harness.trace.toTarget), ['begin', 'delete from t'])
})
