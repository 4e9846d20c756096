// Row limits for any split of the bytes and in random sessions, with a model of the server behind them: nothing over a limit is committed.
import type { Answer, Question } from '@gate/relay/protocols/postgres/questions'
import { GateError } from '@gate/shared/errors'
import fc from 'fast-check'
import t from 'tap'
import { begun, counting, go, tooMany } from '../../../support/counting.ts'
import { Harness, split } from '../../../support/machine.ts'
import { ModelServer } from '../../../support/model-server.ts'
import { client, messages, server } from '../../../support/wire.ts'

t.test('the same for any split of the bytes', async t => {
  const answers = [
    begun,
    Buffer.concat([
      server.rowDescription([{ name: 'x' }]),
      server.dataRow(['secret']),
      server.complete('DELETE 1'),
      server.complete('SELECT 0'),
      server.ready('T'),
    ]),
    Buffer.concat([server.complete('COMMIT'), server.ready()]),
  ]
  const query = client.query('delete from t returning x; select')
  const run = (cut: number): string => {
    const harness = new Harness(counting(() => go))
    for (const part of split(query, [cut])) harness.client(part)
    for (const answer of answers) for (const part of split(answer, [cut, cut * 2])) harness.target(part)
    return JSON.stringify([
      harness.trace.toClient.toString('latin1'),
      harness.trace.toTarget.toString('latin1'),
      harness.trace.outcomes,
    ])
  }
  const whole = run(0)
  for (let cut = 1; cut < 120; cut += 1) t.equal(run(cut), whole, `cut at ${cut}`)
})

const LIMIT = 10

const rowsOf = (question: Extract<Question, { kind: 'rows' }>): number =>
  question.counts.reduce((sum, { rows }) => sum + rows, 0)

const single = fc.oneof(
  fc.constantFrom('select', 'begin', 'commit', 'rollback', 'fail'),
  fc.integer({ min: 0, max: 2 * LIMIT }).map(count => `delete ${count}`),
)

/** A text with transaction control and others is refused under a limit before it comes here. */
const several = fc
  .array(fc.constantFrom('select', 'select', 'fail', 'delete 3', 'delete 8', 'delete 12'), {
    minLength: 1,
    maxLength: 4,
  })
  .map(statements => statements.join('; '))

const segment = fc
  .array(single, { maxLength: 4 })
  .map(statements =>
    Buffer.concat([
      ...statements.flatMap(text => [client.parse('', text), client.bind('', ''), client.execute('')]),
      client.sync,
    ]),
  )

const session = fc.array(fc.oneof(single.map(client.query), several.map(client.query), segment), { maxLength: 12 })

const cuts = fc.array(fc.nat(500), { maxLength: 6 })

/** A session through gate with a server behind it, until both have nothing more to say. */
function play(
  conversation: readonly Buffer[],
  cut: readonly number[],
  answer: (question: Extract<Question, { kind: 'rows' }>) => Answer,
): { harness: Harness; model: ModelServer } {
  const harness = new Harness(counting(answer))
  const model = new ModelServer()
  let read = 0
  const serve = (): void => {
    while (read < harness.trace.toTarget.length) {
      const sent = harness.trace.toTarget.subarray(read)
      read = harness.trace.toTarget.length
      for (const { type, body } of messages(sent)) {
        const whole = Buffer.concat([Buffer.from(type, 'latin1'), Buffer.alloc(4), body])
        whole.writeInt32BE(body.length + 4, 1)
        for (const part of split(model.receive(whole), cut)) harness.target(part)
      }
    }
  }
  for (const part of split(Buffer.concat(conversation), cut)) {
    harness.client(part)
    serve()
  }
  return { harness, model }
}

t.test(
  'whatever a client sends, no message that is over the limit is committed, and its session stays in step',
  async t => {
    fc.assert(
      fc.property(session, cuts, (conversation, cut) => {
        const { harness, model } = play(conversation, cut, question => (rowsOf(question) > LIMIT ? tooMany : go))
        const readies = messages(harness.trace.toClient).filter(({ type }) => type === 'Z')
        return (
          model.committed.every(rows => rows <= LIMIT) &&
          readies.length === conversation.length &&
          (readies.length === 0 || readies.at(-1)?.body.toString() === model.status)
        )
      }),
      { numRuns: 3000 },
    )
    t.pass('held for 3000 random sessions')
  },
)

t.test('where every number of rows is allowed, a client sees what it would see without gate', async t => {
  const once = session.filter(conversation =>
    conversation.every(bytes => (bytes.toString('latin1').match(/delete/g) ?? []).length < 2),
  )
  fc.assert(
    fc.property(once, cuts, (conversation, cut) => {
      const { harness, model } = play(conversation, cut, () => go)
      const direct = new ModelServer()
      const answers = direct.receive(Buffer.concat(conversation))
      return harness.trace.toClient.equals(answers) && String(model.committed) === String(direct.committed)
    }),
    { numRuns: 3000 },
  )
  t.pass('held for 3000 random sessions')
})

t.test('whatever both sides send, only GateErrors come of it', async t => {
  const fromClient = fc.constantFrom(
    client.query('delete 1'),
    client.query('copy t'),
    client.query('select'),
    client.parse('', 'delete 1'),
    client.bind('', ''),
    client.execute(''),
    client.sync,
    client.flush,
    client.copyData('x'),
    client.copyDone,
    client.terminate,
  )
  const fromTarget = fc.constantFrom(
    server.complete('DELETE 1'),
    server.complete('BEGIN'),
    server.complete('COMMIT'),
    server.complete('ROLLBACK'),
    server.ready('I'),
    server.ready('T'),
    server.ready('E'),
    server.error('57014', 'cancelled'),
    server.error('57P01', 'bye', { S: 'FATAL', V: 'FATAL' }),
    server.parseComplete,
    server.bindComplete,
    server.copyIn,
    server.suspended,
    server.dataRow(['x']),
    server.notice('n'),
  )
  const step = fc.oneof(
    fc.tuple(fc.constant('client' as const), fc.option(fromClient, { freq: 30 })),
    fc.tuple(fc.constant('target' as const), fc.option(fromTarget, { freq: 30 })),
    fc.tuple(fc.constant('settle' as const), fc.constant(null)),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), fc.boolean(), (steps, allows) => {
      const harness = new Harness(counting(() => 'later'))
      const gone = new Set<string>()
      try {
        for (const [side, bytes] of steps) {
          if (gone.has(side)) continue
          if (side === 'settle') {
            const id = harness.waiting.shift()
            const asked = harness.trace.questions.findLast(({ kind }) => kind === 'rows')
            const isSound = asked?.kind === 'rows' && asked.fault === undefined
            if (id !== undefined) harness.settle(id, allows && isSound ? go : tooMany)
            continue
          }
          if (bytes === null) gone.add(side)
          harness[side](bytes)
        }
      } catch (thrown) {
        return thrown instanceof GateError && thrown.code !== 'ERR_GATE_INTERNAL'
      }
      return true
    }),
    { numRuns: 20_000 },
  )
  t.pass('held for 20,000 random conversations')
})
