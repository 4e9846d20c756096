// What of a database runs functions that may do more than compute: operators, casts, checks of domains, views, rules. Pure.
import type { StatementFacts } from './analysis/facts.ts'
import { NAME_BYTES } from './as-read.ts'
import type { MentionKind } from './catalog-mentions.ts'
import type { CatalogRows } from './catalog-queries.ts'
import { FIRST_NORMAL_OBJECT_ID, type Functions } from './functions.ts'

/** What a statement, or the definition of a view, calls in one way or another. */
export type Called = Pick<StatementFacts, 'functions' | 'newer' | 'operators' | 'fields' | 'types'>

/** Ever, or before the statement is run. */
type When = 'ever' | 'before'

export class Calling {
  readonly #functions: Functions
  readonly #operators: ReadonlySet<string>
  /** Names of functions that the database runs by itself. */
  readonly #used: ReadonlySet<string>
  /** Types by name and by OID. */
  readonly #types = new Set<string | number>()
  /** Relations with rules for what is written to them, which call such ever, or when a statement with them is planned. */
  readonly #ruled: Readonly<Record<When, ReadonlySet<number>>>
  /** Relations with columns, or rows, of types whose casts call such: any expression can convert them, and says nothing of it. */
  readonly #cast: ReadonlySet<number>
  readonly #views: ReadonlyMap<number, Called>
  readonly #known: Readonly<Record<When, Map<number, boolean>>> = { ever: new Map(), before: new Map() }

  /** `views` are what their definitions call; a view that is not there could not be read. */
  constructor(rows: CatalogRows, functions: Functions, views: ReadonlyMap<number, Called>) {
    this.#functions = functions
    this.#views = views
    this.#used = new Set(rows.used.map(([name]) => name ?? ''))
    const calls = (oid: string | null | undefined): boolean => functions.isCallByOid(Number(oid))
    this.#operators = new Set(rows.operators.flatMap(([name, oid]) => (calls(oid) ? [name ?? ''] : [])))
    const callers = (of: CatalogRows['ruleCalls']): number[] =>
      of.flatMap(([caller, called]) => (calls(called) ? [Number(caller)] : []))
    const planned = rows.ruleCalls.filter(([, called]) => functions.isCallInPlanningByOid(Number(called)))
    this.#ruled = { ever: new Set(callers(rows.ruleCalls)), before: new Set(callers(planned)) }
    const cast = rows.types.flatMap(([oid, , , casts]) => (casts?.split(' ').some(calls) === true ? [Number(oid)] : []))
    const casting = withWholes(new Set(cast), rows.typeParts)
    this.#cast = new Set(rows.castTables.flatMap(([oid, type]) => (casting.has(Number(type)) ? [Number(oid)] : [])))
    const calling = withWholes(new Set([...cast, ...callers(rows.domainCalls)]), rows.typeParts)
    for (const [oid, name] of rows.types) if (calling.has(Number(oid))) this.#types.add(Number(oid)).add(name ?? '')
  }

  /** Names of what is called that may do anything. */
  by({ functions, newer, operators, fields, types }: Called): string[] {
    return [
      ...functions.filter(name => this.#functions.isCall(name)),
      ...newer.filter(name => this.#functions.isMade(name)),
      ...fields.filter(name => this.#functions.isCallOfRow(name)),
      ...this.types(types),
      ...operators.filter(name => this.#operators.has(name)).map(name => `operator ${name}`),
    ]
  }

  /** Those of the types whose casts or checks may do anything. */
  types(types: Called['types']): string[] {
    return types
      .filter(type => this.#types.has(type) || this.#functions.isMadeCaller(`type ${type}`))
      .map(type => `cast of ${typeof type === 'number' ? `the type with OID ${type}` : type}`)
  }

  /**
   * What is called while a statement is planned, or when its values are bound: before it is run. Functions by their labels; of
   * operators and of `t.name` it is not said which function is meant.
   */
  before(called: Called): string[] {
    return [
      ...called.functions.filter(name => this.#functions.isCallInPlanning(name)),
      ...this.by({ ...called, functions: [] }),
    ]
  }

  /**
   * Whether the text of a function may make a value of a type that calls such: the server does when it looks through the function,
   * for defaults of its parameters and constants in its source. What is spelled by escapes may be any.
   */
  mayMakeValues(text: string): boolean {
    const names = [...this.#types].filter(type => typeof type === 'string')
    if (names.length === 0) return false
    const small = text.toLowerCase()
    const words = new Set(small.split(/[^a-z0-9_$]+/).map(word => word.slice(0, NAME_BYTES)))
    const isNamed = (name: string): boolean =>
      /^[a-z0-9_$]+$/.test(name) ? words.has(name) : small.includes(name.replaceAll('"', '""'))
    return /u&|\be'/.test(small) || names.some(name => isNamed(name.toLowerCase()))
  }

  /** Whether a function of that name runs whenever somebody writes or reads a table: of a trigger, a default, an index. */
  runsByItself(name: string): boolean {
    return this.#used.has(name)
  }

  /** Whether what a function's source names may do anything; of views says `isCaller`. */
  isMentionedCall(kind: Exclude<MentionKind, 'view'>, name: string): boolean {
    if (kind === 'function') return this.#functions.isKnownCall(name)
    return kind === 'type' ? this.#types.has(name) : this.#operators.has(name)
  }

  /** Whether a relation itself calls such: a view by its definition, any by rules for what is written to it, or by casts of its values. */
  isCaller(oid: number, isView: boolean): boolean {
    return this.#ruled.ever.has(oid) || this.#cast.has(oid) || this.#viewCalls(oid, isView, 'ever')
  }

  /** Whether it does while a statement with it is planned. */
  isCallerBefore(oid: number, isView: boolean): boolean {
    return this.#ruled.before.has(oid) || this.#viewCalls(oid, isView, 'before')
  }

  #viewCalls(oid: number, isView: boolean, when: When): boolean {
    if (!isView || oid < FIRST_NORMAL_OBJECT_ID) return false
    const known = this.#known[when].get(oid)
    if (known !== undefined) return known
    const called = this.#views.get(oid)
    const calls = called === undefined || (when === 'ever' ? this.by(called) : this.before(called)).length > 0
    this.#known[when].set(oid, calls)
    return calls
  }
}

/** The types and everything that is made of them, however far. */
function withWholes(types: Set<number>, parts: CatalogRows['typeParts']): Set<number> {
  const wholes = new Map<number, number[]>()
  for (const [whole, part] of parts) {
    const known = wholes.get(Number(part)) ?? []
    known.push(Number(whole))
    wholes.set(Number(part), known)
  }
  for (const type of types) for (const whole of wholes.get(type) ?? []) types.add(whole)
  return types
}
