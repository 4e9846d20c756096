// The same random messages to a server directly and through gate: every message that comes back is the same. What Parse prepared
// is not run by EXECUTE in SQL here, and no portal by FETCH: gate refuses some of that (redefined.test.ts, docs/postgres.md).
import { deepStrictEqual } from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import { client, errorFields, type Message, messages } from '../support/wire.ts'
import { openPolicy, startWorld } from '../support/world.ts'

const RUNS = 150
/** On a busy machine fewer sequences have to do. */
const TIME_LIMIT_MS = 40_000
const ANSWER_TIMEOUT_MS = 20_000

const sql = `
create table t (a int);
create table late (a int unique deferrable initially deferred);
create function tell(text) returns text language plpgsql as $$ begin raise notice 'told %', $1; return $1; end $$;
`

/** A connection that is used again for the next sequence as long as it lives. */
class Wire {
  readonly #port: number
  readonly #version: number
  #socket: Socket | undefined
  #bytes = Buffer.alloc(0)
  #changed = (): void => {}
  #ends = 0

  constructor(port: number, version: number) {
    this.#port = port
    this.#version = version
  }

  async #open(): Promise<Socket> {
    const socket = connect({ port: this.#port, host: '127.0.0.1', noDelay: true })
    socket.on('data', chunk => {
      this.#bytes = Buffer.concat([this.#bytes, chunk])
      this.#changed()
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      if (this.#socket === socket) this.#socket = undefined
      this.#changed()
    })
    this.#socket = socket
    socket.write(client.startup({ user: 'gate_service', database: 'app' }, this.#version))
    await this.#until(whole => whole.at(-1)?.type === 'Z')
    return socket
  }

  async #until(enough: (whole: readonly Message[]) => boolean): Promise<Message[]> {
    for (;;) {
      const whole = wholeMessages(this.#bytes)
      if (this.#socket === undefined || enough(whole)) {
        this.#bytes = Buffer.alloc(0)
        return whole
      }
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => {
          reject(new Error(`no end of ${show(whole).join(' ')}`))
          this.close()
        }, ANSWER_TIMEOUT_MS)
        this.#changed = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }

  /** Sends the chunks and returns everything that is answered. What follows begins with a clean session. */
  async converse(chunks: readonly Buffer[]): Promise<Message[]> {
    const socket = this.#socket ?? (await this.#open())
    this.#ends += 1
    const end = `end ${this.#ends}`
    for (const chunk of chunks) {
      socket.write(chunk)
      await new Promise(resolve => setImmediate(resolve))
    }
    const queries = ['rollback', 'discard all', `select '${end}'`].map(client.query)
    socket.write(Buffer.concat([client.sync, ...queries]))
    const isEnd = ({ type, body }: Message): boolean => type === 'D' && body.toString('utf8', 6) === end
    const seen = await this.#until(whole => whole.some(isEnd) && whole.at(-1)?.type === 'Z')
    return seen.slice(0, seen.findIndex(isEnd))
  }

  close(): void {
    this.#socket?.destroy()
  }
}

function wholeMessages(bytes: Buffer): Message[] {
  let at = 0
  while (bytes.length - at >= 5 && at + 1 + bytes.readInt32BE(at + 1) <= bytes.length)
    at += 1 + bytes.readInt32BE(at + 1)
  return messages(bytes.subarray(0, at))
}

/** Messages as text, without what differs from run to run. */
function show(seen: readonly Message[]): string[] {
  return seen.map(message => {
    if (message.type === 'A') return `A ${message.body.toString('latin1', 4)}`
    if (message.type !== 'E' && message.type !== 'N') return `${message.type} ${message.body.toString('latin1')}`
    return `${message.type} ${JSON.stringify(errorFields(message))}`
  })
}

const name = fc.constantFrom('', '', 'a', 'b')
const portal = fc.constantFrom('', '', 'p', 'q')

const single = fc.constantFrom(
  'select 1',
  'select $1::int',
  'select $1::text, $2::int',
  'select g, g * 2 from generate_series(1, 5) g',
  'select 10 / (3 - g) from generate_series(1, 5) g',
  'select 1 / 0',
  'select nowhere',
  'select * from t where a = $1',
  'selec 1',
  'select 1 from',
  "select 'no end",
  "select U&'\\00'",
  '',
  'begin',
  'commit',
  'rollback',
  'savepoint s',
  'rollback to s',
  'insert into t values ($1)',
  'insert into t values (1) returning a',
  'insert into late values (1), (1)',
  "select tell('x')",
  'prepare c as select 7',
  'prepare d (int) as select $1',
  'execute c',
  'execute d(3)',
  'deallocate a',
  'deallocate all',
  'declare p cursor for select g from generate_series(1, 9) g',
  'declare h cursor with hold for select 1',
  'fetch 2 from h',
  'move 1 in h',
  'close p',
  'close all',
  'discard all',
  'listen news',
  "notify news, 'n'",
  "set application_name = 'x'",
  "set local TimeZone = 'Asia/Tokyo'",
  'show application_name',
  'copy (select g from generate_series(1, 3) g) to stdout',
  'explain (costs off) select 1',
  'vacuum t',
)

const several = fc.array(single, { minLength: 2, maxLength: 4 }).map(texts => texts.join(';'))
const value = fc.constantFrom(
  null,
  Buffer.from('1'),
  Buffer.from('x'),
  Buffer.from([0, 0, 0, 7]),
  Buffer.alloc(70_000, '9'),
)
const format = fc.constantFrom(0, 0, 0, 1)
const values = fc.array(value, { maxLength: 2 })

const parse = fc
  .tuple(name, fc.oneof({ weight: 9, arbitrary: single }, several), fc.constantFrom([], [], [23], [25, 23], [999_999]))
  .map(([as, text, types]) => client.parse(as, text, types))
const bind = fc
  .tuple(portal, name, values, fc.array(format, { maxLength: 1 }), fc.array(format, { maxLength: 1 }))
  .map(([as, of, given, formats, results]) => client.bind(as, of, given, given.length === 0 ? [] : formats, results))
const execute = fc.tuple(portal, fc.constantFrom(0, 0, 1, 2)).map(([of, rows]) => client.execute(of, rows))
const describe = fc.oneof(
  name.map(of => client.describe('S', of)),
  portal.map(of => client.describe('P', of)),
)
const close = fc.oneof(
  name.map(of => client.close('S', of)),
  portal.map(of => client.close('P', of)),
)
const query = fc.oneof(single, several).map(client.query)
const sync = fc.constant(client.sync)
const flush = fc.constant(client.flush)
const call = fc
  .tuple(fc.constantFrom(177, 154, 870, 4_000_000), fc.array(value, { maxLength: 2 }))
  .map(([oid, given]) => client.functionCall(oid, given))

/** What programs do: all of it for one statement, or a statement that is used again. */
const whole = fc
  .tuple(parse, bind, fc.option(describe), execute, fc.option(sync))
  .map(parts => Buffer.concat(parts.filter(part => part !== null)))
const repeated = fc
  .tuple(fc.constantFrom('', 'p'), single, values, fc.integer({ min: 1, max: 3 }))
  .map(([as, text, given, rows]) =>
    Buffer.concat([
      client.parse('', text),
      client.bind(as, '', given),
      client.describe('P', as),
      ...Array.from({ length: 4 }, () => client.execute(as, rows)),
      client.close('P', as),
    ]),
  )

const copyLines = fc.array(fc.constantFrom('1\n', '2\n3\n', '4', '\n', 'bad\n', '\\.\n'), { maxLength: 5 })
const copyEnd = fc.constantFrom(client.copyDone, client.copyDone, client.copyFail('no'))
const copyStart = fc.constantFrom(
  client.query('copy t from stdin'),
  client.query('copy nowhere from stdin'),
  client.query("select 1; copy t from stdin; select 2; notify news, 'copied'"),
  Buffer.concat([client.parse('', 'copy t from stdin'), client.bind('', ''), client.execute(''), client.sync]),
  Buffer.concat([
    client.parse('', 'copy t from stdin'),
    client.bind('', ''),
    client.describe('P', ''),
    client.execute(''),
  ]),
)
/** Used again, it would begin a COPY whose data nobody sends. */
const forgotten = Buffer.concat([client.close('S', ''), client.close('P', ''), client.sync])

/** libpq's way: a Sync before the data, which the server ignores while it reads them, and one after. */
const copy = fc
  .tuple(copyStart, copyLines, copyEnd)
  .map(([start, lines, end]) =>
    Buffer.concat([start, client.flush, ...lines.map(client.copyData), end, client.sync, forgotten]),
  )
/** Out of COPY the server ignores them. */
const stray = fc.constantFrom(client.copyData('x'), client.copyDone, client.copyFail('no'))

const step = fc.oneof(
  { weight: 6, arbitrary: parse },
  { weight: 6, arbitrary: bind },
  { weight: 6, arbitrary: execute },
  { weight: 3, arbitrary: describe },
  { weight: 2, arbitrary: close },
  { weight: 4, arbitrary: sync },
  { weight: 1, arbitrary: flush },
  { weight: 4, arbitrary: query },
  { weight: 1, arbitrary: call },
  { weight: 6, arbitrary: whole },
  { weight: 2, arbitrary: repeated },
  { weight: 2, arbitrary: copy },
  { weight: 1, arbitrary: stray },
)

/** Messages and where their bytes are cut into writes. */
const sequence = fc.tuple(fc.array(step, { minLength: 1, maxLength: 25 }), fc.array(fc.nat(), { maxLength: 4 }))

function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const at = [...new Set(places.map(place => place % (bytes.length + 1)))].sort((a, b) => a - b)
  return [...at, bytes.length].map((end, index) => bytes.subarray(at[index - 1] ?? 0, end))
}

t.test('random pipelines get the same answers through gate', async t => {
  await using world = await startWorld({ policy: openPolicy, sql, postgres: { authentication: 'trust' } })
  const alice = await world.person('alice')
  await using gate = await alice.connect('prod-db')
  for (const [version, runs] of [
    [196_608, RUNS],
    [196_610, RUNS / 5],
  ] as const) {
    const straight = new Wire(world.postgres.port, version)
    const through = new Wire(gate.port, version)
    let held = 0
    const same = fc.asyncProperty(sequence, async ([steps, places]) => {
      const chunks = cut(Buffer.concat(steps), places)
      const expected = show(await straight.converse(chunks))
      deepStrictEqual(show(await through.converse(chunks)), expected)
      held += 1
    })
    const details = await fc.check(same, { numRuns: runs, interruptAfterTimeLimit: TIME_LIMIT_MS })
    const counterexample = details.counterexample?.[0][0].map(bytes => bytes.toString('latin1'))
    t.ok(!details.failed, `${held} sequences, seed ${details.seed}`, {
      counterexample,
      error: String(details.errorInstance),
    })
    straight.close()
    through.close()
  }
})
