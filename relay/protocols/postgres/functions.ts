// Which functions a database has, and what a call of one may do. Pure.
import { isHarmless } from './harmless.ts'

/** Objects that initdb makes have smaller OIDs: src/include/access/transam.h. */
const FIRST_NORMAL_OBJECT_ID = 16_384

/** All functions of one name, in whatever schema. */
interface Named {
  /** PostgreSQL's own and nobody else's. */
  builtIn: boolean
  /** All of them depend on their arguments alone. */
  immutable: boolean
  /** One of them may do anything: pg_proc.provolatile is v. */
  volatile: boolean
}

export class Functions {
  readonly #named = new Map<string, Named>()
  readonly #byOid = new Map<number, string>()

  /** Rows of OID, schema, name and volatility, for every function of the database. */
  constructor(rows: readonly (readonly (string | null)[])[]) {
    for (const [oid, schema, name, volatility] of rows) {
      const builtIn = Number(oid) < FIRST_NORMAL_OBJECT_ID
      const known = this.#named.get(name ?? '') ?? { builtIn: true, immutable: true, volatile: false }
      known.builtIn &&= builtIn
      known.immutable &&= volatility === 'i' && schema === 'pg_catalog'
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
    return !name.includes('.') && this.#named.get(name)?.builtIn !== false
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
    return !(known.builtIn && isHarmless(base(name)))
  }
}

/** The name without its schema: a function of that name in any schema is meant. */
function base(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1)
}
