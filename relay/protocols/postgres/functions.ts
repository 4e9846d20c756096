// Which functions a database has, and what a call of one may do. Pure.
import { isKnownName } from './analysis/known-names.ts'
import { extensions, isHarmless, isHarmlessOfExtension } from './harmless.ts'

/** Objects that initdb makes have smaller OIDs: src/include/access/transam.h. */
export const FIRST_NORMAL_OBJECT_ID = 16_384

/** Schemas of PostgreSQL's own: a name with one of them in front can mean no other function. */
const ownSchemas: ReadonlySet<string> = new Set(['pg_catalog', 'information_schema'])

/**
 * Stable functions that read the tables which a text names, or make a value of the type which it names and so run its checks:
 * nothing in the statement says what they do.
 */
export const readers =
  /^((table|schema|database)_to_xml(_and_xmlschema)?|crosstab\w*|connectby|xpath_table|ts_stat|pg_input_(is_valid|error_info)|(domain|array|record|range|multirange)_in)$/

/** They write, or tell others, and show nothing: what is masked is not given to them (`movers` in analysis/forms.ts). */
const tellers: ReadonlySet<string> = new Set(['setval', 'pg_notify'])

/** A relation or type that may call functions, a relation with rules for what is written to it, a view of the settings. */
export type MadeCaller = `${'relation' | 'type' | 'ruled' | 'settings'} ${string}`

/** In place of a name: anything may have been made, under any. */
export const ANYTHING = ' '

interface Function {
  readonly schema: string
  readonly name: string
  /** It is PostgreSQL's. */
  readonly own: boolean
  /** The extension that brought it; empty for none. */
  readonly extension: string
  /** pg_proc.provolatile: i immutable, s stable, v volatile; w: not volatile by its label, and may write all the same. */
  volatility: string
  /** Somebody wrote it, and it only computes: see plain-bodies.ts. */
  plain: boolean
  readonly returnsSet: boolean
  /** It takes a row, or anything: `t.f` then calls it. */
  readonly takesRow: boolean
}

export class Functions {
  /** All functions of one name, in whatever schema. */
  readonly #named = new Map<string, Function[]>()
  readonly #byOid = new Map<number, Function>()
  /** Names under which functions are being made that no snapshot shows yet: they may do anything. See made-callers.ts. */
  readonly #made: ReadonlySet<string>

  /**
   * Rows of OID, schema, name, volatility, extension, whether it returns a set and whether `t.f` can call it, for every
   * function of the database.
   */
  constructor(rows: readonly (readonly (string | null)[])[], made: ReadonlySet<string> = new Set()) {
    this.#made = made
    for (const [oid, schema, name, volatility, extension, returnsSet, takesRow] of rows) {
      const same = this.#named.get(name ?? '') ?? []
      const one: Function = {
        schema: schema ?? '',
        name: name ?? '',
        own: Number(oid) < FIRST_NORMAL_OBJECT_ID,
        extension: extension ?? '',
        volatility: volatility ?? '',
        plain: false,
        returnsSet: returnsSet !== 'false',
        takesRow: takesRow !== 'false',
      }
      same.push(one)
      this.#named.set(one.name, same)
      this.#byOid.set(Number(oid), one)
    }
  }

  /** A function does more than its label says; false when that is known of it. */
  doubt(oid: number, becomes: string): boolean {
    const found = this.#byOid.get(oid)
    if (found === undefined || !isLabelled(found)) return false
    found.volatility = becomes
    return true
  }

  /** A look into it shows that it only computes; false when that is known of it, or its name means something else. */
  believe(oid: number): boolean {
    const found = this.#byOid.get(oid)
    if (found === undefined || found.plain || isMeant(found.name)) return false
    found.plain = true
    return true
  }

  /** Whether a look into it has shown that it only computes. */
  isPlain(oid: number): boolean {
    return this.#byOid.get(oid)?.plain === true
  }

  /**
   * Whether a function of that name, if there is one, may do more than compute where a statement does not say so itself. What
   * set_config() sets, a call of it in a statement says.
   */
  isKnownCall(name: string): boolean {
    if (name === 'set_config') return true
    return this.#isOpaque(name) || (this.#named.get(name) ?? []).some((each, _, all) => this.#mayWrite(each, name, all))
  }

  /** `pg_catalog.lo_creat`; undefined for an OID that no function has. */
  byOid(oid: number): string | undefined {
    const found = this.#byOid.get(oid)
    return found && `${found.schema}.${found.name}`
  }

  /** Whether the function with that OID may do more than compute. */
  isCallByOid(oid: number): boolean {
    const found = this.#byOid.get(oid)
    return found === undefined || this.#isOpaque(found.name) || this.#mayWrite(found, found.name, [found])
  }

  isKnown(name: string): boolean {
    return this.#named.has(base(name))
  }

  /** Every function that the name can mean. Without a schema, or with somebody's, that is each of that name. */
  #meant(name: string): readonly Function[] {
    const same = this.#named.get(base(name)) ?? []
    const schema = name.slice(0, Math.max(0, name.length - base(name).length - 1))
    return ownSchemas.has(schema) ? same.filter(each => each.schema === schema) : same
  }

  /**
   * Whether every function that the name can mean shows nothing but what it is given, texts of the catalog or the state of
   * the session, and nothing of others.
   */
  showsOnlyItsArguments(name: string): boolean {
    const meant = this.#meant(name)
    return (
      meant.length > 0 &&
      !this.#isMade(base(name)) &&
      meant.every(each => computes(each, base(name), meant) || (each.own && tellers.has(base(name))))
    )
  }

  /** Whether it is one of PostgreSQL's own that may show what others have. */
  showsOthers(name: string): boolean {
    const own = this.#meant(name).filter(each => each.own)
    return !own.every(each => computes(each, base(name), own) || tellers.has(base(name)))
  }

  /** The same of the function with that OID; one that is not known may. */
  showsOthersByOid(oid: number): boolean {
    const found = this.#byOid.get(oid)
    return found === undefined || (found.own && !computes(found, found.name, [found]) && !tellers.has(found.name))
  }

  /** Whether one extension brought every function that the name can mean. */
  isOfExtension(name: string, extension: string): boolean {
    const meant = this.#meant(name)
    return meant.length > 0 && !this.#isMade(base(name)) && meant.every(each => each.extension === extension)
  }

  /** Whether somebody made a function of that name. */
  isMade(name: string): boolean {
    return (this.#named.get(name) ?? []).some(each => !each.own)
  }

  /** Whether one that the name can mean is neither PostgreSQL's nor of an extension; one that is not known may be. */
  isSomebodys(name: string): boolean {
    const meant = this.#meant(name)
    return meant.length === 0 || meant.some(({ own, extension }) => !own && extension === '')
  }

  /** Whether it may return more than one row. */
  returnsSet(name: string): boolean {
    return this.#meant(name).some(each => each.returnsSet)
  }

  /** Whether `t.name` calls a function of the row t, where that has no such column. */
  takesRow(name: string): boolean {
    return this.#isMade(name) || this.#meant(name).some(each => each.takesRow)
  }

  /** Whether `t.name` may call a function that is not known to be harmless, of the row t. */
  isCalledOfRows(name: string): boolean {
    const meant = this.#meant(name)
    return meant.some(each => each.takesRow && !each.own && !computes(each, name, meant))
  }

  /**
   * Whether calling it may do more than compute: a volatile function that is not known to be harmless, one that the
   * catalog does not know, or one that reads tables by their names. See catalog-mentions.ts.
   */
  isCall(name: string): boolean {
    const plain = base(name)
    const meant = this.#named.get(plain)
    if (meant === undefined || this.#isOpaque(plain)) return true
    return meant.some(each => this.#mayWrite(each, plain, meant))
  }

  /** Whether such a call may be made while a statement is planned: the server works out what is labelled so that it can. */
  isCallInPlanning(name: string): boolean {
    return this.#isMade(base(name)) || this.#meant(name).some(each => each.volatility === 'w' || this.#isDoubted(each))
  }

  /** The same of the function with that OID. */
  isCallInPlanningByOid(oid: number): boolean {
    const found = this.#byOid.get(oid)
    return found === undefined || found.volatility === 'w' || this.#isMade(found.name) || this.#isDoubted(found)
  }

  /** Whether `t.name` may be such a call, of the row t. */
  isCallOfRow(name: string): boolean {
    const meant = this.#meant(name)
    return this.#isMade(name) || meant.some(each => each.takesRow && this.#mayWrite(each, name, meant))
  }

  /** Whether anything is being made. */
  get areMade(): boolean {
    return this.#made.size > 0
  }

  /** Whether something got such a name by a command that no snapshot shows. */
  isMadeCaller(name: MadeCaller): boolean {
    return this.#isMade(name)
  }

  #isMade(name: string): boolean {
    return this.#made.has(name) || this.#made.has(ANYTHING)
  }

  /** Its source may name what is being made: when it was looked through, that stood for nothing, or for another. */
  #isDoubted({ own, extension }: Function): boolean {
    return this.areMade && !own && extension === ''
  }

  #mayWrite(one: Function, name: string, all: readonly Function[]): boolean {
    return this.#isDoubted(one) || mayWrite(one, name, all)
  }

  /** Whether nothing is known of what it reads or does. */
  #isOpaque(name: string): boolean {
    return readers.test(name) || this.#isMade(name)
  }
}

/** Whether gate goes by the name wherever it stands. */
const isMeant = (name: string): boolean => isHarmless(name) || readers.test(name) || isKnownName(name)

const isLabelled = ({ volatility }: Function): boolean => volatility === 'i' || volatility === 's'

function mayWrite(one: Function, name: string, all: readonly Function[]): boolean {
  return !isLabelled(one) && !computes(one, name, all)
}

function computes(one: Function, name: string, all: readonly Function[]): boolean {
  const immutable = one.volatility === 'i'
  if (one.own) return immutable || isHarmless(name)
  if (one.extension === '') return one.plain
  if (extensions.has(one.extension)) return immutable || isHarmlessOfExtension(name)
  // Only a superuser brings extensions; what one adds to a name of PostgreSQL's (a length() of its own type) casts no doubt on it.
  return immutable && all.some(each => each.own)
}

/** The name without its schema: a function of that name in any schema is meant. */
function base(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1)
}
