// The PostgreSQL machine as pure logic: only GateErrors for any bytes, what ends a session, its own words, and when answers came.
import { GateError } from '@gate/shared/errors'
import fc from 'fast-check'
import t from 'tap'
import { allowAll, greeting, Harness, maskedPlan } from '../../../support/machine.ts'
import { client, errorFields, messages, server, types } from '../../../support/wire.ts'

t.test('any bytes from either side give GateErrors and nothing else', async t => {
  const noise = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc
      .tuple(fc.constantFrom(...'QPBDECSHXFdcfTDZEN12nstIKGHVA'), fc.uint8Array({ maxLength: 60 }))
      .map(([type, body]) => {
        const head = Buffer.alloc(5)
        head.write(type, 'latin1')
        head.writeInt32BE(body.length + 4, 1)
        return new Uint8Array(Buffer.concat([head, body]))
      }),
  )
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom('client' as const, 'target' as const), noise), { maxLength: 12 }),
      steps => {
        const harness = new Harness()
        try {
          for (const [side, bytes] of steps) harness[side](Buffer.from(bytes))
        } catch (thrown) {
          return thrown instanceof GateError
        }
        return true
      },
    ),
    { numRuns: 3000 },
  )
  t.pass('held for 3000 random conversations')
})

t.test('lengths that are negative, tiny, huge or lying end the session with a GateError', async t => {
  const header = (type: string, length: number): Buffer =>
    Buffer.concat([
      Buffer.from(type),
      Buffer.from([(length >> 24) & 255, (length >> 16) & 255, (length >> 8) & 255, length & 255]),
    ])
  for (const length of [-1, 0, 3, 0x40000000, 0x7fffffff, -2147483648]) {
    for (const side of ['client', 'target'] as const) {
      const harness = new Harness()
      t.throws(
        () => harness[side](header(side === 'client' ? 'Q' : 'T', length)),
        { name: 'GateError' },
        `${side} ${length}`,
      )
    }
  }
  const small = new Harness()
  t.throws(() => small.client(header('S', 20_000)), { code: 'ERR_GATE_PROTOCOL' }, 'a Sync has no long body')
  const wrong = new Harness()
  t.throws(
    () => wrong.client(Buffer.from('p\0\0\0\x05x', 'latin1')),
    { code: 'ERR_GATE_PROTOCOL' },
    'a password is out of phase',
  )
})

t.test('answers to nothing end the session', async t => {
  for (const stray of [
    server.complete('SELECT 1'),
    server.dataRow(['x']),
    server.ready(),
    server.parseComplete,
    server.copyIn,
    server.rowDescription([]),
    server.functionResult,
    server.authenticationOk,
  ]) {
    const harness = new Harness()
    t.throws(() => harness.target(stray), { code: 'ERR_GATE_TARGET_PROTOCOL' })
  }
})

t.test('an outcome knows when the first of its answer came, whatever else came before', t => {
  const timed = (answer: (harness: Harness) => [atMs: number, bytes: Buffer][], sent: Buffer): [string, unknown][] => {
    const harness = new Harness()
    harness.client(sent)
    const outcomes: [string, unknown][] = []
    for (const [atMs, bytes] of answer(harness)) {
      harness.machine.receive('target', bytes, atMs)
      for (let effect = harness.machine.poll(); effect !== undefined; effect = harness.machine.poll())
        if (effect.do === 'observe') outcomes.push([effect.outcome.status, effect.outcome.firstByteAtMs])
    }
    return outcomes
  }
  const description = server.rowDescription([{ name: 'c', table: 1000, column: 1 }])
  const row = server.dataRow(['x'])
  t.same(
    timed(
      () => [
        [1, Buffer.concat([server.notification('news', ''), server.parameterStatus('application_name', 'x')])],
        [2, description.subarray(0, 6)],
        [3, Buffer.concat([description.subarray(6), row])],
        [4, Buffer.concat([row, server.complete('SELECT 2')])],
        [5, server.complete('SELECT 0')],
        [6, server.error('22012', 'division by zero')],
        [7, server.ready()],
      ],
      client.query('select 1; select 2; select 3; select 4'),
    ),
    [
      ['SELECT 2', 2],
      ['SELECT 0', 5],
      ['22012', 6],
      ['SKIPPED', undefined],
    ],
    'of statements that are sent together each has its own',
  )
  t.same(
    timed(
      () => [
        [1, Buffer.concat([server.parseComplete, server.bindComplete])],
        [2, row],
        [3, Buffer.concat([server.complete('SELECT 1'), server.bindComplete])],
        [4, server.error('22012', 'division by zero')],
        [5, server.ready()],
      ],
      Buffer.concat([
        client.parse('', 'select 1'),
        client.bind('', ''),
        client.execute(''),
        client.bind('', ''),
        client.execute(''),
        client.execute(''),
        client.sync,
      ]),
    ),
    [
      ['SELECT 1', 2],
      ['22012', 4],
      ['SKIPPED', undefined],
    ],
    'what prepares a command is no answer to it',
  )
  t.end()
})

t.test('a change of client_encoding or standard_conforming_strings that no command made ends the session', async t => {
  for (const [name, value] of [
    ['client_encoding', 'SJIS'],
    ['standard_conforming_strings', 'off'],
  ] as const) {
    const harness = new Harness()
    harness.client(client.query('select 1'))
    t.throws(() => harness.target(server.parameterStatus(name, value)), { code: 'ERR_GATE_REFUSED' })
  }
})

t.test('the cancel key goes out before the first ReadyForQuery', async t => {
  const harness = new Harness(allowAll, false)
  harness.target(Buffer.concat([server.parameterStatus('a', 'b'), server.ready()]))
  t.ok(harness.trace.toClient.equals(Buffer.concat([server.parameterStatus('a', 'b'), greeting, server.ready()])))
})

t.test('after the words with which the server ends the connection there are no others', async t => {
  for (const [severity, said] of [
    ['FATAL', undefined],
    ['ERROR', '57P01'],
  ] as const) {
    const harness = new Harness()
    harness.client(client.query('select 1'))
    harness.target(server.error('57P01', 'terminating connection', { S: severity, V: severity }))
    const words = harness.machine.lastWords(new GateError('ERR_GATE_SHUTDOWN', 'the connection broke'))
    const [told] = words === undefined ? [] : messages(words)
    t.equal(told && errorFields(told)['C'], said, severity)
  }
})

t.test('words to the client wait for the end of a message that is on its way', async t => {
  const harness = new Harness()
  harness.client(client.query('select 1'))
  const row = server.dataRow(['x'.repeat(100_000)])
  harness.target(Buffer.concat([server.rowDescription([{ name: 'a' }]), row.subarray(0, 50_000)]))
  t.equal(
    harness.machine.lastWords(new GateError('ERR_GATE_SHUTDOWN', 'bye')),
    undefined,
    'nothing would be understood here',
  )
  harness.machine.tell(server.notice('hello'))
  harness.flush()
  harness.target(row.subarray(50_000))
  t.equal(types(harness.trace.toClient), 'TDN')
  const words = harness.machine.lastWords(new GateError('ERR_GATE_SHUTDOWN', 'bye'))
  t.match(errorFields(messages(words ?? Buffer.alloc(0))[0] ?? { type: '', body: Buffer.alloc(0) }), {
    S: 'FATAL',
    C: '57P01',
    M: 'gate: bye',
  })
})

t.test('each result of a statement is masked by its own description', async t => {
  const harness = new Harness(question =>
    question.kind === 'query' ? { kind: 'go', plans: [maskedPlan] } : allowAll(question),
  )
  harness.client(client.query('insert into ruled values (1)'))
  const column = { name: 'c1', table: 1000, column: 1 }
  harness.target(Buffer.concat([server.rowDescription([{ name: 'x' }]), server.dataRow(['clear'])]))
  harness.target(Buffer.concat([server.rowDescription([column]), server.dataRow(['secret'])]))
  harness.target(Buffer.concat([server.complete('INSERT 0 1'), server.ready()]))
  t.equal(types(harness.trace.toClient), 'TDTDCZ')
  t.match(harness.trace.toClient.toString('latin1'), 'clear')
  t.notMatch(harness.trace.toClient.toString('latin1'), 'secret')
})
