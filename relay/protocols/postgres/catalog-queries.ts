// What is asked of a server's catalog. Pure.
import { wholeTextTypes } from './analysis/tree.ts'
import { bodies, isLegible, mentions, ofExtension, ownCode, relationMakers, usedWords } from './catalog-mentions.ts'
import { FIRST_NORMAL_OBJECT_ID } from './functions.ts'
import { extended, extensions } from './harmless.ts'

/** Rules for UPDATE and DELETE meet what is in the table, also in what stays as it was; an INSERT has only what is given. */
const ofOldRows = (rule: string): string => `${rule}.ev_type in ('2', '4')`

const quoted = (names: Iterable<string>): string => [...names].map(name => `'${name}'`).join(', ')

/** Queries whose rows are mostly about objects of PostgreSQL's own, which hardly ever change. */
export const systemQueries = ['relations', 'columns', 'views', 'functions', 'typeNames'] as const

/** Whether a row of these queries is about an object of PostgreSQL's own: their first column is its OID. */
export function isSystemRow([oid]: readonly (string | null)[]): boolean {
  return Number(oid) < FIRST_NORMAL_OBJECT_ID
}

/**
 * CREATE TYPE … AS RANGE makes a cast to the multirange by a function of its own, of PostgreSQL's code. It runs no other, unless
 * bounds are brought into a form or compared by somebody's functions.
 */
const ofPlainRange = (castFunction: string): string => `exists (select from pg_catalog.pg_proc f
      join pg_catalog.pg_language l on l.oid = f.prolang join pg_catalog.pg_range r on r.rngtypid = f.proargtypes[0]
      where f.oid = ${castFunction} and l.lanname = 'internal' and f.prosrc = 'multirange_constructor1'
        and r.rngcanonical::pg_catalog.oid = 0 and r.rngsubopc < ${FIRST_NORMAL_OBJECT_ID})`

/** Types that are converted by a function which is neither PostgreSQL's nor of an extension; `which` chooses among the casts. */
const castByFunction = (type: string, which: string): string => `${type} >= ${FIRST_NORMAL_OBJECT_ID} and ${type} in (
    select unnest(array[c.castsource, case when ${which} then c.casttarget end]) from pg_catalog.pg_cast c
    where c.castfunc >= ${FIRST_NORMAL_OBJECT_ID} and not ${ofExtension('pg_cast', 'c.oid')}
      and not ${ofPlainRange('c.castfunc')})`

/** In place of a column's number: some of them, and nobody has looked which. */
export const SOME_COLUMN = -1

/** Functions in the tree of an expression as the catalog keeps it: src/backend/nodes/outfuncs.c. */
const FUNCTIONS_IN_TREE = ':(?:funcid|opfuncid|aggfnoid|winfnoid) ([1-9][0-9]*)'

/** A whole row there: of a table, or of a join, which is of several. */
const WHOLE_ROW_IN_TREE = ':varattno 0 '

/** Labels are believed of code that can be read, as far as what it names does; what that is says `mentions`. */
const volatility = `case when p.provolatile <> 'v' and ${ownCode('p')} and not ${isLegible('p')} then 'w'
    else p.provolatile::text end`

/**
 * Of ranges that somebody made the type is not said: lower() and upper() give their bounds, and a text of other types. Nor of
 * composites, and of arrays of what somebody made: their texts are those of what is in them, which can be rounded.
 */
const typeOf = (type: string): string =>
  `case when ${type}.oid < ${FIRST_NORMAL_OBJECT_ID} or ${type}.typtype not in ('r', 'm', 'c')
      and ${type}.typelem < ${FIRST_NORMAL_OBJECT_ID} then ${type}.oid::text end`

/** Of a domain over domains, the type under all of them. */
const typeUnderDomains = `(with recursive under as (
      select b.* union all select d.* from under u join pg_catalog.pg_type d on u.typtype = 'd' and d.oid = u.typbasetype)
    select ${typeOf('u')} from under u where u.typtype <> 'd')`

/** Whose values are, or hold, values of others: domains and arrays, composites, ranges and multiranges. */
const typeParts = `select t.oid, t.typbasetype from pg_catalog.pg_type t where t.typbasetype >= ${FIRST_NORMAL_OBJECT_ID}
    union select t.oid, t.typelem from pg_catalog.pg_type t where t.typelem >= ${FIRST_NORMAL_OBJECT_ID}
    union select t.oid, a.atttypid from pg_catalog.pg_type t
      join pg_catalog.pg_attribute a on a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
      where t.typtype = 'c' and a.atttypid >= ${FIRST_NORMAL_OBJECT_ID}
    union select r.rngtypid, r.rngsubtype from pg_catalog.pg_range r where r.rngsubtype >= ${FIRST_NORMAL_OBJECT_ID}
    union select d.objid, d.refobjid from pg_catalog.pg_depend d
      where d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass and d.refclassid = d.classid and d.deptype = 'i'`

/** Types that such functions convert, or what their values are or hold, however far: nothing says that `(c).f` is of another. */
const withConverted = `with recursive parts (type, part) as (${typeParts}),
    held (type, part) as (
      select t.oid, t.oid from pg_catalog.pg_type t where t.oid >= ${FIRST_NORMAL_OBJECT_ID}
      union select h.type, p.part from held h join parts p on p.type = h.part),
    converted (type, from_column) as (
      select h.type, false from held h where ${castByFunction('h.part', 'true')}
      union select h.type, true from held h where ${castByFunction('h.part', "c.castcontext = 'i'")})`

const isConverted = (fromColumn: boolean): string =>
  `t.oid in (select f.type from converted f where f.from_column = ${fromColumn})`

/** A function of an extension that is known to be harmless, though it is not immutable. */
const ofHarmlessExtension = (fn: string, depends: string): string =>
  `(${fn}.proname in (${quoted(extended)}) and exists (select from pg_catalog.pg_extension x
        where x.oid = ${depends}.refobjid and x.extname in (${quoted(extensions)})))`

/** Of views that neither are locked nor read what is: the definitions of others cannot be had before the lock is gone. */
export const unlockedDefinitions = (definitions: string): string => `${definitions} and not exists (
    select from pg_catalog.pg_rewrite r join pg_catalog.pg_depend d on d.objid = r.oid
    join pg_catalog.pg_locks l on l.relation = d.refobjid
    where r.ev_class = c.oid and d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
      and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and l.mode = 'AccessExclusiveLock')`

/**
 * Relations, their columns, who inherits from whom, what views are made of, and which functions and operators are not
 * PostgreSQL's own. Operators and immutable functions of extensions count as PostgreSQL's own: only a superuser brings them.
 * Columns have `attgenerated` since version 12; before, the name means the empty one beside them.
 * Those in `systemQueries` ask for objects of PostgreSQL's own only where `system` says so.
 */
export function catalogQueries(system: boolean) {
  const from = system ? 0 : FIRST_NORMAL_OBJECT_ID
  return {
    relations: `select c.oid::text, n.nspname::text, c.relname::text, c.relkind::text,
      pg_catalog.pg_get_userbyid(c.relowner)::text
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and c.oid >= ${from}`,
    columns: `select a.attrelid::text, a.attnum::text, a.attname::text,
      case when t.typtype <> 'd' then ${typeOf('t')} when b.typtype <> 'd' then ${typeOf('b')} else ${typeUnderDomains} end,
      (a.atthasdef and (select attgenerated <> '' from pg_catalog.pg_attribute g
        where g.attrelid = a.attrelid and g.attnum = a.attnum))::text
    from (select ''::"char" as attgenerated) before_version_12 cross join pg_catalog.pg_attribute a
    join pg_catalog.pg_class c on c.oid = a.attrelid
    join pg_catalog.pg_type t on t.oid = a.atttypid left join pg_catalog.pg_type b on b.oid = t.typbasetype
    where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and a.attnum > 0 and not a.attisdropped
      and a.attrelid >= ${from}`,
    // Up to version 14 the column itself depends on the others, later its expression does.
    generated: `select d.refobjid::text, coalesce(e.adnum, d.objsubid)::text, d.refobjsubid::text
    from pg_catalog.pg_depend d left join pg_catalog.pg_attrdef e
      on d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass and e.oid = d.objid and e.adrelid = d.refobjid
    where d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjsubid > 0
      and (e.adnum <> d.refobjsubid
        or d.classid = d.refclassid and d.objid = d.refobjid and d.objsubid > 0 and d.objsubid <> d.refobjsubid)`,
    // What a key WITHOUT OVERLAPS determines the server does not leave out of GROUP BY.
    keys: `select i.indrelid::text, k.attnum::text
    from pg_catalog.pg_index i, pg_catalog.unnest(i.indkey) with ordinality k(attnum, place)
    where i.indisprimary and i.indimmediate and i.indisvalid and not i.indisexclusion and k.place <= i.indnkeyatts`,
    encoding: `select pg_catalog.current_setting('server_encoding')`,
    inherits: 'select inhrelid::text, inhparent::text from pg_catalog.pg_inherits',
    // Of what reads a whole row and a column of the same table PostgreSQL keeps the dependency on the column alone.
    // On its own catalogs PostgreSQL keeps no dependencies: only the trees of views and rules say that they read them.
    views: `select distinct r.ev_class::text, d.refobjid::text, d.refobjsubid::text
    from pg_catalog.pg_rewrite r join pg_catalog.pg_depend d on d.objid = r.oid
    where d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
      and (d.refobjid <> r.ev_class or ${ofOldRows('r')} and d.refobjsubid > 0) and r.ev_class >= ${from}
    union select r.ev_class::text, d.refobjid::text, '0'
    from pg_catalog.pg_rewrite r join pg_catalog.pg_depend d on d.objid = r.oid
    where d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
      and (d.refobjid <> r.ev_class or ${ofOldRows('r')}) and r.ev_class >= ${FIRST_NORMAL_OBJECT_ID}
      and pg_catalog.strpos(pg_catalog.concat(r.ev_action, r.ev_qual), '${WHOLE_ROW_IN_TREE}') > 0
    union select r.ev_class::text, pg_catalog.split_part(reads, ' ', 1), '${SOME_COLUMN}'
    from pg_catalog.pg_rewrite r
    cross join lateral pg_catalog.unnest((pg_catalog.string_to_array(r.ev_action::text, ':relid '))[2:]) reads
    where r.ev_class >= ${from} and r.ev_class < ${FIRST_NORMAL_OBJECT_ID}
    union select r.ev_class::text, f[1], '0'
    from pg_catalog.pg_rewrite r cross join lateral pg_catalog.regexp_matches(
      pg_catalog.concat(r.ev_action, r.ev_qual), ':relid ([1-9][0-9]*)', 'g') f
    where r.ev_type <> '1' and r.ev_class >= ${FIRST_NORMAL_OBJECT_ID} and f[1]::bigint < ${FIRST_NORMAL_OBJECT_ID}`,
    // Views that may show anything: of functions that are not PostgreSQL's own, and of the long values of any table (pg_toast).
    // With the function, which may turn out to be one that only computes.
    callers: `select distinct r.ev_class::text, p.oid::text
    from pg_catalog.pg_rewrite r join pg_catalog.pg_depend d on d.objid = r.oid
    left join pg_catalog.pg_proc p on d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass and p.oid = d.refobjid
    left join pg_catalog.pg_depend e on e.classid = d.refclassid and e.objid = d.refobjid and e.deptype = 'e'
    where d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
      and d.refclassid in ('pg_catalog.pg_proc'::pg_catalog.regclass, 'pg_catalog.pg_operator'::pg_catalog.regclass)
      and d.refobjid >= ${FIRST_NORMAL_OBJECT_ID}
      and (p.provolatile is distinct from 'i' and p.oid is not null and not ${ofHarmlessExtension('p', 'e')} or e.objid is null)
      and not exists (select from pg_catalog.pg_extension x join pg_catalog.pg_depend v on v.refobjid = x.oid and v.deptype = 'e'
        where x.oid = e.refobjid and x.extname in ('pg_stat_statements', 'pg_buffercache') and v.objid = r.ev_class)
    union select r.ev_class::text, null
    from pg_catalog.pg_rewrite r join pg_catalog.pg_depend d on d.objid = r.oid
    join pg_catalog.pg_class c on c.oid = d.refobjid and c.relkind = 't'
    where d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass`,
    // Those that somebody made whose values are checked or converted by code: domains, composites, ranges, arrays of them;
    // and those that could be taken for PostgreSQL's own by their names.
    types: `${withConverted} select t.oid::text, t.typname::text, (${isConverted(false)})::text, u.functions
    from pg_catalog.pg_type t left join (select c.type, pg_catalog.string_agg(c.castfunc::text, ' ')
      from (select castsource, castfunc from pg_catalog.pg_cast where castfunc >= ${FIRST_NORMAL_OBJECT_ID}
        union select casttarget, castfunc from pg_catalog.pg_cast where castfunc >= ${FIRST_NORMAL_OBJECT_ID}) c (type, castfunc)
      group by c.type) u (type, functions) on u.type = t.oid
    where t.oid >= ${FIRST_NORMAL_OBJECT_ID}
      and (t.typtype in ('c', 'd', 'm', 'r') or t.typelem >= ${FIRST_NORMAL_OBJECT_ID} or ${isConverted(false)}
        or t.typname in (${quoted(wholeTextTypes)}))`,
    // A value of such a type can be converted in any expression, and nothing there says so.
    // `true`: also where the statement does not say into what.
    castTables: `${withConverted} select a.attrelid::text, t.oid::text, (${isConverted(true)})::text
    from pg_catalog.pg_attribute a join pg_catalog.pg_type t on t.oid = a.atttypid
    where a.attnum > 0 and not a.attisdropped and ${isConverted(false)}
    union select t.typrelid::text, t.oid::text, (${castByFunction('t.oid', "c.castcontext = 'i'")})::text
    from pg_catalog.pg_type t where t.typrelid <> 0 and ${castByFunction('t.oid', 'true')}`,
    // Columns whose values are, or hold, rows of a table or view.
    rowColumns: `with recursive parts (type, part) as (${typeParts}),
    kept (type, part) as (
      select a.atttypid, a.atttypid from pg_catalog.pg_attribute a
        where a.atttypid >= ${FIRST_NORMAL_OBJECT_ID} and a.attnum > 0 and not a.attisdropped
      union select k.type, p.part from kept k join parts p on p.type = k.part)
    select a.attrelid::text, a.attnum::text, r.typrelid::text
    from kept k join pg_catalog.pg_type r on r.oid = k.part and r.typtype = 'c'
    join pg_catalog.pg_class c on c.oid = r.typrelid and c.relkind in ('r', 'p', 'v', 'm', 'f')
    join pg_catalog.pg_attribute a on a.atttypid = k.type and a.attnum > 0 and not a.attisdropped`,
    definitions: `select c.oid::text, pg_catalog.pg_get_viewdef(c.oid)
    from pg_catalog.pg_class c where c.relkind in ('v', 'm') and c.oid >= ${FIRST_NORMAL_OBJECT_ID}`,
    // Types of rows, domains and pseudo-types such as anyelement take a row as their first argument, and so do arrays of what is
    // VARIADIC and types that somebody made a cast to.
    functions: `select p.oid::text, n.nspname::text, p.proname::text, ${volatility}, x.extname::text, p.proretset::text,
      (p.pronargs > 0 and p.pronargs - p.pronargdefaults <= 1 and (t.typtype in ('c', 'd', 'p') or p.provariadic <> 0
        or t.oid in (select r.casttarget from pg_catalog.pg_cast r where r.castfunc >= ${FIRST_NORMAL_OBJECT_ID})))::text
    from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    left join pg_catalog.pg_type t on t.oid = p.proargtypes[0]
    left join pg_catalog.pg_depend e on e.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and e.objid = p.oid and e.deptype = 'e'
    left join pg_catalog.pg_extension x on x.oid = e.refobjid
    where p.oid >= ${from}`,
    mentions,
    operators: `select distinct o.oprname::text, o.oprcode::pg_catalog.oid::text from pg_catalog.pg_operator o
    where o.oprcode::pg_catalog.oid <> 0 and o.oid >= ${FIRST_NORMAL_OBJECT_ID}
      and not ${ofExtension('pg_operator', 'o.oid')}`,
    ruledViews: `select distinct r.ev_class::text from pg_catalog.pg_rewrite r
    where r.ev_type <> '1' and r.ev_class >= ${FIRST_NORMAL_OBJECT_ID}`,
    // What rules call for what is written; of PostgreSQL's own functions only the tree says it. Views are read by their definitions.
    ruleCalls: `select distinct r.ev_class::text, f[1]
    from pg_catalog.pg_rewrite r cross join lateral pg_catalog.regexp_matches(
      pg_catalog.concat(r.ev_action, r.ev_qual), '${FUNCTIONS_IN_TREE}', 'g') f
    where r.ev_type <> '1' and r.ev_class >= ${FIRST_NORMAL_OBJECT_ID}`,
    domainCalls: `select distinct c.contypid::text, f[1]
    from pg_catalog.pg_constraint c cross join lateral pg_catalog.regexp_matches(c.conbin::text, '${FUNCTIONS_IN_TREE}', 'g') f
    where c.contypid >= ${FIRST_NORMAL_OBJECT_ID}`,
    // Functions that run by themselves when tables are written or read: of triggers, defaults, checks, indexes, policies, ranges.
    // Those of views, rules, domains, operators and aggregates are looked up by what these are.
    used: `select distinct p.proname::text
    from pg_catalog.pg_depend d join pg_catalog.pg_proc p on p.oid = d.refobjid
    where d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass and p.oid >= ${FIRST_NORMAL_OBJECT_ID}
      and d.classid in (select c.oid from pg_catalog.pg_class c where c.relnamespace = 'pg_catalog'::pg_catalog.regnamespace
        and c.relname in ('pg_trigger', 'pg_event_trigger', 'pg_attrdef', 'pg_constraint', 'pg_class', 'pg_policy', 'pg_type',
          'pg_statistic_ext', 'pg_publication_rel'))`,
    // What they do to which tables no command says.
    eventTriggers:
      "select e.evtname::text from pg_catalog.pg_event_trigger e where e.evtenabled <> 'D' and e.evtevent <> 'login'",
    relationMakers,
    usedWords,
    bodies,
    // The schema in which names without one are made, where a session leaves search_path as it is; nothing where it has odd names.
    madeIn: `select n.nspname::text from pg_catalog.pg_settings s
      cross join lateral pg_catalog.unnest(pg_catalog.string_to_array(s.reset_val, ',')) with ordinality e (item, place)
      join pg_catalog.pg_namespace n on n.nspname = case pg_catalog.btrim(e.item) when '"$user"' then current_user
        else pg_catalog.btrim(e.item) end
      where s.name = 'search_path' and s.reset_val ~ '^[a-z0-9_, ]*("[$]user")?[a-z0-9_, ]*$'
        and pg_catalog.has_schema_privilege(n.oid, 'USAGE')
      order by e.place limit 1`,
    // What compares different values as equal: collations, and types that have one of these, or a field that has.
    loose: `with recursive collations (oid, name) as (
        select c.oid, c.collname from pg_catalog.pg_collation c where not c.collisdeterministic),
      types (oid) as (
        select t.oid from pg_catalog.pg_type t join collations c on c.oid = t.typcollation
        union select r.reltype from collations c join pg_catalog.pg_attribute a on a.attcollation = c.oid and a.attnum > 0
          join pg_catalog.pg_class r on r.oid = a.attrelid where r.reltype <> 0
        union select o.oid from types m cross join lateral (
          select t.oid from pg_catalog.pg_type t where m.oid in (t.typelem, t.typbasetype)
          union all select r.reltype from pg_catalog.pg_attribute a join pg_catalog.pg_class r on r.oid = a.attrelid
            where a.atttypid = m.oid and a.attnum > 0 and r.reltype <> 0) o)
      select 'collation', c.oid::text, c.name::text from collations c
      union select 'type', t.oid::text, t.typname::text from types m join pg_catalog.pg_type t on t.oid = m.oid`,
    extensions: 'select x.extname::text from pg_catalog.pg_extension x',
    // Of relations, whose rows are a type as well, says `relations`; names of arrays are made of those of what is in them.
    typeNames: `select t.oid::text, t.typname::text from pg_catalog.pg_type t
    where t.oid >= ${from} and t.typcategory <> 'A' and (t.typrelid = 0 or (select c.relkind = 'c' from pg_catalog.pg_class c
      where c.oid = t.typrelid))`,
    // Tables whose policies call functions or operators that somebody made: nothing in a statement that reads them says so.
    guarded: `select distinct p.polrelid::text from pg_catalog.pg_policy p join pg_catalog.pg_depend d
      on d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass and d.objid = p.oid
    where d.refclassid in ('pg_catalog.pg_proc'::pg_catalog.regclass, 'pg_catalog.pg_operator'::pg_catalog.regclass)
      and d.refobjid >= ${FIRST_NORMAL_OBJECT_ID}`,
    // Foreign keys: whose rows refer to those of which table.
    references: `select distinct k.conrelid::text, k.confrelid::text from pg_catalog.pg_constraint k where k.contype = 'f'`,
    typeParts: `select p.type::text, p.part::text from (${typeParts}) p (type, part)`,
  } as const
}

export type CatalogRows = Readonly<
  Record<keyof ReturnType<typeof catalogQueries>, readonly (readonly (string | null)[])[]>
>
