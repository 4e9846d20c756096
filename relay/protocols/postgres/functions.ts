// Which functions a database has, and what a call of one may do. Pure.
import { isHarmless } from './harmless.ts'

/** Objects that initdb makes have smaller OIDs: src/include/access/transam.h. */
export const FIRST_NORMAL_OBJECT_ID = 16_384

/** All functions of one name, in whatever schema. */
interface Named {
  /** One of them is PostgreSQL's. */
  own: boolean
  /** One of them is neither PostgreSQL's nor an immutable one of an extension (citext has a lower() of its own). */
  foreign: boolean
  /** All of them depend on their arguments alone. */
  immutable: boolean
  /** One of them may do anything: pg_proc.provolatile is v. */
  volatile: boolean
}

export class Functions {
  readonly #named = new Map<string, Named>()
  readonly #byOid = new Map<number, string>()

  /** Rows of OID, schema, name, volatility and whether an extension brought it, for every function of the database. */
  constructor(rows: readonly (readonly (string | null)[])[]) {
    for (const [oid, schema, name, volatility, extension] of rows) {
      const own = Number(oid) < FIRST_NORMAL_OBJECT_ID
      const brought = extension === 'true' && volatility === 'i'
      const known = this.#named.get(name ?? '') ?? { own: false, foreign: false, immutable: true, volatile: false }
      known.own ||= own
      known.foreign ||= !own && !brought
      known.immutable &&= volatility === 'i' && (schema === 'pg_catalog' || brought)
      known.volatile ||= volatility !== 'i' && volatility !== 's'
      this.#named.set(name ?? '', known)
      this.#byOid.set(Number(oid), `${schema}.${name}`)
    }
  }

  /** `pg_catalog.lo_creat`; undefined for an OID that no function has. */
  byOid(oid: number): string | undefined {
    return this.#byOid.get(oid)
  }

  isKnown(name: string): boolean {
    return this.#named.has(base(name))
  }

  /** Whether a function can only be PostgreSQL's own: somebody else's of that name, in whatever schema, puts it in doubt. */
  isBuiltIn(name: string): boolean {
    if (name.startsWith('pg_catalog.')) return true
    const known = name.includes('.') ? undefined : this.#named.get(name)
    return known?.own === true && !known.foreign
  }

  /** Whether a function, with or without its schema, is PostgreSQL's own and depends on its arguments alone. */
  isImmutable(name: string): boolean {
    const own = base(name)
    return this.isBuiltIn(name) && this.#named.get(own)?.immutable === true
  }

  /**
   * Whether calling it may do more than compute: a volatile function that is not known to be harmless, or one that the
   * catalog does not know. PostgreSQL lets no other function write.
   */
  isCall(name: string): boolean {
    const known = this.#named.get(base(name))
    if (known === undefined) return true
    if (!known.volatile) return false
    return !(known.own && !known.foreign && isHarmless(base(name)))
  }
}

/** The name without its schema: a function of that name in any schema is meant. */
function base(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1)
}
