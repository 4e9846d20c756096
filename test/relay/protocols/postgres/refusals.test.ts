// Refused commands: nothing of them reaches the server, and what the client gets in their place comes in its turn.
import { unparsable } from '@gate/relay/protocols/postgres/unreadable'
import t from 'tap'
import { allowAll, Harness, refusal } from '../../../support/machine.ts'
import { client, errorFields, messages, server, types } from '../../../support/wire.ts'

t.test('a refused query never reaches the target, and its error comes in its place', async t => {
  const harness = new Harness(question =>
    question.kind === 'query' && question.text.toString().includes('secret') ? refusal('not that') : allowAll(question),
  )
  harness.client(Buffer.concat([client.query('select 1'), client.query('select secret'), client.query('select 3')]))
  t.notMatch(harness.trace.toTarget.toString('latin1'), 'secret')
  t.equal(types(harness.trace.toTarget), 'QQQ', 'the server still answers three queries')
  const one = Buffer.concat([server.complete('SELECT 1'), server.ready('T')])
  harness.target(one)
  harness.target(Buffer.concat([server.error('42601', 'syntax error at or near "refused_by_gate"'), server.ready('E')]))
  harness.target(Buffer.concat([server.error('25P02', 'current transaction is aborted'), server.ready('E')]))
  const seen = messages(harness.trace.toClient)
  t.equal(seen.map(({ type }) => type).join(''), 'CZEZEZ')
  const [, , refused, status] = seen
  t.match(errorFields(refused ?? { type: '', body: Buffer.alloc(0) }), { C: '42501', M: 'not that' })
  t.equal(status?.body.toString(), 'E', 'the transaction status is the one that the server says')
})

t.test('of text that gate cannot read the server says what is wrong, unless it finds nothing wrong', async t => {
  const text = "select 'no end"
  const answer = {
    ...refusal('unterminated'),
    failing: unparsable(Buffer.from(text), undefined, 'unterminated quoted string'),
  }
  const answered = (position: string | undefined): Record<string, string> => {
    const harness = new Harness(question => (question.kind === 'query' ? answer : allowAll(question)))
    harness.client(client.query(text))
    t.ok(harness.trace.toTarget.equals(client.query(`${text}\n;refused_by_gate`)), 'it can only fail')
    const more = position === undefined ? {} : { P: position }
    const message = `unterminated quoted string at or near "'no end\n;refused_by_gate"`
    harness.target(Buffer.concat([server.error('42601', message, more), server.ready('I')]))
    const [error] = messages(harness.trace.toClient)
    return errorFields(error ?? { type: '', body: Buffer.alloc(0) })
  }
  t.match(answered('8'), { C: '42601', M: `unterminated quoted string at or near "'no end"`, P: '8' })
  t.match(answered(undefined), { C: '42601', M: `unterminated quoted string at or near "'no end"` })
  t.match(answered(String(text.length + 2)), { C: '42501', M: 'unterminated' })
})

t.test('where the input ends too early, it ends for the server at the same place', async t => {
  t.equal(
    unparsable(Buffer.from('select ☃ from  '), undefined, 'syntax error at end of input').text.toString(),
    '(              ',
  )
})

t.test(
  'a refused statement of a pipeline skips the rest up to Sync, and nothing of the rest is asked or sent',
  async t => {
    const harness = new Harness(question =>
      question.kind === 'parse' && question.text.toString().includes('drop') ? refusal('no') : allowAll(question),
    )
    harness.client(
      Buffer.concat([
        client.parse('', 'select 1'),
        client.bind('', ''),
        client.execute(''),
        client.parse('', 'drop table t'),
        client.bind('', ''),
        client.execute(''),
        client.parse('', 'delete from t'),
        client.bind('', ''),
        client.execute(''),
        client.sync,
        client.query('select 2'),
      ]),
    )
    const sent = harness.trace.toTarget.toString('latin1')
    t.notMatch(sent, 'drop table')
    t.notMatch(sent, 'delete from')
    t.equal(types(harness.trace.toTarget), 'PBEPSQ')
    t.same(
      harness.trace.questions.map(({ kind }) => kind),
      ['parse', 'execute', 'parse', 'query'],
    )
    harness.target(
      Buffer.concat([
        server.parseComplete,
        server.bindComplete,
        server.complete('SELECT 1'),
        server.error('42601', 'x'),
        server.ready(),
      ]),
    )
    harness.target(Buffer.concat([server.complete('SELECT 1'), server.ready()]))
    t.equal(types(harness.trace.toClient), '12CEZCZ')
  },
)

t.test('a refused Execute fails at the server under a name that no client can know', async t => {
  const harness = new Harness(question => (question.kind === 'execute' ? refusal('no') : allowAll(question)))
  harness.client(
    Buffer.concat([client.parse('', 'delete from t'), client.bind('p', ''), client.execute('p'), client.sync]),
  )
  const sent = messages(harness.trace.toTarget)
  t.equal(sent.map(({ type }) => type).join(''), 'PBES')
  t.equal(sent[2]?.body.toString('latin1', 0, 11), 'unguessable')
  harness.target(
    Buffer.concat([
      server.parseComplete,
      server.bindComplete,
      server.error('34000', 'portal "unguessable" does not exist'),
      server.ready(),
    ]),
  )
  t.equal(types(harness.trace.toClient), '12EZ')
  t.notMatch(harness.trace.toClient.toString('latin1'), 'unguessable')
})

t.test('a refused function call is answered like any failed one', async t => {
  const harness = new Harness(question => (question.kind === 'call' ? refusal('no') : allowAll(question)))
  harness.client(client.functionCall(4711))
  t.equal(messages(harness.trace.toTarget)[0]?.body.readUInt32BE(0), 0, 'OID 0 is no function')
  harness.target(Buffer.concat([server.error('42883', 'function with OID 0 does not exist'), server.ready()]))
  t.equal(types(harness.trace.toClient), 'EZ')
})

t.test('a server that lets a refused command succeed ends the session', async t => {
  const harness = new Harness(() => refusal('no'))
  harness.client(client.query('drop table t'))
  t.throws(() => harness.target(Buffer.concat([server.complete('DROP TABLE'), server.ready()])), {
    code: 'ERR_GATE_TARGET_PROTOCOL',
  })
})
