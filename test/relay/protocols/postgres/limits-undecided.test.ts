// While rows are decided over: what is withheld, and what becomes of them when client or server goes away.
import { MAX_WITHHELD_BYTES } from '@gate/relay/protocols/postgres/withholding'
import t from 'tap'
import { begun, counting, deleted, go, seen, tooMany } from '../../../support/counting.ts'
import { allowAll, Harness, maskedPlan } from '../../../support/machine.ts'
import { client, server, types } from '../../../support/wire.ts'

t.test('more rows than can be withheld are refused', async t => {
  const faults: unknown[] = []
  const harness = new Harness(
    counting(question => {
      faults.push(question.fault)
      return tooMany
    }),
  )
  harness.client(client.query('delete from t returning x'))
  harness.target(begun)
  const row = server.dataRow(['x'.repeat(1024 * 1024)])
  for (let sent = 0; sent <= MAX_WITHHELD_BYTES; sent += row.length) harness.target(row)
  harness.target(deleted(17))
  t.match(faults, [/withheld/])
  harness.target(Buffer.concat([server.complete('ROLLBACK'), server.ready()]))
  t.equal(types(harness.trace.toClient), 'EZ')
})

t.test('masked rows of RETURNING are withheld like others, and masked when they are shown', async t => {
  const plan = { ...maskedPlan, counted: 1 }
  for (const allows of [true, false]) {
    const harness = new Harness(question => {
      if (question.kind === 'rows') return 'later'
      return question.kind === 'query' ? { kind: 'go', plans: [plan] } : allowAll(question)
    })
    harness.client(client.query('delete from t returning c1'))
    harness.target(begun)
    harness.target(
      Buffer.concat([
        server.rowDescription([{ name: 'c1', table: 1000, column: 1 }]),
        server.dataRow(['secret']),
        deleted(1),
      ]),
    )
    t.equal(seen(harness), '')
    harness.settle(harness.waiting[0] ?? -1, allows ? go : tooMany)
    harness.target(Buffer.concat([server.complete(allows ? 'COMMIT' : 'ROLLBACK'), server.ready()]))
    t.notMatch(harness.trace.toClient.toString('latin1'), 'secret')
    t.equal(seen(harness), allows ? 'TDCZ' : 'EZ')
  }
})

t.test('a client that goes away while its rows are decided over withdraws them', async t => {
  const ways = {
    simple: client.query('delete from t'),
    extended: Buffer.concat([client.parse('', 'delete from t'), client.bind('', ''), client.execute(''), client.sync]),
  }
  for (const [name, bytes] of Object.entries(ways)) {
    const harness = new Harness(counting(() => 'later'))
    harness.client(bytes)
    if (name === 'simple') harness.target(Buffer.concat([begun, deleted(9)]))
    else harness.target(Buffer.concat([server.parseComplete, server.bindComplete, server.complete('DELETE 9')]))
    const sent = harness.trace.toTarget.length
    harness.client(null)
    t.same(harness.trace.forgotten, harness.waiting, name)
    t.same(harness.trace.ended, ['target'])
    t.equal(harness.trace.toTarget.length, sent, 'no COMMIT and no Sync')
    t.match(harness.trace.outcomes, name === 'simple' ? [] : [{ status: 'ROLLED BACK' }])
    harness.settle(harness.waiting[0] ?? -1, go)
    t.equal(harness.trace.toTarget.length, sent, 'an approval that comes too late changes nothing')
  }
})

t.test('a client that goes away while its rows are still being counted is not asked for', async t => {
  const harness = new Harness(counting(() => go))
  harness.client(client.query('delete from t'))
  harness.target(begun)
  const sent = harness.trace.toTarget.length
  harness.client(null)
  harness.target(deleted(9))
  t.equal(harness.trace.toTarget.length, sent)
  t.notOk(harness.trace.questions.some(({ kind }) => kind === 'rows'))
})

t.test(
  'a server that ends while rows are decided over: its last words are passed on, and the request is withdrawn',
  async t => {
    const harness = new Harness(counting(() => 'later'))
    harness.client(client.query('delete from t'))
    harness.target(Buffer.concat([begun]))
    harness.target(deleted(9).subarray(0, -6))
    t.ok(harness.machine.wants('target'), 'its end has to be seen')
    harness.target(server.error('57P01', 'terminating connection', { S: 'FATAL', V: 'FATAL' }))
    harness.target(null)
    t.same(harness.trace.forgotten, harness.waiting)
    t.equal(types(harness.trace.toClient), 'E')
    t.same(harness.trace.ended, ['client'])
    t.same(harness.trace.outcomes, [{ command: 1, status: 'ROLLED BACK', rows: undefined }])
  },
)

t.test(
  'while rows are decided over, words of gate reach the client, and what the server sends does not pile up',
  async t => {
    const harness = new Harness(counting(() => 'later'))
    harness.client(client.query('delete from t returning x'))
    harness.target(begun)
    harness.target(
      Buffer.concat([server.rowDescription([{ name: 'x' }]), server.dataRow(['x']), server.complete('DELETE 1')]),
    )
    harness.machine.tell(server.notice('waiting'))
    harness.flush()
    t.equal(seen(harness), 'N')
    harness.target(Buffer.concat(Array.from({ length: 70 }, () => server.notice('x'.repeat(1000)))))
    t.notOk(harness.machine.wants('target'))
  },
)
