// What the machine is where nothing is refused, masked or held: transparent, for any conversation and any split of its bytes.
import { PassThrough } from 'node:stream'
import fc from 'fast-check'
import { parse as parseWithOracle } from 'pg-protocol'
import t from 'tap'
import { Harness, split } from '../../../support/machine.ts'
import { client, messages, server } from '../../../support/wire.ts'

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
