// What masking says of statements: PostgreSQL's own parser, a catalog written by hand, and masks of some of its columns.
import { Analyser } from '@gate/relay/protocols/postgres/analysis/analyser'
import type { StatementFacts } from '@gate/relay/protocols/postgres/analysis/facts'
import { Catalog, type View } from '@gate/relay/protocols/postgres/catalog'
import type { CatalogRows } from '@gate/relay/protocols/postgres/catalog-queries'
import { type MaskedColumns, resolveMasks } from '@gate/relay/protocols/postgres/masked-columns'
import { computedColumns, maskingRefusal, systemMasks } from '@gate/relay/protocols/postgres/masking-rules'
import { silentLog } from '@gate/shared/log'
import type { MaskObligation } from '@gate/shared/model'
import type { Test } from 'tap'

/** To be closed when the tests are done. */
export const analyser = new Analyser(1024 * 1024, silentLog)

/** OIDs in src/include/catalog/pg_type.dat. */
const [TEXT, BOX, LINE, INT4RANGE, FLOAT8] = ['25', '603', '628', '3904', '701']

const tables: Readonly<Record<string, readonly string[]>> = {
  'public.customers': ['id', 'name', 'email', 'balance'],
  'public.users': ['id', 'login', 'email'],
  'public.notes': ['id', 'customer_id', 'note'],
  'other.notes': ['id', 'customer_id', 'note'],
  'public.twice': ['id', 'secret'],
  'other.twice': ['id', 'plain', 'to_jsonb', 'record', 'secret'],
  'public.parent': ['id', 'email'],
  'public.child': ['id', 'email', 'extra'],
  'public.made': ['id', 'secret', 'first_letter'],
  'public.odd_table': ['id', 'odd'],
  'public.odd_secrets': ['id', 'odd', 'secret'],
  'public.stays': ['id', 'span', 'rooms', 'plot', 'price', 'edge'],
  'public.ruled': ['id'],
  // Views, with their definitions below.
  'public.plain_view': ['id', 'mail'],
  'public.loud_view': ['id', 'shout'],
  'public.names': ['id', 'name'],
  'public.nested_view': ['id', 'mail'],
  'public.union_view': ['id', 'mail'],
  'public.calling_view': ['id'],
  'public.over_calling_view': ['id'],
  'public.over_odd_view': ['id', 'secret'],
  'public.ruled_view': ['id'],
  'public.over_ruled_view': ['id'],
  'public.other_view': ['a', 'b'],
  'public.deciding_view': ['id', 'band', 'boss', 'place', 'named', 'above', 'names', 'first', 'found', 'has', 'logins'],
  'public.counting_view': ['name', 'many', 'all'],
}

const views: Readonly<Record<string, string>> = {
  'public.plain_view': "SELECT c.id, c.email AS mail FROM public.customers c WHERE c.email <> ''::text",
  'public.loud_view': 'SELECT c.id, upper(c.email) AS shout FROM public.customers c',
  'public.names': 'SELECT c.id, c.name FROM public.customers c',
  'public.nested_view': 'SELECT v.id, v.mail FROM public.plain_view v JOIN public.notes n ON n.id = v.id',
  'public.union_view': 'SELECT id, email AS mail FROM public.customers UNION ALL SELECT id, login FROM public.users',
  'public.ruled_view': 'SELECT r.id FROM public.ruled r',
  'public.over_ruled_view': 'SELECT v.id FROM public.ruled_view v',
  'public.calling_view': 'SELECT public.peek(c.id) AS id FROM public.customers c',
  'public.over_calling_view': 'SELECT v.id FROM public.calling_view v',
  'public.deciding_view': `SELECT c.id, CASE WHEN c.email > 'm' THEN 'late' ELSE 'early' END AS band,
    CASE c.email WHEN 'a' THEN 1 END AS boss, row_number() OVER (ORDER BY c.email) AS place, count(*) OVER w AS named,
    (SELECT count(*) FROM public.customers o WHERE o.email > c.email) AS above,
    ARRAY(SELECT o.name FROM public.customers o ORDER BY o.email) AS names,
    (SELECT o.name FROM public.customers o ORDER BY o.email LIMIT 1) AS first,
    EXISTS (SELECT 1 FROM public.notes n WHERE n.note ~~ c.email) AS found, c.email IS NOT NULL AS has,
    (SELECT u.login FROM public.users u WHERE u.email = c.email) AS logins
    FROM public.customers c WHERE COALESCE(c.email, '') <> 'a' WINDOW v AS (PARTITION BY c.email), w AS (v ORDER BY c.id) ORDER BY c.email`,
  'public.counting_view': `SELECT c.name, count(*) FILTER (WHERE c.email > 'm') AS many, string_agg(c.name, ',' ORDER BY c.email) AS "all"
    FROM public.customers c GROUP BY c.name`,
  'public.over_odd_view': 'SELECT o.id, o.secret FROM public.odd_secrets o',
}

/** Which columns of what a view reads, by name; as pg_depend has it. */
const reads: readonly (readonly [string, string, number])[] = [
  ['public.plain_view', 'public.customers', 1],
  ['public.plain_view', 'public.customers', 3],
  ['public.loud_view', 'public.customers', 3],
  ['public.names', 'public.customers', 1],
  ['public.nested_view', 'public.plain_view', 2],
  ['public.deciding_view', 'public.customers', 3],
  ['public.counting_view', 'public.customers', 3],
  ['public.union_view', 'public.customers', 3],
  ['public.calling_view', 'public.customers', 1],
  ['public.over_calling_view', 'public.calling_view', 1],
  ['public.over_odd_view', 'public.odd_secrets', 1],
  ['public.over_odd_view', 'public.odd_secrets', 3],
  ['public.ruled', 'public.customers', 3],
  ['public.ruled_view', 'public.ruled', 1],
  ['public.over_ruled_view', 'public.ruled_view', 1],
]

const names = Object.keys(tables)

const oid = (name: string): string => String(20_000 + names.indexOf(name))

/** A catalog, as the server's answers. */
export function rows(types: CatalogRows['types'] = []): CatalogRows {
  const builtIn = (volatility: string, list: string): (string | null)[][] =>
    list.split(' ').map((name, index) => [String(100 + index), 'pg_catalog', name, volatility, null, 'false', 'false'])
  return {
    relations: names.map(name => {
      const [schema = '', relation = ''] = name.split('.')
      return [oid(name), schema, relation, views[name] === undefined ? 'r' : 'v']
    }),
    columns: names.flatMap(name =>
      (tables[name] ?? []).map((column, index) => [
        ...[oid(name), String(index + 1), column],
        ({ span: INT4RANGE, plot: BOX, price: FLOAT8, edge: LINE } as Record<string, string>)[column] ?? TEXT,
      ]),
    ),
    inherits: [[oid('public.child'), oid('public.parent')]],
    views: reads.map(([view, relation, column]) => [oid(view), oid(relation), String(column)]),
    callers: [[oid('public.calling_view')]],
    generated: [[oid('public.made'), '3', '2']],
    keys: [
      [oid('public.customers'), '1'],
      [oid('public.users'), '1'],
      [oid('public.parent'), '1'],
    ],
    types: [['40000', 'odd', 'true'], ['40001', 'checked', 'false'], ...types],
    castTables: [[oid('public.odd_table')], [oid('public.odd_secrets')]],
    definitions: [],
    functions: [
      ...builtIn(
        'i',
        'lower upper length left ascii substr concat min max count sum string_agg array_agg rank lag bool_or mode',
      ),
      ...builtIn('i', 'row_to_json num_nulls string_to_table btrim ltrim'),
      ['99', 'pg_catalog', 'to_jsonb', 'i', null, 'false', 'true'],
      ...builtIn('s', 'now unnest generate_series'),
      ...builtIn('v', 'set_config pg_sleep setval nextval random'),
      ['30000', 'public', 'peek', 's', null, 'false', 'false'],
      ['30001', 'public', 'lower', 'i', 'citext', 'false', 'false'],
      ['30002', 'public', 'substr_of', 'i', null, 'false', 'false'],
      ['30003', 'public', 'concat', 's', 'acme', 'false', 'false'],
      ['30004', 'public', 'geometry_of', 'i', 'acme', 'false', 'false'],
      ['30005', 'public', 'card', 's', null, 'false', 'true'],
      ['30006', 'public', 'similarity', 'i', 'pg_trgm', 'false', 'false'],
      ['30007', 'public', 'set_limit', 'v', 'pg_trgm', 'false', 'false'],
    ],
    mentions: [],
    encoding: [['UTF8']],
    operators: [],
    ruledViews: [],
    ruleCalls: [],
    rowColumns: [],
    domainCalls: [],
    typeParts: [],
    used: [],
    references: [],
    guarded: [],
    eventTriggers: [],
    relationMakers: [],
    usedWords: [],
    bodies: [],
    extensions: [],
    typeNames: [
      ['25', 'text'],
      ['1043', 'varchar'],
    ],
    loose: [],
    madeIn: [['public']],
  }
}

/** The facts of a text's statements. */
export async function statements(sql: string): Promise<readonly StatementFacts[]> {
  const analysis = await analyser.analyse(sql)
  if ('syntaxError' in analysis) throw new Error(`${sql}: ${analysis.syntaxError}`)
  return analysis.statements
}

async function catalog(types?: CatalogRows['types']): Promise<Catalog> {
  const read = new Map<number, View>()
  for (const [name, definition] of Object.entries(views)) {
    const [facts] = await statements(definition)
    if (facts?.lineage.kind !== 'query') continue
    const reads = facts.parts.flatMap(part => part.reads)
    read.set(Number(oid(name)), { query: facts.lineage.query, called: facts, reads })
  }
  return new Catalog(rows(types), read)
}

/** What gate knows of the tables above. */
export const snapshot = catalog()

/** The same where somebody made a type of this name, in whatever schema. */
export const withType = (name: string): Promise<Catalog> => catalog([['40002', name, 'false', 'false']])

/** The mask that holds unless a test says otherwise. */
export const mask: MaskObligation = {
  ...{ kind: 'mask', columns: ['public.customers.email', 'users.email', '*.secret', 'public.parent.email', 'stays.*'] },
  ...{ detect: [], with: 'redact', fixed: undefined, computed: 'deny', predicates: 'equality' },
}

async function masked(how: Partial<MaskObligation> = {}, tables = snapshot): Promise<MaskedColumns> {
  return resolveMasks([{ ...mask, ...how }], await tables, systemMasks)
}

/** What becomes of a statement. */
export interface Said {
  readonly refusal: string | undefined
  /** Of each column, how it is masked. */
  readonly computed: 'clear' | 'masked' | readonly (MaskObligation['with'] | undefined)[]
}

/** What is said of a statement; `how` alters the mask. */
export async function said(sql: string, how: Partial<MaskObligation> = {}, tables = snapshot): Promise<Said> {
  const columns = await masked(how, tables)
  const [facts] = await statements(sql)
  if (facts === undefined) throw new Error('no statement')
  const computed = computedColumns(facts, columns)
  const ways = typeof computed === 'string' ? computed : computed.map(fed => fed?.mask.with)
  return { refusal: maskingRefusal(facts, columns), computed: ways }
}

/** Statements side by side: those that may run, and those whose refusal says what is given. */
export function both(t: Test, name: string, clear: readonly string[], refused: Readonly<Record<string, RegExp>>): void {
  t.test(name, async t => {
    for (const sql of clear) t.equal((await said(sql)).refusal, undefined, sql)
    for (const [sql, reason] of Object.entries(refused)) t.match((await said(sql)).refusal ?? 'may run', reason, sql)
  })
}

/** Why statements are refused: a column would be computed, or values copied, or used where they decide. */
export const computed =
  /public\.customers\.email is masked for you, and (the column .*|a column) would be computed from it/
export const moved = /is masked for you, so it cannot be copied to where it would be clear/
export const used = (where: string): RegExp => new RegExp(`is masked for you, so it cannot be used in ${where}`)
