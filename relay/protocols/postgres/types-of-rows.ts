// Which relations have rows that are, or are in, the values of a type: domains, arrays and composites are made of others. Pure.
import { withElement } from './as-read.ts'
import type { CatalogRows } from './catalog-queries.ts'

/** Types that somebody made, by what they are made of. */
export class TypesOfRows {
  readonly #names = new Map<number, string>()
  readonly #oids = new Map<string, number[]>()
  readonly #parts = new Map<number, number[]>()

  constructor({ types, typeParts }: Pick<CatalogRows, 'types' | 'typeParts'>) {
    for (const [oid, name] of types) {
      this.#names.set(Number(oid), name ?? '')
      this.#oids.set(name ?? '', [...(this.#oids.get(name ?? '') ?? []), Number(oid)])
    }
    for (const [type, part] of typeParts)
      this.#parts.set(Number(type), [...(this.#parts.get(Number(type)) ?? []), Number(part)])
  }

  /** Names of a type, by its name or OID, and of everything that its values hold; that of a relation is that of its rows. */
  namesIn(type: string | number): readonly string[] {
    const held = new Set(typeof type === 'number' ? [type] : this.#oids.get(type))
    for (const each of held) for (const part of this.#parts.get(each) ?? []) held.add(part)
    const names = [...held].flatMap(oid => this.#names.get(oid) ?? [])
    return typeof type === 'number' ? names : [...withElement(type), ...names]
  }
}
