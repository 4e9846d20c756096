// Sending events on: nothing is missing however often a sink or the relay fails, and documents say who did what.
import { readFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { EventBody } from '@gate/relay/record/events'
import { Recorder } from '@gate/relay/record/recorder'
import { EcsDocuments } from '@gate/relay/sinks/ecs'
import { fileSink, httpSink, type Sink } from '@gate/relay/sinks/sink'
import { Sinks } from '@gate/relay/sinks/sinks'
import { systemClock } from '@gate/shared/clock'
import { silentLog } from '@gate/shared/log'
import t from 'tap'
import { collectLog } from '../../support/log.ts'
import { testTree } from '../../support/record.ts'
import { temporaryDirectory } from '../../support/tmp.ts'
import { until } from '../../support/until.ts'

const start: EventBody = {
  type: 'session.start',
  session: 's_1',
  subject: { id: 'i|alice', email: 'alice@example.com', groups: ['engineers'] },
  target: 'prod-db',
  protocol: 'postgres',
  policy: 'p',
  client: {},
  clientAddress: '10.0.0.7',
}
const command = (number: number, effect: 'allow' | 'deny' = 'allow'): EventBody => ({
  type: 'command',
  session: 's_1',
  command: number,
  action: 'delete',
  text: 'delete from t',
  resources: [],
  facts: {},
  decision: { effect, rule: 'writes' },
  policy: 'p',
})

interface Sent {
  readonly 'event.sequence': number
  readonly [name: string]: unknown
}

/** Of a file that is being written, what comes after the last end of a line is not there yet. */
const sentOf = (text: string): Sent[] =>
  text
    .split('\n')
    .slice(0, -1)
    .map(line => JSON.parse(line) as Sent)

const numbers = (sent: readonly Sent[]): number[] => sent.map(each => each['event.sequence'])

t.test('a document says who did what and how it ended', async t => {
  const documents = new EcsDocuments('gate.example.com/relay_1')
  const of = (sequence: number, body: EventBody): Record<string, unknown> =>
    documents.document({ sequence, timeMs: 0, body })
  t.match(of(2, start), {
    '@timestamp': '1970-01-01T00:00:00.000Z',
    'event.id': 'gate.example.com/relay_1/2',
    'event.type': ['start'],
    'user.email': 'alice@example.com',
    'source.ip': '10.0.0.7',
    'service.target.name': 'prod-db',
  })
  const denied = of(3, command(1, 'deny'))
  t.match(denied, {
    'event.action': 'delete',
    'event.type': ['denied'],
    'event.outcome': 'failure',
    'user.id': 'i|alice',
    'user.roles': ['engineers'],
    'transaction.id': 's_1',
    'rule.name': 'writes',
    gate: { text: 'delete from t' },
  })
  const settled = {
    ...command(2),
    decision: { effect: 'hold', rule: 'wide' },
    settled: { effect: 'deny', rule: 'wide' },
  }
  t.match(of(4, settled as EventBody), { 'event.type': ['denied'], 'rule.name': 'wide' })
  t.match(of(5, { type: 'outcome', session: 's_1', command: 1, status: '42501' }), { 'event.outcome': 'failure' })
  t.match(of(6, { type: 'outcome', session: 's_1', command: 1, status: 'INSERT 0 1' }), { 'event.outcome': 'success' })
  t.match(of(7, { type: 'session.end', session: 's_1', code: 'ended' }), { 'user.id': 'i|alice' })
  t.notOk('user.id' in of(8, command(9)), 'it is over')
})

t.test('a file gets everything, once for each relay that lives', async t => {
  await using directory = await temporaryDirectory('sinks')
  const file = join(directory.path, 'events.jsonl')
  for (let life = 1; life <= 3; life += 1) {
    const recorder = await Recorder.open(join(directory.path, 'records'), testTree, systemClock, silentLog)
    const sinks = await Sinks.start(
      [fileSink('local', file)],
      join(directory.path, 'places'),
      recorder,
      systemClock,
      silentLog,
    )
    for (let number = 0; number < 700; number += 1) recorder.append(command(number))
    await until('all of it', async () => sentOf(await readFile(file, 'utf8').catch(() => '')).length >= life * 700 + 1)
    await sinks[Symbol.asyncDispose]()
    await recorder.close()
  }
  t.same(
    numbers(sentOf(await readFile(file, 'utf8'))),
    Array.from({ length: 2101 }, (_, index) => index + 1),
  )
})

interface Receiver extends AsyncDisposable {
  readonly url: string
  readonly taken: Sent[]
  readonly tokens: Set<string | undefined>
  /** What it answers next, before it takes anything again. */
  readonly refusals: (number | 'hang up')[]
}

async function startReceiver(): Promise<Receiver> {
  const taken: Sent[] = []
  const tokens = new Set<string | undefined>()
  const refusals: (number | 'hang up')[] = []
  const server: Server = createServer((request, response) => {
    let text = ''
    request.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
    })
    request.on('end', () => {
      tokens.add(request.headers.authorization)
      const refusal = refusals.shift()
      if (refusal === undefined) taken.push(...sentOf(text))
      if (refusal === 'hang up') request.socket.destroy()
      else response.writeHead(refusal ?? 204).end()
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/gate`,
    taken,
    tokens,
    refusals,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

t.test('a server that refuses, hangs up or takes without saying so gets everything at least once', async t => {
  await using directory = await temporaryDirectory('sinks')
  await using receiver = await startReceiver()
  const log = collectLog()
  const recorder = await Recorder.open(join(directory.path, 'records'), testTree, systemClock, silentLog)
  receiver.refusals.push(503, 'hang up')
  const sink = httpSink('siem', receiver.url, 'secret-token')
  // It takes the first batch and then the connection breaks: nobody here knows.
  let forgotten = false
  const forgetful: Sink = {
    name: 'siem',
    deliver: async (lines, signal) => {
      await sink.deliver(lines, signal)
      if (forgotten) return
      forgotten = true
      throw new Error('the answer was lost')
    },
  }
  const places = join(directory.path, 'places')
  {
    await using _sinks = await Sinks.start([forgetful], places, recorder, systemClock, log)
    recorder.append(start)
    for (let number = 1; number <= 20; number += 1) recorder.append(command(number))
    await until(
      'each of them once, and sending again',
      () =>
        new Set(numbers(receiver.taken)).size === 22 && log.entries.some(({ event }) => event === 'sink.taking-again'),
    )
  }
  t.same([...receiver.tokens], ['Bearer secret-token'])
  t.ok(receiver.taken.length >= 44, 'what was taken without an answer came again')
  t.match(
    log.entries.map(({ event }) => event),
    ['sink.failing', 'sink.taking-again'],
    'said once',
  )
  t.notMatch(JSON.stringify(log.entries), 'secret-token')
  const before = receiver.taken.length
  recorder.append(command(21))
  {
    await using _sinks = await Sinks.start([sink], places, recorder, systemClock, log)
    await until('the next', () => receiver.taken.length > before)
  }
  t.same(numbers(receiver.taken.slice(before)), [23], 'it goes on where it was')
  await recorder.close()
})

t.test('a record that is another one is sent from its first event', async t => {
  await using directory = await temporaryDirectory('sinks')
  const file = join(directory.path, 'events.jsonl')
  const places = join(directory.path, 'places')
  for (const origin of ['gate.example.com/relay_1', 'gate.example.com/relay_2']) {
    const tree = { ...testTree, origin }
    const recorder = await Recorder.open(join(directory.path, origin.slice(-1)), tree, systemClock, silentLog)
    const sinks = await Sinks.start([fileSink('local', file)], places, recorder, systemClock, silentLog)
    await until('its place', async () => (await readFile(file, 'utf8').catch(() => '')).includes(`${origin}/1"`))
    await sinks[Symbol.asyncDispose]()
    await recorder.close()
  }
  t.equal(sentOf(await readFile(file, 'utf8')).length, 2)
})
