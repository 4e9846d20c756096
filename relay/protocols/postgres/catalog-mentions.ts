// What is asked of a server's catalog about functions that are labelled as harmless: what they name, which need not be. Pure.
import { NAME_BYTES } from './as-read.ts'
import { FIRST_NORMAL_OBJECT_ID, readers } from './functions.ts'

/** What a word in the source of a function can stand for: a `view` by its OID, others by their names. */
export type MentionKind = 'function' | 'operator' | 'type' | 'view'

/** Letters of the grammar's plain identifiers: the words that a source is split into. Other names are looked for as they are. */
const WORD_LETTERS = 'a-z0-9_$'

const own = (oid: string): string => `${oid} >= ${FIRST_NORMAL_OBJECT_ID}`

/** Whether an extension brought the object. */
export const ofExtension = (catalog: string, oid: string): string => `exists (select from pg_catalog.pg_depend e
      where e.classid = 'pg_catalog.${catalog}'::pg_catalog.regclass and e.objid = ${oid} and e.deptype = 'e')`

/** Somebody's own code, and nothing that only a superuser brings: C, extensions. */
export const ownCode = (p: string): string =>
  `${own(`${p}.oid`)} and ${language(p)} not in ('internal', 'c') and not ${ofExtension('pg_proc', `${p}.oid`)}`

const language = (p: string): string =>
  `(select l.lanname from pg_catalog.pg_language l where l.oid = ${p}.prolang)::text`

/** What hides what is called, and functions that a statement itself may call since what they do there is said apart. */
const hiding = '\\m(execute|call|set_config|pg_sleep\\w*|pg_advisory\\w*)\\M|u&"'

/**
 * Whether the source of a function can be read for what it calls. A body that was parsed (BEGIN ATOMIC) has no source, EXECUTE
 * and code in other languages than these run texts that nobody sees, and U&"" spells names otherwise.
 */
export const isLegible = (p: string): string =>
  `(${language(p)} in ('sql', 'plpgsql') and ${p}.prosrc <> '' and ${p}.prosrc !~* '${hiding}')`

/**
 * A text in small letters, as the server reads what is not quoted: those of ASCII alone, whatever the locale says of them, or all
 * of them as it does where a character is one byte.
 */
const inSmall = (text: string): string =>
  `(values (pg_catalog.lower(${text})), (pg_catalog.lower((${text}) collate pg_catalog."C")))`

/**
 * OID of each function that is labelled stable or immutable, what it becomes where the rest may write, and that: every name in
 * its source, in defaults of its parameters and in their types; and the functions that aggregates are made of. Quotes in names are
 * doubled there, and types of arrays have names of their own.
 */
export const mentions = `with made_types (oid, name) as (
      select t.oid, t.typname::text from pg_catalog.pg_type t
        where ${own('t.oid')} and t.typtype in ('d', 'r', 'm') or t.oid in (
          select pg_catalog.unnest(array[c.castsource, c.casttarget]) from pg_catalog.pg_cast c where ${own('c.castfunc')})
        or ${own('t.oid')} and t.typtype = 'c' and exists (select from pg_catalog.pg_attribute a
          where a.attrelid = t.typrelid and a.attnum > 0 and ${own('a.atttypid')})),
    objects (kind, name, spelled) as (
      select 'function', f.proname::text, f.proname::text from pg_catalog.pg_proc f
        where f.provolatile = 'v' or ${own('f.oid')} or f.proname ~ '${readers.source}'
      union select 'operator', o.oprname::text, o.oprname::text from pg_catalog.pg_operator o
        where ${own('o.oid')} and not ${ofExtension('pg_operator', 'o.oid')}
      union select 'type', m.name, m.name from made_types m
      union select 'type', t.typname::text, t.typname::text from made_types m join pg_catalog.pg_type t on t.typelem = m.oid
      union select 'view', c.oid::text, c.relname::text from pg_catalog.pg_class c
        where c.relkind = 'v' and ${own('c.oid')}),
    named (word, kind, name) as (select w.word, o.kind, o.name from objects o
      cross join lateral ${inSmall(`pg_catalog.replace(o.spelled, '"', '""')`)} w (word)
      group by w.word, o.kind, o.name),
    sources (oid, source) as (select p.oid, w.source from pg_catalog.pg_proc p
      cross join lateral ${inSmall(`pg_catalog.concat_ws(' ', p.prosrc,
        pg_catalog.pg_get_function_arguments(p.oid), pg_catalog.pg_get_function_result(p.oid))`)} w (source)
      where p.provolatile <> 'v' and ${ownCode('p')} and ${isLegible('p')}
      group by p.oid, w.source)
    select s.oid::text, 'w', n.kind, n.name from sources s
      cross join lateral pg_catalog.regexp_split_to_table(s.source, '[^${WORD_LETTERS}]+') w
      join named n on n.word = pg_catalog.left(w, ${NAME_BYTES})
    union select s.oid::text, 'w', n.kind, n.name from sources s
      join named n on n.word !~ '^[${WORD_LETTERS}]+$' and pg_catalog.strpos(s.source, n.word) > 0
    union select a.aggfnoid::pg_catalog.oid::text, 'v', 'function', f.proname::text
      from pg_catalog.pg_aggregate a join pg_catalog.pg_proc f on f.oid in (a.aggtransfn, a.aggfinalfn, a.aggcombinefn,
        a.aggserialfn, a.aggdeserialfn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn)
      where ${own('a.aggfnoid::pg_catalog.oid')}`

/** What makes relations, or hides to which it writes. */
const making = '\\m(execute|create)\\M|u&"'

/** Functions that the source of one has the names of; those of somebody's own that are no plain words are in `odd`. */
const mentioned = (p: string, other: string): string => `cross join lateral (
      select pg_catalog.left(w, ${NAME_BYTES})::pg_catalog.name as word
      from pg_catalog.regexp_split_to_table(pg_catalog.lower(${p}.prosrc), '[^${WORD_LETTERS}]+') w
      union select n.name from odd n where pg_catalog.strpos(pg_catalog.lower(${p}.prosrc), n.spelled) > 0) w
    join pg_catalog.pg_proc ${other} on ${other}.proname = w.word`

const named = (p: string, other: string): string => `${mentioned(p, other)} and ${ownCode(other)}`

/** Some functions, and those that they name, however far. */
const reachedFrom = (functions: string): string => `odd (name, spelled) as materialized (
      select distinct f.proname, pg_catalog.lower(pg_catalog.replace(f.proname::text, '"', '""')) from pg_catalog.pg_proc f
        where f.proname !~ '^[${WORD_LETTERS}]+$' and ${ownCode('f')}),
    reached (oid) as (
      select p.oid from pg_catalog.pg_proc p where ${ownCode('p')} and p.oid in (${functions})
      union select o.oid from reached r join pg_catalog.pg_proc p on p.oid = r.oid ${named('p', 'o')})`

/** What hides which tables are written to. */
const composing = '\\m(execute|dblink\\w*)\\M|u&"'

/** What comes before the name of a table that is written to or made, with up to two names of where it is. */
const writing = ['into', 'update', 'only', 'table', 'exists', 'copy', 'view']
const beforeWritten = writing.map(word => `'${word}'`).join()

/**
 * Every word of functions that something calls by itself, as triggers and policies do: one can be a type that there is not yet, or
 * a table; and whether it may be one that they write to. Also of what triggers give to them; `execute` stands for those that write to
 * what nobody sees.
 */
export const usedWords = `with recursive ${reachedFrom(`select d.refobjid from pg_catalog.pg_depend d
        where d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass and ${own('d.refobjid')}`)},
    sources (source, hides) as (select p.prosrc, p.prosrc ~* '\\m(${writing.join('|')})\\s*(--|/[*])'
        from reached r join pg_catalog.pg_proc p on p.oid = r.oid
      union all select 'execute', true from reached r join pg_catalog.pg_proc p on p.oid = r.oid
        where ${language('p')} not in ('sql', 'plpgsql') or p.prosrc ~* '${composing}'
      union all select 'execute', true from reached r join pg_catalog.pg_proc p on p.oid = r.oid
        ${mentioned('p', 'o')} and ${own('o.oid')} and ${ofExtension('pg_proc', 'o.oid')}
          and ${language('o')} in ('sql', 'plpgsql') and o.prosrc ~* '${composing}'
      union all select 'execute', true from pg_catalog.pg_trigger t join pg_catalog.pg_proc p on p.oid = t.tgfoid
        where ${own('p.oid')} and not (${ownCode('p')})
      union all select pg_catalog.replace(pg_catalog.encode(t.tgargs, 'escape'), E'\\\\000', ' '), true
        from pg_catalog.pg_trigger t where t.tgnargs > 0)
    select pg_catalog.left(w.word, ${NAME_BYTES}), pg_catalog.bool_or(s.hides or w.first in (${beforeWritten})
      or w.second in (${beforeWritten}) or w.third in (${beforeWritten}))
    from sources s cross join lateral (
      select t.word, pg_catalog.lag(t.word) over w as first, pg_catalog.lag(t.word, 2) over w as second,
        pg_catalog.lag(t.word, 3) over w as third
      from pg_catalog.regexp_split_to_table(pg_catalog.lower(s.source), '[^${WORD_LETTERS}]+') with ordinality t (word, place)
      window w as (order by t.place)) w
    group by 1`

/** Tables with triggers that make relations, or write to such as are told by a text, themselves or by functions that they name. */
export const relationMakers = `with recursive ${reachedFrom('select t.tgfoid from pg_catalog.pg_trigger t where not t.tgisinternal')},
    calls (caller, called) as materialized (
      select p.oid, o.oid from reached r join pg_catalog.pg_proc p on p.oid = r.oid ${named('p', 'o')}),
    makers (oid) as (
      select p.oid from reached r join pg_catalog.pg_proc p on p.oid = r.oid
        where ${language('p')} not in ('sql', 'plpgsql') or p.prosrc = '' or p.prosrc ~* '${making}'
      union select c.caller from makers m join calls c on c.called = m.oid)
    select distinct t.tgrelid::text from pg_catalog.pg_trigger t join makers m on m.oid = t.tgfoid where not t.tgisinternal`

/** Longer functions are not looked into. */
const MAX_BODY_CHARACTERS = 2_000
/** As many are. */
const MAX_BODIES = 1_000
/** OID of the type of rows of any form: src/include/catalog/pg_type.dat. */
const RECORD = 2249

/**
 * OID and text of each function that may only compute (plain-bodies.ts): in SQL, of one value and of PostgreSQL's own types. A body that was parsed when the function was made
 * has no text of its own. Where a literal that ends in a backslash ends, depends on a setting of whoever calls it.
 */
export const bodies = `select p.oid::text, case when p.prosrc <> '' then p.prosrc else pg_catalog.pg_get_functiondef(p.oid) end
    from pg_catalog.pg_proc p join pg_catalog.pg_language l on l.oid = p.prolang
    where l.lanname = 'sql' and p.prokind = 'f' and p.provolatile <> 'v' and not p.proretset and not p.prosecdef
      and p.proconfig is null and p.pronargdefaults = 0 and p.provariadic = 0 and p.proallargtypes is null
      and p.prorettype < ${FIRST_NORMAL_OBJECT_ID} and p.prorettype <> ${RECORD}
      and ${FIRST_NORMAL_OBJECT_ID} > all (p.proargtypes::pg_catalog.oid[]) and ${ownCode('p')}
      and pg_catalog.length(p.prosrc) <= ${MAX_BODY_CHARACTERS} and pg_catalog.strpos(p.prosrc, $$\\'$$) = 0
      and not exists (select from pg_catalog.pg_proc o where o.proname = p.proname and o.oid < ${FIRST_NORMAL_OBJECT_ID})
    limit ${MAX_BODIES}`
