// Micro-benchmarks of the PostgreSQL machine alone: no socket, no process, no policy. node scripts/dist/bench/machine.js
import { cpus } from 'node:os'
import { PostgresMachine } from '@gate/relay/protocols/postgres/machine'
import type { MaskedColumns } from '@gate/relay/protocols/postgres/masked-columns'
import type { StatementPlan } from '@gate/relay/protocols/postgres/pending'
import type { Answer, Question } from '@gate/relay/protocols/postgres/questions'
import { textGuard } from '@gate/relay/protocols/postgres/texts'
import type { MaskKind, MaskObligation } from '@gate/shared/model'
import { table } from './report.ts'
import { quantile } from './statistics.ts'
import { client, server } from './wire.ts'

/** What a socket gives at a time, and hence what the agent sends in one WebSocket message. */
const CHUNK_BYTES = 64 * 1024
const BLOCK_BYTES = 8 * 1024 * 1024
const WARM_UP_RUNS = 10
const RUNS = 20
const PIPELINED = 500
const TABLE_OID = 16_384
const MAX_STATEMENT_BYTES = 1024 * 1024

interface Timed {
  readonly seconds: number
  readonly bytes: number
  readonly messages: number
}

interface Case {
  readonly name: string
  /** One run; what it prepares is not timed. */
  run(): Timed
}

const clear: StatementPlan = {
  basis: undefined,
  commands: [1],
  masking: undefined,
  sensitive: false,
  naming: undefined,
  defines: undefined,
  endsTransaction: false,
  counted: undefined,
  declaration: { actions: [], approvals: [] },
}

/** The second column of the table is masked; as the catalog would say. */
function masked(kind: MaskKind): StatementPlan {
  const obligation: MaskObligation = {
    kind: 'mask',
    columns: ['t.c2'],
    detect: [],
    with: kind,
    fixed: undefined,
    computed: 'deny',
    predicates: 'equality',
  }
  const columns = {
    mask: (_table: number, column: number) => (column === 2 ? { mask: obligation, keepsNull: true } : undefined),
    knows: () => true,
    isOpaque: () => false,
  } satisfies Pick<MaskedColumns, 'mask' | 'knows' | 'isOpaque'> as unknown as MaskedColumns
  return {
    ...clear,
    masking: {
      columns,
      computed: 'masked',
      detecting: undefined,
      copyOut: undefined,
      guard: textGuard(undefined, true),
      key: Buffer.alloc(32, 7),
    },
  }
}

/** A machine with its questions answered at once, as those of known statements are. */
class Bench {
  readonly #machine = new PostgresMachine(Buffer.alloc(0), 'unguessable', MAX_STATEMENT_BYTES)
  readonly #plan: StatementPlan
  bytes = 0
  last = Buffer.alloc(0)

  constructor(plan: StatementPlan) {
    this.#plan = plan
    this.receive('target', server.ready)
  }

  receive(from: 'client' | 'target', unit: Buffer): void {
    this.#machine.receive(from, unit)
    for (let effect = this.#machine.poll(); effect !== undefined; effect = this.#machine.poll()) {
      if (effect.do === 'send') {
        this.bytes += effect.unit.length
        this.last = effect.unit as Buffer<ArrayBuffer>
      } else if (effect.do === 'ask') this.#machine.settle(effect.id, this.#answer(effect.question))
    }
  }

  #answer(question: Question): Answer {
    if (question.kind !== 'parse') return { kind: 'go', plans: [this.#plan] }
    const text = question.text.toString('utf8')
    const prepared = { text, facts: undefined, parameterTypes: [], sensitive: false, guard: undefined }
    return { kind: 'go', plans: [], prepared }
  }
}

interface Rows {
  readonly chunks: readonly Buffer[]
  readonly columns: number
  readonly count: number
}

/** Rows with `columns` values of one length, about BLOCK_BYTES of them, in chunks as they come from a socket. */
function rows(columns: number, valueBytes: number): Rows {
  const row = server.dataRow(Array.from({ length: columns }, () => Buffer.alloc(valueBytes, 'x')))
  const count = Math.ceil(BLOCK_BYTES / row.length)
  const all = Buffer.concat(Array.from({ length: count }, () => row))
  const chunks = Array.from({ length: Math.ceil(all.length / CHUNK_BYTES) }, (_, index) =>
    all.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES),
  )
  return { chunks, columns, count }
}

function feedRows({ chunks, columns, count }: Rows, plan: StatementPlan): Timed {
  const bench = new Bench(plan)
  bench.receive('client', client.query('select * from t'))
  bench.receive('target', server.rowDescription(TABLE_OID, columns))
  const began = performance.now()
  for (const chunk of chunks) bench.receive('target', chunk)
  const seconds = (performance.now() - began) / 1000
  bench.receive('target', Buffer.concat([server.commandComplete(`SELECT ${count}`), server.ready]))
  if (bench.last.at(-1) !== server.ready.at(-1)) throw new Error('the machine did not answer to the end')
  return { seconds, bytes: chunks.reduce((sum, chunk) => sum + chunk.length, 0), messages: count }
}

/** The least that any reader of messages does: look at every length. What the machine takes beyond it is its own. */
function scanRows({ chunks, count }: Rows): Timed {
  const all = Buffer.concat(chunks)
  const began = performance.now()
  let messages = 0
  for (let at = 0; at < all.length; at += 1 + all.readInt32BE(at + 1)) messages += 1
  const seconds = (performance.now() - began) / 1000
  if (messages !== count) throw new Error('the scan miscounted')
  return { seconds, bytes: all.length, messages }
}

/** Many commands before the first answer: pipeline mode of libpq, batches of JDBC. */
function pipeline(parses: boolean, syncEach: boolean): Timed {
  const bench = new Bench(clear)
  const sql = 'SELECT abalance FROM pgbench_accounts WHERE aid = $1'
  bench.receive('client', Buffer.concat([client.parse('s', sql), client.sync]))
  bench.receive('target', Buffer.concat([server.parseComplete, server.ready]))
  const asked = [
    ...(parses ? [client.parse('', sql)] : []),
    client.bind(parses ? '' : 's', '12345'),
    client.describe,
    client.execute,
  ]
  const row = server.dataRow([Buffer.from('12345')])
  const answered = [
    ...(parses ? [server.parseComplete] : []),
    server.bindComplete,
    server.rowDescription(TABLE_OID, 1),
    row,
    server.commandComplete('SELECT 1'),
  ]
  const repeat = (messages: readonly Buffer[], end: Buffer): Buffer =>
    Buffer.concat([...Array.from({ length: PIPELINED }, () => (syncEach ? [...messages, end] : messages)).flat(), end])
  const request = repeat(asked, client.sync)
  const answer = repeat(answered, server.ready)
  const began = performance.now()
  for (let at = 0; at < request.length; at += CHUNK_BYTES)
    bench.receive('client', request.subarray(at, at + CHUNK_BYTES))
  for (let at = 0; at < answer.length; at += CHUNK_BYTES) bench.receive('target', answer.subarray(at, at + CHUNK_BYTES))
  const seconds = (performance.now() - began) / 1000
  if (bench.last.at(-1) !== server.ready.at(-1)) throw new Error('the machine did not answer to the end')
  const messages = PIPELINED * (asked.length + answered.length + (syncEach ? 2 : 0))
  return { seconds, bytes: request.length + answer.length, messages }
}

function cases(): Case[] {
  const shapes = [
    ['30 B', rows(3, 4)],
    ['100 B', rows(3, 27)],
    ['4 KB', rows(3, 1360)],
    ['100 columns', rows(100, 8)],
  ] as const
  return [
    ...shapes.flatMap(([name, data]) => [
      { name: `rows ${name}, lengths only`, run: () => scanRows(data) },
      { name: `rows ${name}, clear`, run: () => feedRows(data, clear) },
      { name: `rows ${name}, 1 column redacted`, run: () => feedRows(data, masked('redact')) },
    ]),
    ...(['partial', 'hash'] as const).map(kind => ({
      name: `rows 100 B, 1 column ${kind}`,
      run: () => feedRows(shapes[1][1], masked(kind)),
    })),
    { name: `${PIPELINED} × Parse Bind Describe Execute, one Sync`, run: () => pipeline(true, false) },
    { name: `${PIPELINED} × Parse Bind Describe Execute Sync`, run: () => pipeline(true, true) },
    { name: `${PIPELINED} × Bind Describe Execute Sync, prepared`, run: () => pipeline(false, true) },
  ]
}

interface Measured {
  readonly name: string
  readonly megabytesPerSecond: number
  readonly nsPerMessage: number
  readonly p95NsPerMessage: number
}

function measure({ name, run }: Case): Measured {
  for (let index = 0; index < WARM_UP_RUNS; index += 1) run()
  const timed = Array.from({ length: RUNS }, run)
  const perMessage = timed.map(({ seconds, messages }) => (seconds * 1e9) / messages)
  return {
    name,
    megabytesPerSecond: quantile(
      timed.map(({ seconds, bytes }) => bytes / 1e6 / seconds),
      0.5,
    ),
    nsPerMessage: quantile(perMessage, 0.5),
    p95NsPerMessage: quantile(perMessage, 0.95),
  }
}

const measured = cases().map(measure)
if (process.argv.includes('--json')) process.stdout.write(`${JSON.stringify(measured, undefined, 2)}\n`)
else {
  const lines = measured.map(each => [
    each.name,
    each.megabytesPerSecond.toFixed(0),
    each.nsPerMessage.toFixed(0),
    each.p95NsPerMessage.toFixed(0),
  ])
  const title = `Node ${process.versions.node}, ${cpus()[0]?.model.trim()}; medians of ${RUNS} runs after ${WARM_UP_RUNS}`
  process.stdout.write(`${title}\n\n${table([['machine', 'MB/s', 'ns/message', 'p95'], ...lines])}\n`)
}
