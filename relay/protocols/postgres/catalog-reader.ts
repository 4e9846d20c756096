// Reads the catalog through a stream of the room's own, and keeps the newest snapshot of each target.
import type { Clock } from '@gate/shared/clock'
import { asGateError, GateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import type { TargetStream } from '../protocol.ts'
import type { Analyser } from './analysis/analyser.ts'
import type { StatementFacts } from './analysis/facts.ts'
import type { Called } from './calling.ts'
import { Catalog, type View, viewKinds } from './catalog.ts'
import { type CatalogRows, catalogQueries, isSystemRow, systemQueries, unlockedDefinitions } from './catalog-queries.ts'
import { CatalogStream, type Rows } from './catalog-stream.ts'
import { exceptOf, onlyOf, readableOf } from './damaged-views.ts'
import { calledInBody } from './plain-bodies.ts'
import { SchemaChanges } from './schema-changes.ts'
import { Staleness } from './staleness.ts'

/** A snapshot this old is not used any more; changes seen passing make it old at once. */
const MAX_AGE_MS = 60_000
/** A snapshot this old is read anew while it is still used, so that nobody waits. */
const REFRESH_AGE_MS = 15_000
/** The same for one that lacks the changes of the session that uses it. */
const MAX_OWN_AGE_MS = 5_000
const OWN_REFRESH_AGE_MS = 1_000
const READ_DEADLINE_MS = 15_000
/** Somebody who alters a view keeps its definition from being read for no longer than this. */
const DEFINITION_LOCK_MS = 100
/** SQLSTATE of a lock that was not to be had in time. */
const LOCK_NOT_AVAILABLE = '55P03'
/**
 * A migration changes the catalog with every statement, and a login costs more than a reading: the stream stays open so
 * long. CREATE DATABASE … TEMPLATE waits 5 s for others to leave, so less than that.
 */
const IDLE_STREAM_MS = 2_000

/** Views beyond these count as masked, and as calling anything. */
const MAX_FOLLOWED_VIEWS = 5_000

/** What was read in texts that the catalog keeps, by the OID of what they define. */
type ReadTexts<What> = ReadonlyMap<number, { readonly text: string; readonly read: What | undefined }>

/** What is known of one target. */
interface Known {
  readonly catalog: Catalog
  readonly definitions: ReadTexts<View>
  readonly bodies: ReadTexts<Called>
  /** When the snapshot was begun. */
  readonly readMs: number
  /** Of PostgreSQL's own objects, and when they were read. */
  readonly system: Partial<CatalogRows>
  readonly systemMs: number
  /** Views that the server could not explain then. */
  readonly damaged: readonly number[]
}

type Open = (signal: AbortSignal) => Promise<TargetStream>

export class Catalogs implements Disposable {
  readonly #analyser: Analyser
  readonly #clock: Clock
  readonly #log: Log
  readonly #targets = new Map<string, Known>()
  readonly #reading = new Map<string, Promise<Catalog>>()
  readonly #changes = new Map<string, SchemaChanges>()
  readonly #staleness = new Map<string, Staleness>()
  /** Targets whose catalog a pooler answered for when it was read last. */
  readonly #pooled = new Set<string>()
  readonly #idle = new Map<string, { readonly stream: CatalogStream; readonly timer: NodeJS.Timeout }>()

  constructor(analyser: Analyser, clock: Clock, log: Log) {
    this.#analyser = analyser
    this.#clock = clock
    this.#log = log
  }

  /**
   * The snapshot, if it is young enough to be used without asking; `refresh` is called when it gets old. With `owner` also one
   * that lacks nothing but what this session has changed.
   */
  fresh(target: string, refresh: () => Promise<Catalog>, owner?: symbol): Catalog | undefined {
    const known = this.#targets.get(target)
    if (known === undefined) return undefined
    const age = this.#clock.monotonic() - known.readMs
    const staleness = this.#stalenessOf(target)
    const isFresh = staleness.isFresh(known.readMs)
    if (!isFresh && (owner === undefined || !staleness.isOnlyBy(owner, known.readMs))) return undefined
    if (age > (isFresh ? MAX_AGE_MS : MAX_OWN_AGE_MS)) return undefined
    if (age > (isFresh ? REFRESH_AGE_MS : OWN_REFRESH_AGE_MS) && !this.#reading.has(target)) {
      refresh().catch(error => this.#log.warn('postgres.catalog-failed', { target, error }))
    }
    return known.catalog
  }

  #stalenessOf(target: string): Staleness {
    const known = this.#staleness.get(target) ?? new Staleness()
    this.#staleness.set(target, known)
    return known
  }

  /** The newest snapshot there is: for what depends on nothing in it. */
  newest(target: string): Catalog | undefined {
    return this.#targets.get(target)?.catalog
  }

  /** Whether a pooler stands before the target, as far as a reading of its catalog showed. */
  isPooled(target: string): boolean {
    return this.#pooled.has(target)
  }

  /** What sessions with the target are changing. */
  changesOf(target: string): SchemaChanges {
    const known = this.#changes.get(target) ?? new SchemaChanges()
    this.#changes.set(target, known)
    return known
  }

  /** Something changed the catalog, or may have; with `owner`, in a way that this session can do without. */
  invalidate(target: string, owner?: symbol): void {
    this.#stalenessOf(target).changed(this.#clock.monotonic(), owner)
  }

  /**
   * A snapshot read after this call began.
   * @throws {GateError} when the target cannot be asked; nothing masked may be answered then.
   */
  async read(target: string, open: Open): Promise<Catalog> {
    // A reading under way may have begun before the change that the caller knows of.
    await this.#reading.get(target)?.catch(() => {})
    const shared = this.#reading.get(target)
    if (shared !== undefined) return shared
    const reading = this.#read(target, open).finally(() => this.#reading.delete(target))
    this.#reading.set(target, reading)
    return reading
  }

  /** Reads texts of the catalog; those that did not change are known already. */
  async #readTexts<What>(
    rows: CatalogRows['definitions'],
    before: ReadTexts<What> | undefined,
    read: (facts: StatementFacts) => What | undefined,
  ): Promise<ReadTexts<What>> {
    const texts = new Map<number, { text: string; read: What | undefined }>()
    for (const [oid, definition] of rows) {
      const text = definition ?? ''
      const known = before?.get(Number(oid))
      if (known?.text === text) texts.set(Number(oid), known)
      else {
        // A definition that cannot be analysed leaves a view that cannot be followed: all of it counts as masked then, and as calling anything.
        const facts = await readStatement(this.#analyser, text).catch(error => {
          this.#log.warn('postgres.view-not-followed', { error })
          return undefined
        })
        texts.set(Number(oid), { text, read: facts === undefined ? undefined : read(facts) })
      }
    }
    return texts
  }

  async #read(target: string, open: Open): Promise<Catalog> {
    const began = this.#clock.monotonic()
    const before = this.#targets.get(target)
    const system = before !== undefined && began - before.systemMs <= MAX_AGE_MS ? before : undefined
    try {
      const { rows, damaged } = await this.#rows(target, open, system)
      const definitions = await this.#readTexts(
        rows.definitions.slice(0, MAX_FOLLOWED_VIEWS),
        before?.definitions,
        viewOf,
      )
      const bodies = await this.#readTexts(rows.bodies, before?.bodies, calledInBody)
      const catalog = new Catalog(rows, readOf(definitions), undefined, undefined, false, readOf(bodies))
      this.#targets.set(target, {
        catalog,
        definitions,
        bodies,
        readMs: began,
        system: system?.system ?? systemRows(rows),
        systemMs: system?.systemMs ?? began,
        damaged,
      })
      this.#stalenessOf(target).read(began)
      this.#log.debug('postgres.catalog-read', { target, durationMs: Math.round(this.#clock.monotonic() - began) })
      return catalog
    } catch (thrown) {
      throw asGateError(thrown, 'ERR_GATE_TARGET_UNREACHABLE', `the catalog of ${target} cannot be read`)
    }
  }

  /**
   * PostgreSQL reads definitions of views as they are now, not as they were when the transaction began: when something that
   * a view needs is dropped meanwhile, it fails, and a moment later it does not. Where a lock is in the way, views that have
   * nothing to do with it are read all the same.
   */
  async #rows(
    target: string,
    open: Open,
    system: Pick<Known, 'system' | 'damaged'> | undefined,
  ): Promise<{ readonly rows: CatalogRows; readonly damaged: readonly number[] }> {
    const known = system?.damaged ?? []
    const others = (query: string): string => (known.length === 0 ? query : exceptOf(query, known))
    const answers = await this.#ask(target, open, questions(system === undefined, others))
    const failure = failureOf(answers)
    if (failure === undefined) return { rows: rowsOf(answers, system?.system), damaged: known }
    this.#log.debug('postgres.catalog-failed', { target, error: failure })
    const unlocked = (query: string): string => (isLocked(failure) ? unlockedDefinitions(others(query)) : others(query))
    const again = await this.#ask(target, open, questions(system === undefined, unlocked))
    const rows = rowsOf(again, system?.system)
    const second = failureOf(again)
    if (second === undefined || isLocked(second)) return { rows, damaged: known }
    this.#log.warn('postgres.view-not-explained', { target, error: second })
    const { rows: definitions, damaged } = await readableOf(
      viewsIn(rows, known),
      async views =>
        (await this.#ask(target, open, definitionsOf(onlyOf(unlocked(catalogQueries(false)[LAST]), views)))).at(
          LAST_ANSWER,
        ) ?? [],
    )
    return { rows: { ...rows, [LAST]: definitions }, damaged: [...known, ...damaged] }
  }

  /** Asks on the stream of the last reading, if there still is one; where that has broken meanwhile, on a new one. */
  async #ask(target: string, open: Open, queries: readonly string[]): Promise<(Rows | GateError)[]> {
    const signal = AbortSignal.timeout(READ_DEADLINE_MS)
    const idle = this.#takeIdle(target)
    if (idle !== undefined) {
      try {
        return await this.#askOn(idle, target, queries, signal)
      } catch (error) {
        this.#log.debug('postgres.catalog-failed', { target, error })
      }
    }
    return this.#askOn(new CatalogStream(await open(signal)), target, queries, signal)
  }

  async #askOn(
    stream: CatalogStream,
    target: string,
    queries: readonly string[],
    signal: AbortSignal,
  ): Promise<(Rows | GateError)[]> {
    try {
      const answers = await stream.ask(queries, signal)
      if (stream.isPooled) this.#pooled.add(target)
      else this.#pooled.delete(target)
      const timer = setTimeout(() => this.#takeIdle(target)?.close(), IDLE_STREAM_MS).unref()
      this.#idle.set(target, { stream, timer })
      return answers
    } catch (thrown) {
      stream.destroy()
      throw thrown
    }
  }

  #takeIdle(target: string): CatalogStream | undefined {
    const idle = this.#idle.get(target)
    clearTimeout(idle?.timer)
    this.#idle.delete(target)
    return idle?.stream
  }

  [Symbol.dispose](): void {
    for (const target of this.#idle.keys()) this.#takeIdle(target)?.close()
  }
}

/** The one statement of a text; undefined when it cannot be read. */
async function readStatement(analyser: Analyser, text: string): Promise<StatementFacts | undefined> {
  const analysis = analyser.known(text) ?? (await analyser.analyse(text))
  const [statement, second] = 'statements' in analysis ? analysis.statements : []
  return second === undefined ? statement : undefined
}

/** What a view's definition says. */
function viewOf({ lineage, functions, newer, operators, fields, types, parts }: StatementFacts): View {
  return {
    query: lineage.kind === 'query' ? lineage.query : undefined,
    called: { functions, newer, operators, fields, types },
    reads: parts.flatMap(part => part.reads),
  }
}

const readOf = <What>(texts: ReadTexts<What>): ReadonlyMap<number, What> =>
  new Map([...texts].flatMap(([oid, { read }]) => (read === undefined ? [] : [[oid, read] as const])))

type Name = keyof CatalogRows

/** Asked for last, since others can be in the way. */
const LAST: Name = 'definitions'
const names = (Object.keys(catalogQueries(true)) as Name[]).filter(name => name !== LAST)

/**
 * One transaction, so that the answers fit together. Definitions of views then name every table with its schema. To compile these
 * queries takes the server ten times as long as to run them.
 */
const BEFORE = [
  'begin isolation level repeatable read read only',
  'set local search_path = pg_catalog',
  'set local jit = off',
]
const BEFORE_LAST = [`set local lock_timeout = '${DEFINITION_LOCK_MS}ms'`]
const AFTER = ['rollback']
/** Where the answer to the last question is. */
const LAST_ANSWER = -1 - AFTER.length

const isLocked = ({ fields }: GateError): boolean => fields?.['C'] === LOCK_NOT_AVAILABLE

/** Why definitions could not be read. */
function failureOf(answers: readonly (Rows | GateError)[]): GateError | undefined {
  const last = answers.at(LAST_ANSWER)
  return last instanceof GateError ? last : undefined
}

const definitionsOf = (query: string): string[] => [...BEFORE, ...BEFORE_LAST, query, ...AFTER]

/** As many views as are followed, without those that are known to be damaged. */
function viewsIn({ relations }: CatalogRows, damaged: readonly number[]): readonly number[] {
  const views = relations.filter(row => viewKinds.has(row[3] ?? '') && !isSystemRow(row)).map(([oid]) => Number(oid))
  return views.filter(oid => !damaged.includes(oid)).slice(0, MAX_FOLLOWED_VIEWS)
}

function questions(system: boolean, last = (query: string): string => query): string[] {
  const queries = catalogQueries(system)
  return [...BEFORE, ...names.map(name => queries[name]), ...BEFORE_LAST, last(queries[LAST]), ...AFTER]
}

/**
 * PostgreSQL locks each view to read its definition, and the lock can be one that the very session holds which waits for
 * this catalog; and a view over something that is gone makes it fail. Views that are not read cannot be followed for now, and
 * count as masked whole: nothing else says which of them read tables by a text.
 * @throws {GateError} when anything else could not be read.
 */
function rowsOf(answers: readonly (Rows | GateError)[], system: Partial<CatalogRows> | undefined): CatalogRows {
  const last = answers.at(LAST_ANSWER)
  const rows = answers.map(answer => {
    if (!(answer instanceof GateError)) return answer
    if (answer !== last) throw answer
    return []
  })
  const read = names.map((name, index) => [name, [...(system?.[name] ?? []), ...(rows[BEFORE.length + index] ?? [])]])
  return { ...Object.fromEntries(read), [LAST]: rows.at(LAST_ANSWER) }
}

function systemRows(rows: CatalogRows): Partial<CatalogRows> {
  return Object.fromEntries(systemQueries.map(name => [name, rows[name].filter(isSystemRow)]))
}
