// What is asked of a server's catalog about functions that are labelled as harmless: what they name, which need not be. Pure.
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
 * OID of each function that is labelled stable or immutable, what it becomes where the rest may write, and that: every name in
 * its source, in defaults of its parameters and in their types; and the functions that aggregates are made of.
 */
export const mentions = `with named (word, kind, name) as (
      select pg_catalog.lower(f.proname::text), 'function', f.proname::text from pg_catalog.pg_proc f
        where f.provolatile = 'v' or ${own('f.oid')} or f.proname ~ '${readers.source}'
      union select o.oprname::text, 'operator', o.oprname::text from pg_catalog.pg_operator o
        where ${own('o.oid')} and not ${ofExtension('pg_operator', 'o.oid')}
      union select pg_catalog.lower(t.typname::text), 'type', t.typname::text from pg_catalog.pg_type t
        where ${own('t.oid')} and t.typtype in ('d', 'r', 'm') or t.oid in (
          select pg_catalog.unnest(array[c.castsource, c.casttarget]) from pg_catalog.pg_cast c where ${own('c.castfunc')})
        or ${own('t.oid')} and t.typtype = 'c' and exists (select from pg_catalog.pg_attribute a
          where a.attrelid = t.typrelid and a.attnum > 0 and ${own('a.atttypid')})
      union select pg_catalog.lower(c.relname::text), 'view', c.oid::text from pg_catalog.pg_class c
        where c.relkind = 'v' and ${own('c.oid')}),
    sources (oid, source) as (select p.oid, pg_catalog.lower(pg_catalog.concat_ws(' ', p.prosrc,
        pg_catalog.pg_get_function_arguments(p.oid), pg_catalog.pg_get_function_result(p.oid))) from pg_catalog.pg_proc p
      where p.provolatile <> 'v' and ${ownCode('p')} and ${isLegible('p')})
    select s.oid::text, 'w', n.kind, n.name from sources s
      cross join lateral pg_catalog.regexp_split_to_table(s.source, '[^${WORD_LETTERS}]+') w join named n on n.word = w
    union select s.oid::text, 'w', n.kind, n.name from sources s
      join named n on n.word !~ '^[${WORD_LETTERS}]+$' and pg_catalog.strpos(s.source, n.word) > 0
    union select a.aggfnoid::pg_catalog.oid::text, 'v', 'function', f.proname::text
      from pg_catalog.pg_aggregate a join pg_catalog.pg_proc f on f.oid in (a.aggtransfn, a.aggfinalfn, a.aggcombinefn,
        a.aggserialfn, a.aggdeserialfn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn)
      where ${own('a.aggfnoid::pg_catalog.oid')}`
