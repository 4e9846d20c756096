// Prepared statements and portals as the server has them: changed when it confirms, never when something is merely sent. Pure.
import { type StatementFacts, unfollowedFacts } from './analysis/facts.ts'
import { plainText } from './analysis/recordable.ts'
import { nameKey } from './codec.ts'
import type { BindEntry, CloseEntry, Entry, ParseEntry, Portal, Prepared, QueryEntry } from './pending.ts'

/** Statements and portals that one session may have; PostgreSQL itself has no limit. */
const MAX_NAMES = 100_000

/** What a name stands for; `unsure` when the answer depends on what the server has not answered yet. */
export type Lookup<T> = { readonly found: T } | 'missing' | 'unsure'

/** The key of a name that stands in SQL, where it is UTF-8 text. */
export function sqlNameKey(name: string): string {
  return nameKey(Buffer.from(name, 'utf8'))
}

export const isAscii = (name: string): boolean => Buffer.byteLength(name) === name.length

export class Names {
  readonly #statements = new Map<string, Prepared>()
  readonly #portals = new Map<string, Portal>()
  /** The newest unanswered message about each name. */
  readonly #statementsInFlight = new Map<string, ParseEntry | CloseEntry | QueryEntry>()
  readonly #portalsInFlight = new Map<string, BindEntry | CloseEntry>()
  /** Unanswered commands that may define or drop names in SQL. */
  #namingInFlight = 0
  /** The database is in another encoding than UTF8: there names beyond ASCII are cut elsewhere than here, and folded. */
  asciiOnly = false

  get full(): boolean {
    return this.#statements.size >= MAX_NAMES || this.#portals.size >= MAX_NAMES
  }

  sent(entry: Entry): void {
    if (entry.kind === 'parse') this.#statementsInFlight.set(entry.name, entry)
    // A simple query drops the unnamed statement: exec_simple_query in src/backend/tcop/postgres.c.
    if (entry.kind === 'query') this.#statementsInFlight.set('', entry)
    if (entry.kind === 'close' && entry.what === 'statement') this.#statementsInFlight.set(entry.name, entry)
    if (entry.kind === 'close' && entry.what === 'portal') this.#portalsInFlight.set(entry.name, entry)
    if (entry.kind === 'bind') this.#portalsInFlight.set(entry.name, entry)
    this.#namingInFlight += namings(entry)
  }

  /** The entry was answered well or by an error, or skipped after an error before it. */
  settled(entry: Entry, how: 'done' | 'failed' | 'skipped'): void {
    this.#namingInFlight -= namings(entry)
    const done = how === 'done'
    switch (entry.kind) {
      case 'parse':
        if (done && entry.prepared !== undefined) this.#statements.set(entry.name, entry.prepared)
        // exec_parse_message drops the unnamed statement before it reads the new one.
        if (how === 'failed' && entry.name === '') this.#statements.delete('')
        if (this.#statementsInFlight.get(entry.name) === entry) this.#statementsInFlight.delete(entry.name)
        return
      case 'query':
        // One that the server skips after an error drops nothing.
        if (how !== 'skipped') this.#statements.delete('')
        if (this.#statementsInFlight.get('') === entry) this.#statementsInFlight.delete('')
        return
      case 'bind':
        if (done) this.#portals.set(entry.name, entry.portal)
        if (this.#portalsInFlight.get(entry.name) === entry) this.#portalsInFlight.delete(entry.name)
        return
      case 'close': {
        const [names, inFlight] =
          entry.what === 'statement'
            ? [this.#statements, this.#statementsInFlight]
            : [this.#portals, this.#portalsInFlight]
        if (done) names.delete(entry.name)
        if (inFlight.get(entry.name) === entry) inFlight.delete(entry.name)
        return
      }
    }
  }

  /** What Bind or Describe in this segment means by the name of a statement. */
  statement(name: string, segment: number): Lookup<Prepared> {
    // A command that is under way may change by SQL what was sent before it as well.
    if (this.#namingInFlight > 0) return 'unsure'
    const inFlight = this.#statementsInFlight.get(name)
    if (inFlight !== undefined) {
      // Within a segment an error makes the server skip what follows, so the newest Parse is the one, or nothing happens.
      if (inFlight.segment !== segment || inFlight.kind === 'query') return 'unsure'
      return inFlight.kind === 'parse' && inFlight.prepared !== undefined ? { found: inFlight.prepared } : 'missing'
    }
    const prepared = this.#statements.get(name)
    return prepared === undefined ? 'missing' : { found: prepared }
  }

  portal(name: string, segment: number): Lookup<Portal> {
    if (this.#namingInFlight > 0) return 'unsure'
    const inFlight = this.#portalsInFlight.get(name)
    if (inFlight !== undefined) {
      if (inFlight.segment !== segment) return 'unsure'
      return inFlight.kind === 'bind' ? { found: inFlight.portal } : 'missing'
    }
    const portal = this.#portals.get(name)
    return portal === undefined ? 'missing' : { found: portal }
  }

  /** What SQL means by a name; nothing may be in flight that could change it. */
  inSql(kind: 'statement' | 'portal', name: string): Lookup<Prepared | undefined> {
    if (this.asciiOnly && !isAscii(name)) return { found: doubtful(name, foreign) }
    if (this.#namingInFlight > 0 || this.#statementsInFlight.size > 0 || this.#portalsInFlight.size > 0) return 'unsure'
    const key = sqlNameKey(name)
    if (kind === 'portal') {
      const portal = this.#portals.get(key)
      if (portal === undefined) return 'missing'
      return { found: portal.declared || portal.executed ? bound(portal) : undecided(portal.prepared) }
    }
    const prepared = this.#statements.get(key)
    return prepared === undefined ? 'missing' : { found: prepared }
  }

  /** The server completed a statement that defines or drops names in SQL. */
  apply(naming: StatementFacts['naming'], defines: Prepared | undefined): void {
    if (naming === undefined) return
    switch (naming.kind) {
      case 'prepare':
        if (defines !== undefined) this.#statements.set(sqlNameKey(naming.name), defines)
        return
      case 'deallocate':
        if (naming.name === undefined) this.#statements.clear()
        else this.#statements.delete(sqlNameKey(naming.name))
        return
      case 'declare':
        this.#portals.set(sqlNameKey(naming.name), sqlPortal(defines, naming.holdable))
        return
      case 'close':
        if (naming.name === undefined) this.#portals.clear()
        else this.#portals.delete(sqlNameKey(naming.name))
        return
      case 'discard':
        if (naming.what === 'DISCARD_ALL') {
          this.#statements.clear()
          this.#portals.clear()
        }
        return
      case 'execute':
      case 'fetch':
        return
    }
  }

  /**
   * A statement that defines or drops a name failed after it may have run: at the commit, for example. Neither is undone by
   * a rollback (src/backend/commands/prepare.c).
   */
  failed(naming: StatementFacts['naming']): void {
    if (naming?.kind === 'prepare') this.#doubt(sqlNameKey(naming.name))
    if (naming?.kind !== 'deallocate' && naming?.kind !== 'discard') return
    const names =
      naming.kind === 'deallocate' && naming.name !== undefined ? [sqlNameKey(naming.name)] : this.#statements.keys()
    for (const name of [...names]) this.#doubt(name)
  }

  #doubt(name: string): void {
    this.#statements.set(name, doubtful(name, changed))
  }

  /** A transaction or a part of it is over: its portals are gone, but for cursors WITH HOLD. */
  transactionEnded(): void {
    for (const [name, portal] of this.#portals) if (!portal.holdable) this.#portals.delete(name)
  }
}

const changed = 'a command that failed may have changed what this name stands for: DEALLOCATE it, and define it anew'
const foreign = 'the database is in another encoding than UTF8, and there this name may be another: use ASCII'

/** What a name stands for of which nobody can say what it is. */
function doubtful(name: string, fault: string): Prepared {
  const facts = { ...unfollowedFacts('ExecuteStmt', 0, name.length, fault), fault, recordable: plainText }
  return { text: name, facts, parameterTypes: [], sensitive: true, guard: undefined, stands: () => false }
}

function bound({ prepared, parameters, uninspectedBytes }: Portal): Prepared | undefined {
  return prepared === undefined ? undefined : { ...prepared, bound: { parameters, uninspectedBytes } }
}

/** What was bound and never executed: nobody has decided over it, and FETCH would run it under another text. */
function undecided(prepared: Prepared | undefined): Prepared | undefined {
  if (prepared?.facts === undefined) return prepared
  const fault = 'the portal was not executed: FETCH and MOVE would run what nobody has decided over'
  return { ...prepared, facts: { ...prepared.facts, fault: prepared.facts.fault ?? fault } }
}

function sqlPortal(prepared: Prepared | undefined, holdable: boolean): Portal {
  return {
    prepared,
    declared: true,
    holdable,
    rowMask: 'unknown',
    description: undefined,
    described: false,
    plan: undefined,
    suspended: false,
    executed: false,
    parameters: [],
    uninspectedBytes: 0,
  }
}

/** How many unanswered changes of names in SQL an entry stands for. */
function namings(entry: Entry): number {
  if (entry.kind === 'query') return entry.plans.some(plan => changesNames(plan.naming)) ? 1 : 0
  if (entry.kind === 'execute') return changesNames(entry.plan?.naming) ? 1 : 0
  return 0
}

function changesNames(naming: StatementFacts['naming']): boolean {
  return naming !== undefined && naming.kind !== 'execute' && naming.kind !== 'fetch'
}
