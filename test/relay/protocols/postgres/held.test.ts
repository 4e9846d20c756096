// Commands that wait for people: what comes behind them, and what withdraws them.
import t from 'tap'
import { allowAll, clearPlan, Harness } from '../../../support/machine.ts'
import { client, messages, server, types } from '../../../support/wire.ts'

t.test('while a command waits, later ones wait behind it and the target side goes on', async t => {
  const harness = new Harness(question =>
    question.kind === 'query' && question.text.toString() === 'held' ? 'later' : allowAll(question),
  )
  harness.client(Buffer.concat([client.query('first'), client.query('held'), client.query('after')]))
  t.equal(types(harness.trace.toTarget), 'Q')
  harness.target(Buffer.concat([server.notice('still alive'), server.complete('SELECT 1'), server.ready()]))
  t.equal(types(harness.trace.toClient), 'NCZ')
  harness.settle(harness.waiting[0] ?? -1, { kind: 'go', plans: [clearPlan] })
  t.equal(types(harness.trace.toTarget), 'QQQ')
  t.match(messages(harness.trace.toTarget)[1]?.body.toString(), 'held')
})

t.test('a client that sends on and on behind a held command is not read any more', async t => {
  const harness = new Harness(() => 'later')
  harness.client(client.query('held'))
  t.ok(harness.machine.wants('client'), 'a disconnect has to be seen')
  harness.client(client.query('x'.repeat(60_000)))
  let chunks = 0
  while (harness.machine.wants('client')) {
    harness.client(client.query('y'.repeat(60_000)))
    chunks += 1
    if (chunks > 1000) break
  }
  t.ok(chunks < 30, `stopped after ${chunks} chunks`)
})

t.test('a client that goes away while its command is held withdraws it, and nothing is sent', async t => {
  const harness = new Harness(() => 'later')
  harness.client(client.query('delete from everything'))
  harness.client(null)
  t.same(harness.trace.forgotten, harness.waiting)
  t.equal(harness.trace.toTarget.length, 0)
  t.same(harness.trace.ended, ['target'])
  harness.settle(harness.waiting[0] ?? -1, { kind: 'go', plans: [clearPlan] })
  t.equal(harness.trace.toTarget.length, 0, 'an approval that comes too late changes nothing')
})

t.test('an error of an earlier command withdraws one that is held behind it in the same pipeline', async t => {
  let questions = 0
  const harness = new Harness(question => {
    questions += 1
    return question.kind === 'execute' && questions > 3 ? 'later' : allowAll(question)
  })
  harness.client(
    Buffer.concat([
      client.parse('', 'select 1/0'),
      client.bind('', ''),
      client.execute(''),
      client.parse('', 'delete from t'),
      client.bind('', ''),
      client.execute(''),
    ]),
  )
  t.equal(harness.waiting.length, 1)
  harness.target(Buffer.concat([server.parseComplete, server.bindComplete, server.error('22012', 'division by zero')]))
  t.same(harness.trace.forgotten, harness.waiting)
  harness.client(client.sync)
  t.equal(types(harness.trace.toTarget), 'PBEPBS')
  harness.target(server.ready())
  t.equal(types(harness.trace.toClient), '12EZ')
})
