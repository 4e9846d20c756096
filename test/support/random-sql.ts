// Random statements over the tables of twins.ts, valid for the most part; the same seed gives the same statements.

interface Table {
  readonly name: string
  readonly columns: readonly string[]
}

const tables: readonly Table[] = [
  { name: 'customers', columns: ['id', 'name', 'email', 'salary', 'balance', 'label'] },
  { name: 'public.customers', columns: ['id', 'name', 'email', 'salary', 'balance'] },
  { name: 'users', columns: ['id', 'login', 'email'] },
  { name: 'notes', columns: ['id', 'customer_id', 'note', 'amount'] },
  { name: 'customer_view', columns: ['id', 'email', 'name'] },
  { name: 'deep_view', columns: ['id', 'mail', 'amount'] },
  { name: 'shout_view', columns: ['id', 'shout'] },
  { name: 'events', columns: ['id', 'happened', 'email'] },
]

interface Source {
  readonly alias: string
  readonly columns: readonly string[]
}

/** mulberry32: small, and the same everywhere. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

export class RandomSql {
  readonly #random: () => number
  #names = 0
  #common: Source[] = []

  constructor(seed: number) {
    this.#random = seeded(seed)
  }

  statement(): string {
    this.#names = 0
    this.#common = []
    const kind = this.#random()
    if (kind < 0.82) return this.#query(3)
    if (kind < 0.86) return `explain (costs off) ${this.#query(2)}`
    return this.#write()
  }

  #pick<T>(choices: readonly T[]): T {
    const chosen = choices[Math.floor(this.#random() * choices.length)]
    if (chosen === undefined) throw new Error('nothing to choose from')
    return chosen
  }

  #chance(share: number): boolean {
    return this.#random() < share
  }

  #name(prefix: string): string {
    this.#names += 1
    return `${prefix}${this.#names}`
  }

  #list<T>(most: number, make: () => T): T[] {
    return Array.from({ length: 1 + Math.floor(this.#random() * most) }, make)
  }

  #query(depth: number): string {
    const outer = this.#common
    const parts: string[] = []
    if (depth > 1 && this.#chance(0.2)) {
      const name = this.#name('w')
      const columns = this.#list(2, () => this.#name('k'))
      const inner = `select ${columns.map(() => '%').join(', ')}`
      const made = this.#select(depth - 1, columns.length)
      const recursive = this.#chance(0.3)
      parts.push(
        recursive
          ? `with recursive ${name}(${columns.join(', ')}) as (${made} union all select ${columns.join(', ')} from ${name} where false)`
          : `with ${name}(${columns.join(', ')}) as (${inner.length > 0 ? made : ''})`,
      )
      this.#common = [...outer, { alias: name, columns }]
    }
    parts.push(
      depth > 1 && this.#chance(0.1)
        ? this.#list(2, () => this.#select(depth - 1, 2)).join(
            this.#pick([' union all ', ' union ', ' except ', ' intersect ']),
          )
        : this.#select(depth, undefined),
    )
    this.#common = outer
    return parts.join(' ')
  }

  /** `width` columns, or as many as come. */
  #select(depth: number, width: number | undefined): string {
    const { text, sources } = this.#from(depth)
    const grouped = this.#chance(0.12)
    const keys = grouped ? this.#list(2, () => this.#column(sources)) : []
    const output = (): string => {
      if (grouped) return this.#chance(0.5) ? this.#pick(keys) : this.#aggregate(sources, depth)
      if (width === undefined && this.#chance(0.1)) return this.#chance(0.5) ? '*' : `${this.#pick(sources).alias}.*`
      const value = this.#value(sources, depth)
      return this.#chance(0.3) ? `${value} as ${this.#name('c')}` : value
    }
    const outputs = width === undefined ? this.#list(4, output) : Array.from({ length: width }, output)
    const distinct = this.#chance(0.06) ? 'distinct ' : ''
    if (width === undefined && this.#chance(0.04)) {
      const key = this.#pick(sources)
      const others = this.#list(2, () => this.#column(sources))
      return `select ${[`${key.alias}.${key.columns[0]}`, ...others, 'count(*)'].join(', ')} from ${text} group by ${[`${key.alias}.${key.columns[0]}`, ...others].join(', ')}`
    }
    return [
      `select ${distinct}${outputs.join(', ')} from ${text}`,
      this.#chance(0.5) ? `where ${this.#condition(sources, depth)}` : '',
      grouped ? `group by ${keys.join(', ')}` : '',
      grouped && this.#chance(0.3) ? `having ${this.#aggregate(sources, depth)} is not null` : '',
      width === undefined && !grouped && this.#chance(0.25)
        ? `order by ${this.#chance(0.3) ? '1' : this.#column(sources)}`
        : '',
    ]
      .filter(part => part !== '')
      .join(' ')
  }

  #from(depth: number): { text: string; sources: Source[] } {
    const sources: Source[] = []
    const item = (): string => {
      const alias = this.#name('t')
      const kind = this.#random()
      if (depth > 1 && kind < 0.15) {
        const columns = this.#list(3, () => this.#name('d'))
        sources.push({ alias, columns })
        return `(${this.#select(depth - 1, columns.length)}) ${alias}(${columns.join(', ')})`
      }
      const known = this.#common.length > 0 && kind < 0.4 ? this.#pick(this.#common) : undefined
      const table = known === undefined ? this.#pick(tables) : { name: known.alias, columns: known.columns }
      if (sources.length > 0 && kind > 0.96) {
        sources.push({ alias, columns: [alias] })
        return `lateral ${this.#pick(['string_to_table', 'regexp_split_to_table'])}(${this.#column(sources.slice(0, -1))}::text, 'a') ${alias}`
      }
      if (kind > 0.92) {
        const columns = table.columns.map(() => this.#name('r'))
        sources.push({ alias, columns })
        return `${table.name} ${alias}(${columns.join(', ')})`
      }
      sources.push({ alias, columns: table.columns })
      const sampled = known === undefined && !table.name.endsWith('_view') && this.#chance(0.03)
      return `${table.name} ${alias}${sampled ? ` tablesample bernoulli (90) repeatable (${this.#scalar(depth)})` : ''}`
    }
    let text = item()
    while (sources.length < 3 && this.#chance(0.35)) {
      const kind = this.#pick(['join', 'left join', 'full join', ','])
      const next = item()
      text = kind === ',' ? `${text}, ${next}` : `${text} ${kind} ${next} on ${this.#condition(sources, 1)}`
      // What stands before a comma cannot be named in a later ON.
      if (kind === ',') break
    }
    return { text, sources }
  }

  #column(sources: readonly Source[]): string {
    const source = this.#pick(sources)
    const column = this.#pick(source.columns)
    return this.#chance(0.85) ? `${source.alias}.${column}` : column
  }

  #constant(): string {
    return this.#pick(["'no such value'", '3', '20', 'null', "'a'", 'true', "'2026-01-01'"])
  }

  #value(sources: readonly Source[], depth: number): string {
    const kind = this.#random()
    if (depth <= 0 || kind < 0.5) return this.#column(sources)
    const inner = (): string => this.#value(sources, depth - 1)
    if (kind < 0.55) return this.#constant()
    if (kind < 0.62)
      return `${this.#pick(['upper', 'length', 'md5', 'reverse', 'to_jsonb', 'pg_typeof', 'row'])}(${inner()})`
    if (kind < 0.67) return `coalesce(${inner()}::text, ${inner()}::text)`
    if (kind < 0.72) return `(${inner()}::text || ${inner()}::text)`
    if (kind < 0.76) return `case when ${this.#condition(sources, depth - 1)} then ${inner()}::text end`
    if (kind < 0.81) return `(${this.#select(depth - 1, 1)} limit 1)`
    if (kind < 0.84) return `array(${this.#select(depth - 1, 1)})::text`
    if (kind < 0.88)
      return `${this.#pick(['rank()', 'count(*)', `min(${inner()}::text)`])} over (order by ${inner()}::text)`
    if (kind < 0.9) return this.#pick(sources).alias
    if (kind < 0.915)
      return `(${this.#column(sources)} ${this.#pick(['is null', "= 'no such value'", 'is not null', "::text in ('a', 'b')"])})`
    if (kind < 0.94) return `exists (${this.#select(depth - 1, 1)})`
    return `${inner()}::${this.#pick(['text', 'varchar(2)', 'int', 'jsonb'])}`
  }

  #scalar(depth: number): string {
    return depth > 1 ? `(select length(x::text) from (${this.#select(1, 1)}) s(x) limit 1)` : '3'
  }

  #aggregate(sources: readonly Source[], depth: number): string {
    const kind = this.#pick(['count(*)', 'count', 'min', 'max', 'string_agg', 'filter', 'distinct'])
    const value = this.#value(sources, Math.min(depth - 1, 1))
    if (kind === 'count(*)') return kind
    if (kind === 'string_agg') return `string_agg(${value}::text, ',' order by ${this.#column(sources)})`
    if (kind === 'filter') return `count(*) filter (where ${this.#condition(sources, 1)})`
    if (kind === 'distinct') return `count(distinct ${value})`
    return `${kind}(${value}::text)`
  }

  #condition(sources: readonly Source[], depth: number): string {
    const kind = this.#random()
    const column = this.#column(sources)
    if (depth > 0 && kind < 0.2)
      return `(${this.#condition(sources, depth - 1)} ${this.#pick(['and', 'or'])} ${this.#condition(sources, depth - 1)})`
    if (kind < 0.35) return `${column}::text = ${this.#pick(["'no such value'", "'3'", "'name 4'"])}`
    if (kind < 0.45) return `${column}::text in ('no such value', '7', 'name 3')`
    if (kind < 0.53) return `${column} is ${this.#pick(['', 'not '])}null`
    if (kind < 0.63) return `${column} = ${this.#column(sources)}`
    if (kind < 0.7)
      return `${column}::text ${this.#pick(['<', '>', 'like', '~'])} ${this.#pick(["'m'", "'5%'", "'a'"])}`
    if (kind < 0.76) return `not (${this.#condition(sources, depth - 1)})`
    if (depth > 0 && kind < 0.84) return `${column}::text in (select x::text from (${this.#select(depth - 1, 1)}) s(x))`
    if (depth > 0 && kind < 0.9) return `exists (${this.#select(depth - 1, 1)})`
    return `lower(${column}::text) = lower('No Such Value')`
  }

  #write(): string {
    const target = { alias: 'notes', columns: ['id', 'customer_id', 'note', 'amount'] }
    const own = { alias: 'customers', columns: ['id', 'name', 'email', 'salary', 'balance'] }
    switch (this.#pick(['insert', 'update', 'from', 'delete', 'own', 'cte', 'conflict', 'named', 'place'])) {
      case 'named':
        return `with customers as (select 1 as id, 'n' as name, 'e' as email) update customers set name = ${this.#value([own], 1)}::text where ${this.#condition([own], 1)} returning *`
      case 'place':
        return `update kept set places[${this.#scalar(2)}] = 1 returning places`
      case 'insert':
        return `insert into notes (id, note) select 1000 + row_number() over (), s.x::text from (${this.#select(2, 1)}) s(x) returning note`
      case 'update':
        return `update notes set note = ${this.#value([target], 2)}::text where ${this.#condition([target], 2)} returning id, note`
      case 'from':
        return `update notes set note = s.x::text from (${this.#select(2, 1)}) s(x) where ${this.#condition([target], 1)} returning *`
      case 'delete':
        return `delete from notes using customers where ${this.#condition([target, own], 2)} returning ${this.#column([target, own])}`
      case 'own':
        return `update customers set name = ${this.#value([own], 1)}::text where ${this.#condition([own], 1)} returning *`
      case 'cte':
        return `with d as (delete from notes where ${this.#condition([target], 1)} returning *) select ${this.#value([{ alias: 'd', columns: target.columns }], 2)} from d`
      default:
        return `insert into customers (id, name, email) values (1, 'n', 'e') on conflict (id) do update set name = ${this.#value([own], 1)}::text returning id, name`
    }
  }
}
