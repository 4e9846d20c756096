// COPY FROM STDIN: data pass, and nothing else does while the server reads them.
import t from 'tap'
import { allowAll, Harness } from '../../../support/machine.ts'
import { client, server, types } from '../../../support/wire.ts'

t.test(
  'COPY IN: data pass, Sync and Flush in between are ignored as the server does, and the end is answered',
  async t => {
    const harness = new Harness()
    harness.client(
      Buffer.concat([client.parse('', 'copy t from stdin'), client.bind('', ''), client.execute(''), client.sync]),
    )
    harness.target(Buffer.concat([server.parseComplete, server.bindComplete, server.copyIn]))
    harness.client(
      Buffer.concat([client.copyData('1\n'), client.flush, client.copyData('2\n'), client.copyDone, client.sync]),
    )
    t.equal(types(harness.trace.toTarget), 'PBESddcS', 'libpq ends with Sync; the first Sync was consumed by the COPY')
    harness.target(Buffer.concat([server.complete('COPY 2'), server.ready()]))
    t.equal(types(harness.trace.toClient), '12GCZ')
    harness.client(client.query('select 1'))
    harness.target(Buffer.concat([server.complete('SELECT 1'), server.ready()]))
    t.equal(types(harness.trace.toClient), '12GCZCZ')
  },
)

t.test(
  'a command in the middle of COPY IN ends the session, whether it comes before or after the server asks',
  async t => {
    for (const command of [client.parse('a', 'select harmless'), client.query('select 1'), client.execute('')]) {
      const after = new Harness()
      after.client(client.query('copy t from stdin'))
      after.target(server.copyIn)
      t.throws(() => after.client(Buffer.concat([client.copyData('1\n'), command])), { code: 'ERR_GATE_PROTOCOL' })
      const before = new Harness()
      before.client(Buffer.concat([client.query('copy t from stdin'), command]))
      t.throws(() => before.target(server.copyIn), { code: 'ERR_GATE_PROTOCOL' })
      const held = new Harness(question => (question.kind === 'execute' ? 'later' : allowAll(question)))
      held.client(Buffer.concat([client.query('copy t from stdin'), client.execute('')]))
      t.throws(() => held.target(server.copyIn), { code: 'ERR_GATE_PROTOCOL' })
    }
  },
)

t.test('COPY IN over the simple protocol, aborted from either side', async t => {
  const harness = new Harness()
  harness.client(client.query('copy t from stdin'))
  harness.target(server.copyIn)
  harness.client(Buffer.concat([client.copyData('1\n'), client.copyFail('changed my mind')]))
  harness.target(Buffer.concat([server.error('57014', 'COPY from stdin failed'), server.ready()]))
  t.equal(types(harness.trace.toClient), 'GEZ')
  harness.client(client.query('copy t from stdin'))
  harness.target(server.copyIn)
  harness.client(client.copyData('bad\n'))
  harness.target(Buffer.concat([server.error('22P02', 'invalid input syntax'), server.ready()]))
  harness.client(Buffer.concat([client.copyData('more\n'), client.copyDone]))
  harness.client(client.query('select 1'))
  harness.target(Buffer.concat([server.complete('SELECT 1'), server.ready()]))
  t.equal(types(harness.trace.toClient), 'GEZGEZCZ', 'data that come after the error mean nothing')
})
