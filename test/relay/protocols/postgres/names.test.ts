// What the names of prepared statements mean: what the server has under them, once it has said so.
import t from 'tap'
import { allowAll, Harness } from '../../../support/machine.ts'
import { client, server } from '../../../support/wire.ts'

t.test('the same name in a later segment is looked up only when the earlier one is answered', async t => {
  const seen: (string | undefined)[] = []
  const harness = new Harness(question => {
    if (question.kind === 'execute') seen.push(question.prepared?.text)
    return allowAll(question)
  })
  harness.client(Buffer.concat([client.parse('a', 'select masked'), client.sync]))
  harness.target(Buffer.concat([server.parseComplete, server.ready()]))
  // The second Parse of the same name fails at the server: what runs is the first one.
  harness.client(
    Buffer.concat([
      client.parse('a', 'select harmless'),
      client.sync,
      client.bind('', 'a'),
      client.execute(''),
      client.sync,
    ]),
  )
  t.same(seen, [], 'nothing is decided before it is known what the name means')
  harness.target(Buffer.concat([server.error('42P05', 'prepared statement "a" already exists'), server.ready()]))
  t.same(seen, ['select masked'])
})

t.test('names beyond 63 bytes are one name, as they are for the server', async t => {
  const seen: (string | undefined)[] = []
  const harness = new Harness(question => {
    if (question.kind === 'execute') seen.push(question.prepared?.text)
    return allowAll(question)
  })
  const name = 'n'.repeat(63)
  harness.client(Buffer.concat([client.parse(`${name}1`, 'select one'), client.sync]))
  harness.target(Buffer.concat([server.parseComplete, server.ready()]))
  harness.client(Buffer.concat([client.close('S', `${name}2`), client.parse(`${name}3`, 'select three'), client.sync]))
  harness.target(Buffer.concat([server.closeComplete, server.parseComplete, server.ready()]))
  harness.client(Buffer.concat([client.bind('', `${name}1`), client.execute(''), client.sync]))
  t.same(seen, ['select three'])
})

t.test('a simple query drops the unnamed statement', async t => {
  const seen: unknown[] = []
  const harness = new Harness(question => {
    if (question.kind === 'execute') seen.push(question.prepared)
    return allowAll(question)
  })
  harness.client(Buffer.concat([client.parse('', 'select 1'), client.sync]))
  harness.target(Buffer.concat([server.parseComplete, server.ready()]))
  harness.client(client.query('select 2'))
  harness.target(Buffer.concat([server.complete('SELECT 1'), server.ready()]))
  harness.client(Buffer.concat([client.bind('', ''), client.execute(''), client.sync]))
  t.same(seen, [undefined])
})

t.test('a simple query that the server skips after an error leaves the unnamed statement', async t => {
  const seen: (string | undefined)[] = []
  const harness = new Harness(question => {
    if (question.kind === 'execute') seen.push(question.prepared?.text)
    return allowAll(question)
  })
  harness.client(Buffer.concat([client.parse('', 'select 1'), client.sync]))
  harness.target(Buffer.concat([server.parseComplete, server.ready()]))
  harness.client(Buffer.concat([client.bind('', 'nowhere'), client.query('select 2'), client.sync]))
  harness.target(Buffer.concat([server.error('26000', 'prepared statement "nowhere" does not exist'), server.ready()]))
  harness.client(Buffer.concat([client.bind('', ''), client.execute(''), client.sync]))
  t.same(seen, ['select 1'])
})
