// Row limits over the extended protocol, and those of COPY FROM STDIN: the server says the number, and the Sync waits.
import t from 'tap'
import { begun, counting, go, seen, texts, tooMany } from '../../../support/counting.ts'
import { Harness } from '../../../support/machine.ts'
import { client, messages, server, types } from '../../../support/wire.ts'

t.test('an Execute is followed by a Flush, and the Sync waits', async t => {
  const pipeline = Buffer.concat([
    client.parse('', 'select 1'),
    client.bind('', ''),
    client.execute(''),
    client.parse('', 'delete from t returning x'),
    client.bind('', ''),
    client.execute(''),
    client.parse('', 'select 2'),
    client.bind('', ''),
    client.execute(''),
    client.sync,
  ])
  const upToCount = Buffer.concat([
    server.parseComplete,
    server.bindComplete,
    server.complete('SELECT 1'),
    server.parseComplete,
    server.bindComplete,
    server.dataRow(['secret']),
    server.complete('DELETE 1'),
  ])
  await t.test('allowed: everything goes on', async t => {
    const harness = new Harness(counting(() => 'later'))
    harness.client(pipeline)
    t.equal(types(harness.trace.toTarget), 'PBEPBEH')
    harness.target(upToCount)
    t.equal(seen(harness), '12C12')
    t.equal(types(harness.trace.toTarget), 'PBEPBEH', 'also while it is decided')
    harness.settle(harness.waiting[0] ?? -1, go)
    t.equal(seen(harness), 'DC')
    t.equal(types(harness.trace.toTarget), 'PBEPBEHPBES')
    t.match(harness.trace.outcomes.at(-1), { status: 'DELETE 1', rows: 1 })
    harness.target(
      Buffer.concat([server.parseComplete, server.bindComplete, server.complete('SELECT 1'), server.ready()]),
    )
    t.equal(seen(harness), '12CZ')
  })
  await t.test('refused: the server fails and skips the rest', async t => {
    const harness = new Harness(counting(() => tooMany))
    harness.client(pipeline)
    harness.target(upToCount)
    const sent = messages(harness.trace.toTarget)
    t.equal(sent.map(({ type }) => type).join(''), 'PBEPBEHES')
    t.equal(sent[7]?.body.toString('latin1', 0, 11), 'unguessable')
    t.equal(seen(harness), '12C12')
    harness.target(Buffer.concat([server.error('34000', 'portal does not exist'), server.ready()]))
    t.match(harness.trace.toClient.toString('latin1'), 'too many rows')
    t.equal(seen(harness), 'EZ')
    t.match(harness.trace.outcomes.at(-1), { status: 'ROLLED BACK', rows: undefined })
  })
  await t.test('an error before it in its segment skips it', async t => {
    const harness = new Harness(counting(() => go))
    harness.client(pipeline)
    harness.target(Buffer.concat([server.parseComplete, server.bindComplete, server.error('22012', 'no')]))
    t.equal(types(harness.trace.toTarget), 'PBEPBEHS', 'the client is not blocked any more')
    harness.target(server.ready())
    t.equal(seen(harness), '12EZ')
    t.match(harness.trace.outcomes.at(-1), { status: 'SKIPPED' })
  })
  await t.test('a part of the rows is no number of rows', async t => {
    const faults: unknown[] = []
    const harness = new Harness(
      counting(question => {
        faults.push(question.fault)
        return tooMany
      }),
    )
    harness.client(
      Buffer.concat([
        client.parse('', 'delete from t returning x'),
        client.bind('', ''),
        client.execute('', 1),
        client.sync,
      ]),
    )
    harness.target(Buffer.concat([server.parseComplete, server.bindComplete, server.dataRow(['x']), server.suspended]))
    t.match(faults, [/fetch size/])
    harness.target(Buffer.concat([server.error('34000', 'no portal'), server.ready()]))
    t.equal(seen(harness), '12EZ')
  })
})

t.test(
  'a simple query after extended messages without a Sync is refused: nobody knows whether a transaction is open',
  async t => {
    const harness = new Harness(counting(() => go))
    harness.client(
      Buffer.concat([
        client.parse('', 'begin'),
        client.bind('', ''),
        client.execute(''),
        client.query('delete from t'),
      ]),
    )
    t.notMatch(texts(harness.trace.toTarget), ['delete from t'])
    harness.target(
      Buffer.concat([
        server.parseComplete,
        server.bindComplete,
        server.complete('BEGIN'),
        server.error('42601', 'syntax error'),
        server.ready('E'),
      ]),
    )
    t.equal(types(harness.trace.toClient), '12CEZ')
    t.match(harness.trace.toClient.toString('latin1'), 'without a Sync')
  },
)

t.test('COPY FROM STDIN is counted when its data are there', async t => {
  await t.test('simple', async t => {
    const harness = new Harness(counting(() => go))
    harness.client(client.query('copy t from stdin'))
    harness.target(begun)
    harness.target(server.copyIn)
    t.equal(seen(harness), 'G')
    harness.client(Buffer.concat([client.copyData('1\n'), client.copyDone, client.query('select 1')]))
    t.equal(types(harness.trace.toTarget), 'QQdc')
    harness.target(Buffer.concat([server.complete('COPY 1'), server.ready('T')]))
    harness.target(Buffer.concat([server.complete('COMMIT'), server.ready()]))
    t.equal(seen(harness), 'CZ')
    t.equal(texts(harness.trace.toTarget).at(-1), 'select 1')
  })
  await t.test('extended', async t => {
    const harness = new Harness(counting(() => tooMany))
    harness.client(
      Buffer.concat([client.parse('', 'copy t from stdin'), client.bind('', ''), client.execute(''), client.sync]),
    )
    harness.target(Buffer.concat([server.parseComplete, server.bindComplete, server.copyIn]))
    harness.client(Buffer.concat([client.copyData('1\n'), client.copyDone, client.sync]))
    t.equal(types(harness.trace.toTarget), 'PBEHdcH', 'a Flush makes the server say the number; the Sync waits')
    harness.target(server.complete('COPY 1'))
    harness.target(Buffer.concat([server.error('34000', 'no portal'), server.ready()]))
    t.equal(seen(harness), '12GEZ')
  })
  await t.test('anything else meanwhile ends the session', async t => {
    const harness = new Harness(counting(() => go))
    harness.client(client.query('copy t from stdin'))
    harness.target(begun)
    harness.target(server.copyIn)
    t.throws(() => harness.client(client.query('select 1')), { code: 'ERR_GATE_PROTOCOL' })
  })
})
