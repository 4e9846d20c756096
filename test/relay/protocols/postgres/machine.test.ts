// The PostgreSQL machine as pure logic: transparent for any split of the bytes, and only GateErrors for any bytes.

import { PassThrough } from 'node:stream'
import type { Answer } from '@gate/relay/protocols/postgres/questions'
import { unparsable } from '@gate/relay/protocols/postgres/unreadable'
import { GateError } from '@gate/shared/errors'
import fc from 'fast-check'
import { parse as parseWithOracle } from 'pg-protocol'
import t from 'tap'
import { allowAll, clearPlan, greeting, Harness, split } from '../../../support/machine.ts'
import { client, errorFields, messages, server, types } from '../../../support/wire.ts'

/** What one side says and the other answers, as a real server would. */
interface Exchange {
  readonly client: Buffer
  readonly target: Buffer
}

const rows = fc.array(
  fc.array(fc.option(fc.string({ maxLength: 40 }), { nil: null }), { minLength: 1, maxLength: 4 }),
  { maxLength: 6 },
)

const result = rows.map(values => {
  const width = values[0]?.length ?? 1
  const fields = Array.from({ length: width }, (_, index) => ({ name: `c${index}`, table: 1000, column: index + 1 }))
  const data = values.map(row => server.dataRow(Array.from({ length: width }, (_, index) => row[index] ?? null)))
  return {
    description: server.rowDescription(fields),
    rows: Buffer.concat(data),
    complete: server.complete(`SELECT ${values.length}`),
  }
})

const asynchronous = fc.constantFrom(
  Buffer.alloc(0),
  server.notice('by the way'),
  server.parameterStatus('application_name', 'x'),
  server.notification('news', 'payload'),
)

const simpleQuery: fc.Arbitrary<Exchange> = fc
  .tuple(fc.array(result, { minLength: 1, maxLength: 3 }), asynchronous)
  .map(([results, extra]) => ({
    client: client.query(results.map(() => 'select 1').join(';')),
    target: Buffer.concat([
      ...results.flatMap(each => [each.description, extra, each.rows, each.complete]),
      server.ready(),
    ]),
  }))

const failedQuery: fc.Arbitrary<Exchange> = asynchronous.map(extra => ({
  client: client.query('select 1; select 2; select 3'),
  target: Buffer.concat([
    server.complete('SELECT 1'),
    extra,
    server.error('22012', 'division by zero'),
    server.ready(),
  ]),
}))

const emptyQuery: fc.Arbitrary<Exchange> = fc.constant({
  client: client.query(''),
  target: Buffer.concat([server.emptyQuery, server.ready()]),
})

const extended: fc.Arbitrary<Exchange> = fc
  .tuple(result, fc.boolean(), fc.integer({ min: 1, max: 5 }), asynchronous)
  .map(([found, describes, times, extra]) => {
    const once = [client.bind('', 's'), ...(describes ? [client.describe('P', '')] : []), client.execute('')]
    const answered = [server.bindComplete, ...(describes ? [found.description] : []), found.rows, extra, found.complete]
    return {
      client: Buffer.concat([
        client.parse('s', 'select $1'),
        client.describe('S', 's'),
        ...Array.from({ length: times }, () => once).flat(),
        client.close('S', 's'),
        client.sync,
      ]),
      target: Buffer.concat([
        server.parseComplete,
        server.parameterDescription([25]),
        found.description,
        ...Array.from({ length: times }, () => answered).flat(),
        server.closeComplete,
        server.ready(),
      ]),
    }
  })

const failedPipeline: fc.Arbitrary<Exchange> = fc.integer({ min: 0, max: 3 }).map(after => ({
  client: Buffer.concat([
    client.parse('', 'select 1/0'),
    client.bind('', ''),
    client.execute(''),
    ...Array.from({ length: after }, () => [
      client.parse('', 'select 2'),
      client.bind('', ''),
      client.describe('P', ''),
      client.execute(''),
    ]).flat(),
    client.sync,
  ]),
  target: Buffer.concat([
    server.parseComplete,
    server.bindComplete,
    server.error('22012', 'division by zero'),
    server.ready(),
  ]),
}))

const suspended: fc.Arbitrary<Exchange> = fc.constant({
  client: Buffer.concat([
    client.parse('', 'select 1'),
    client.bind('p', ''),
    client.execute('p', 1),
    client.execute('p', 1),
    client.execute('p', 1),
    client.sync,
  ]),
  target: Buffer.concat([
    server.parseComplete,
    server.bindComplete,
    server.dataRow(['1']),
    server.suspended,
    server.dataRow(['2']),
    server.suspended,
    server.complete('SELECT 0'),
    server.ready(),
  ]),
})

const copyOut: fc.Arbitrary<Exchange> = fc.array(fc.string({ maxLength: 200 }), { maxLength: 8 }).map(lines => ({
  client: client.query('copy t to stdout'),
  target: Buffer.concat([
    server.copyOut,
    ...lines.map(server.copyData),
    server.copyDone,
    server.complete(`COPY ${lines.length}`),
    server.ready(),
  ]),
}))

const functionCall: fc.Arbitrary<Exchange> = fc.constant({
  client: client.functionCall(123),
  target: Buffer.concat([server.functionResult, server.ready()]),
})

const exchange = fc.oneof(
  simpleQuery,
  failedQuery,
  emptyQuery,
  extended,
  failedPipeline,
  suspended,
  copyOut,
  functionCall,
)
const cuts = fc.array(fc.nat(), { maxLength: 12 })

function feed(harness: Harness, exchanges: readonly Exchange[], places: readonly number[]): void {
  for (const each of exchanges) {
    for (const part of split(each.client, places)) harness.client(part)
    for (const part of split(each.target, places)) harness.target(part)
  }
}

t.test(
  'with everything allowed and nothing masked, both directions are byte for byte what the other side sent, for any split',
  async t => {
    fc.assert(
      fc.property(fc.array(exchange, { minLength: 1, maxLength: 8 }), cuts, (exchanges, places) => {
        const harness = new Harness()
        feed(harness, exchanges, places)
        const sent = Buffer.concat(exchanges.map(each => each.client))
        const answered = Buffer.concat(exchanges.map(each => each.target))
        return harness.trace.toTarget.equals(sent) && harness.trace.toClient.equals(answered)
      }),
      { numRuns: 400 },
    )
    t.pass('held for 400 random conversations')
  },
)

t.test('everything that a client pipelines before any answer comes out the same', async t => {
  fc.assert(
    fc.property(fc.array(exchange, { minLength: 1, maxLength: 8 }), cuts, (exchanges, places) => {
      // A name that is used again in a later segment waits for its answers, so the target side is fed as the machine asks.
      const harness = new Harness()
      for (const part of split(Buffer.concat(exchanges.map(each => each.client)), places)) harness.client(part)
      for (const each of exchanges) harness.target(each.target)
      const withoutFlush = Buffer.concat(
        messages(harness.trace.toTarget)
          .filter(({ type }) => type !== 'H')
          .map(({ type, body }) => Buffer.concat([Buffer.from(type), Buffer.alloc(4), body])),
      )
      const sent = Buffer.concat(
        messages(Buffer.concat(exchanges.map(each => each.client))).map(({ type, body }) =>
          Buffer.concat([Buffer.from(type), Buffer.alloc(4), body]),
        ),
      )
      return (
        withoutFlush.equals(sent) && harness.trace.toClient.equals(Buffer.concat(exchanges.map(each => each.target)))
      )
    }),
    { numRuns: 200 },
  )
  t.pass('held for 200 random pipelines')
})

t.test('a chunk whose decisions need no waiting leaves as one write', async t => {
  const harness = new Harness()
  harness.trace.sends = 0
  const pipeline = Buffer.concat([
    client.parse('', 'select 1'),
    client.bind('', ''),
    client.describe('P', ''),
    client.execute(''),
    client.sync,
  ])
  harness.client(pipeline)
  t.equal(harness.trace.sends, 1)
  t.ok(harness.trace.toTarget.equals(pipeline))
})

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

const refusal = (why: string): Answer => ({
  kind: 'refuse',
  error: new Map([
    ['S', 'ERROR'],
    ['V', 'ERROR'],
    ['C', '42501'],
    ['M', why],
  ]),
})

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
  const answer = { ...refusal('unterminated'), failing: unparsable(text, 'unterminated quoted string') }
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
  t.equal(unparsable('select ☃ from  ', 'syntax error at end of input').text.toString(), '(              ')
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

t.test('statements longer than the limit are refused while their bytes are thrown away as they come', async t => {
  const harness = new Harness()
  const long = client.query(`select '${'x'.repeat(200_000)}'`)
  for (let at = 0; at < long.length; at += 8192) harness.client(long.subarray(at, at + 8192))
  harness.client(client.query('select 1'))
  t.equal(types(harness.trace.toTarget), 'QQ')
  t.ok(harness.trace.toTarget.length < 100)
  t.equal(harness.trace.questions[0]?.kind, 'too-long')
  const parse = client.parse('named', `select '${'x'.repeat(200_000)}'`)
  for (let at = 0; at < parse.length; at += 8192) harness.client(parse.subarray(at, at + 8192))
  t.match(messages(harness.trace.toTarget).at(-1)?.body.toString(), /^named\0/)
})

t.test('a value of many megabytes goes through in both directions as it comes', async t => {
  const harness = new Harness()
  harness.client(Buffer.concat([client.parse('', 'insert into t values ($1)')]))
  const bind = client.bind('', '', [Buffer.alloc(20_000_000, 'x')])
  let most = 0
  for (let at = 0; at < bind.length; at += 65_536) {
    harness.machine.receive('client', bind.subarray(at, at + 65_536))
    let out = 0
    for (let effect = harness.machine.poll(); effect !== undefined; effect = harness.machine.poll())
      if (effect.do === 'send') out += effect.unit.length
    most = Math.max(most, out)
  }
  // The first part waits until both names are there and it is clear that the rest need not be kept.
  t.ok(most <= 65_536 * 2, `at most ${most} bytes at once`)
  harness.client(Buffer.concat([client.execute(''), client.sync]))
  harness.target(Buffer.concat([server.parseComplete, server.bindComplete]))
  const row = server.dataRow([Buffer.alloc(20_000_000, 'y')])
  harness.trace.toClient = Buffer.alloc(0)
  let seen = 0
  for (let at = 0; at < row.length; at += 65_536) {
    harness.machine.receive('target', row.subarray(at, at + 65_536))
    for (let effect = harness.machine.poll(); effect !== undefined; effect = harness.machine.poll())
      if (effect.do === 'send') seen += effect.unit.length
    if (at < row.length - 65_536) t.ok(seen >= at, 'nothing is kept back') || t.end()
  }
  t.equal(seen, row.length)
})

t.test('a function call of many megabytes goes through or away as it comes', async t => {
  for (const refuses of [false, true]) {
    const harness = new Harness(question => (refuses && question.kind === 'call' ? refusal('no') : allowAll(question)))
    const call = client.functionCall(955, [Buffer.alloc(5_000_000, 'x')])
    const sizes: number[] = []
    for (let at = 0; at < call.length; at += 65_536) {
      harness.client(call.subarray(at, at + 65_536))
      sizes.push(harness.trace.toTarget.length)
    }
    t.match(harness.trace.questions, [{ kind: 'call', function: 955, parameters: [], uninspectedBytes: call.length }])
    if (refuses) t.equal(messages(harness.trace.toTarget)[0]?.body.readUInt32BE(0), 0)
    else t.ok(harness.trace.toTarget.equals(call))
    t.ok(refuses || sizes[0] === 65_536, 'nothing is kept back')
    harness.client(client.query('select 1'))
    t.equal(types(harness.trace.toTarget), 'FQ')
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

t.test('errors and notices that quote a value of many megabytes pass as they come', async t => {
  const harness = new Harness()
  harness.client(Buffer.concat([client.query("select 'x…'::int"), client.query('select 1')]))
  const long = Buffer.concat([server.notice('n'.repeat(20_000_000)), server.error('22P02', 'e'.repeat(20_000_000))])
  const answer = Buffer.concat([long, server.ready(), server.complete('SELECT 1'), server.ready()])
  const statuses: string[] = []
  let passed = 0
  for (let at = 0; at < answer.length; at += 65_536) {
    harness.machine.receive('target', answer.subarray(at, at + 65_536))
    for (let effect = harness.machine.poll(); effect !== undefined; effect = harness.machine.poll()) {
      if (effect.do === 'send') passed += effect.unit.length
      else if (effect.do === 'observe') statuses.push(effect.outcome.status)
    }
    t.ok(passed > at - 65_536, 'nothing is kept back') || t.end()
  }
  t.equal(passed, answer.length)
  t.same(statuses, ['22P02', 'SELECT 1'])
})

t.test('a long error in the place of a refused command goes away as it comes', async t => {
  const harness = new Harness(question => (question.kind === 'query' ? refusal('no') : allowAll(question)))
  harness.client(client.query('select 1'))
  const long = server.error('42601', 'e'.repeat(200_000))
  for (const part of split(long, [10, 70_000, 150_000])) harness.target(part)
  harness.target(server.ready())
  t.equal(types(harness.trace.toClient), 'EZ')
  t.ok(harness.trace.toClient.length < 200)
})

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

t.test('a change of client_encoding or standard_conforming_strings by whatever means ends the session', async t => {
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

t.test("what leaves the gateway is what pg-protocol's parser understands as well", async t => {
  const generated = fc.sample(fc.array(exchange, { minLength: 3, maxLength: 6 }), { numRuns: 40, seed: 7 })
  let compared = 0
  for (const exchanges of generated) {
    const harness = new Harness()
    feed(harness, exchanges, [3, 17, 99])
    const stream = new PassThrough()
    const names: string[] = []
    void parseWithOracle(stream, ({ name }) => names.push(name))
    stream.end(harness.trace.toClient)
    await new Promise(resolve => stream.once('end', resolve))
    t.equal(names.length, messages(harness.trace.toClient).length)
    compared += names.length
  }
  t.ok(compared > 100, `${compared} messages`)
})
