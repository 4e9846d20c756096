// Reads the catalog through a stream of the room's own, and keeps the newest snapshot of each target.
import type { Clock } from '@gate/shared/clock'
import { asGateError, GateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import { serialize } from 'pg-protocol'
import type { TargetStream } from '../protocol.ts'
import type { Analyser } from './analysis/analyser.ts'
import type { Query } from './analysis/lineage.ts'
import { Catalog, type CatalogRows, catalogQueries } from './catalog.ts'
import { D, E, HEADER_BYTES, Reader, readErrorFields, Z } from './codec.ts'

/** A snapshot this old is not used any more; changes seen passing make it old at once. */
const MAX_AGE_MS = 60_000
/** A snapshot this old is read anew while it is still used, so that nobody waits. */
const REFRESH_AGE_MS = 15_000
const READ_DEADLINE_MS = 15_000
/** Somebody who alters a view keeps its definition from being read for no longer than this. */
const DEFINITION_LOCK_MS = 100
/** SQLSTATE of a lock that was not to be had in time. */
const LOCK_NOT_AVAILABLE = '55P03'
/** A catalog of 100,000 columns has about 10 MB. */
const MAX_CATALOG_BYTES = 256 * 1024 * 1024

/** Views beyond these count as masked wherever they read something masked. */
const MAX_FOLLOWED_VIEWS = 5_000

type Definitions = ReadonlyMap<number, { readonly text: string; readonly query: Query | undefined }>

export class Catalogs {
  readonly #analyser: Analyser
  readonly #clock: Clock
  readonly #log: Log
  readonly #targets = new Map<string, { catalog: Catalog; definitions: Definitions; readMs: number }>()
  readonly #reading = new Map<string, Promise<Catalog>>()

  constructor(analyser: Analyser, clock: Clock, log: Log) {
    this.#analyser = analyser
    this.#clock = clock
    this.#log = log
  }

  /** The snapshot, if it is young enough to be used without asking; `refresh` is called when it gets old. */
  fresh(target: string, refresh: () => Promise<Catalog>): Catalog | undefined {
    const known = this.#targets.get(target)
    if (known === undefined) return undefined
    const age = this.#clock.monotonic() - known.readMs
    if (age > MAX_AGE_MS) return undefined
    if (age > REFRESH_AGE_MS && !this.#reading.has(target)) {
      refresh().catch(error => this.#log.warn('postgres.catalog-failed', { target, error }))
    }
    return known.catalog
  }

  /** Something changed the catalog, or may have. */
  invalidate(target: string): void {
    const known = this.#targets.get(target)
    if (known !== undefined) known.readMs = Number.NEGATIVE_INFINITY
  }

  /**
   * A snapshot read after this call began.
   * @throws {GateError} when the target cannot be asked; nothing masked may be answered then.
   */
  async read(target: string, open: (signal: AbortSignal) => Promise<TargetStream>): Promise<Catalog> {
    // A reading under way may have begun before the change that the caller knows of.
    await this.#reading.get(target)?.catch(() => {})
    const shared = this.#reading.get(target)
    if (shared !== undefined) return shared
    const reading = this.#read(target, open).finally(() => this.#reading.delete(target))
    this.#reading.set(target, reading)
    return reading
  }

  /** Reads the definitions of views; those that did not change are known already. */
  async #followViews(rows: CatalogRows['definitions'], before: Definitions | undefined): Promise<Definitions> {
    const definitions = new Map<number, { text: string; query: Query | undefined }>()
    for (const [oid, definition] of rows.slice(0, MAX_FOLLOWED_VIEWS)) {
      const text = definition ?? ''
      const known = before?.get(Number(oid))
      if (known?.text === text) definitions.set(Number(oid), known)
      else {
        // A definition that cannot be analysed leaves a view that cannot be followed: all of it counts as masked then.
        const query = await followView(this.#analyser, text).catch(error => {
          this.#log.warn('postgres.view-not-followed', { error })
          return undefined
        })
        definitions.set(Number(oid), { text, query })
      }
    }
    return definitions
  }

  async #read(target: string, open: (signal: AbortSignal) => Promise<TargetStream>): Promise<Catalog> {
    const began = this.#clock.monotonic()
    try {
      const rows = await readRows(open, AbortSignal.timeout(READ_DEADLINE_MS))
      const definitions = await this.#followViews(rows.definitions, this.#targets.get(target)?.definitions)
      const catalog = new Catalog(rows, queriesOf(definitions))
      this.#targets.set(target, { catalog, definitions, readMs: began })
      this.#log.debug('postgres.catalog-read', { target, durationMs: Math.round(this.#clock.monotonic() - began) })
      return catalog
    } catch (thrown) {
      throw asGateError(thrown, 'ERR_GATE_TARGET_UNREACHABLE', `the catalog of ${target} cannot be read`)
    }
  }
}

/** The query that a view's definition is; undefined when it cannot be followed. */
async function followView(analyser: Analyser, text: string): Promise<Query | undefined> {
  const analysis = analyser.known(text) ?? (await analyser.analyse(text))
  const [statement, second] = 'statements' in analysis ? analysis.statements : []
  const lineage = second === undefined ? statement?.lineage : undefined
  return lineage?.kind === 'query' ? lineage.query : undefined
}

function queriesOf(definitions: Definitions): Map<number, Query> {
  return new Map([...definitions].flatMap(([oid, { query }]) => (query === undefined ? [] : [[oid, query] as const])))
}

async function readRows(
  open: (signal: AbortSignal) => Promise<TargetStream>,
  signal: AbortSignal,
): Promise<CatalogRows> {
  const stream = await open(signal)
  const abort = (): void =>
    stream.port.destroy(new GateError('ERR_GATE_TIMEOUT', 'the catalog could not be read in time'))
  signal.addEventListener('abort', abort, { once: true })
  try {
    const names = Object.keys(catalogQueries) as (keyof typeof catalogQueries)[]
    const results = new ResultReader(stream.port[Symbol.asyncIterator]())
    await results.next()
    const rows: Partial<Record<keyof typeof catalogQueries, (string | null)[][]>> = {}
    // One transaction, so that the four answers fit together.
    await stream.port.write(serialize.query('begin isolation level repeatable read read only'))
    await results.next()
    // Definitions of views then name every table with its schema.
    await stream.port.write(serialize.query('set local search_path = pg_catalog'))
    await results.next()
    const ask = async (sql: string): Promise<(string | null)[][]> => {
      await stream.port.write(serialize.query(sql))
      return results.next()
    }
    for (const name of names)
      rows[name] = name === 'definitions' ? await readDefinitions(ask) : await ask(catalogQueries[name])
    await stream.port.write(serialize.end())
    stream.port.end()
    return rows as CatalogRows
  } finally {
    signal.removeEventListener('abort', abort)
    stream.port.destroy()
  }
}

/**
 * Reads the definitions of views. PostgreSQL locks each view for that, and the lock can be one that the very session holds
 * which waits for this catalog: then no view can be followed for now, and those over masked columns count as masked whole.
 */
async function readDefinitions(ask: (sql: string) => Promise<(string | null)[][]>): Promise<(string | null)[][]> {
  await ask(`savepoint definitions`)
  await ask(`set local lock_timeout = '${DEFINITION_LOCK_MS}ms'`)
  try {
    return await ask(catalogQueries.definitions)
  } catch (thrown) {
    if (asGateError(thrown).fields?.['C'] !== LOCK_NOT_AVAILABLE) throw thrown
    return []
  } finally {
    await ask('rollback to savepoint definitions')
  }
}

/** Reads whole answers, up to each ReadyForQuery. Everything is text: the simple protocol has no other. */
class ResultReader {
  readonly #source: AsyncIterator<Buffer>
  #bytes: Buffer = Buffer.alloc(0)
  #total = 0

  constructor(source: AsyncIterator<Buffer>) {
    this.#source = source
  }

  async next(): Promise<(string | null)[][]> {
    const rows: (string | null)[][] = []
    let failure: GateError | undefined
    for (;;) {
      const { type, body } = await this.#message()
      if (type === D) rows.push(readRow(body))
      else if (type === E) {
        const fields = readErrorFields(body)
        failure = new GateError('ERR_GATE_TARGET_PROTOCOL', `the catalog cannot be read: ${fields.get('M') ?? ''}`, {
          fields: { C: fields.get('C') ?? '' },
        })
      } else if (type === Z) {
        if (failure !== undefined) throw failure
        return rows
      }
    }
  }

  async #message(): Promise<{ type: number; body: Buffer }> {
    for (;;) {
      if (this.#bytes.length >= HEADER_BYTES) {
        const length = this.#bytes.readInt32BE(1)
        if (length < 4 || length > MAX_CATALOG_BYTES)
          throw new GateError('ERR_GATE_TARGET_PROTOCOL', 'a message with an impossible length')
        if (this.#bytes.length > length) {
          const type = this.#bytes.readUInt8(0)
          const body = this.#bytes.subarray(HEADER_BYTES, length + 1)
          this.#bytes = this.#bytes.subarray(length + 1)
          return { type, body }
        }
      }
      const { value, done } = await this.#source.next()
      if (done === true) throw new GateError('ERR_GATE_AGENT_LOST', 'the connection ended while the catalog was read')
      this.#total += value.length
      if (this.#total > MAX_CATALOG_BYTES)
        throw new GateError('ERR_GATE_LIMIT', `a catalog of more than ${MAX_CATALOG_BYTES} bytes`)
      this.#bytes = Buffer.concat([this.#bytes, value])
    }
  }
}

function readRow(body: Buffer): (string | null)[] {
  const reader = new Reader(body)
  const values = Array.from({ length: reader.uint16() }, () => {
    const length = reader.int32()
    return length === -1 ? null : reader.bytes(length).toString('utf8')
  })
  reader.end()
  return values
}
