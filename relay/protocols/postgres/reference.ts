// The actions and facts of this room for people who write policy: an example of each. docs/postgres.md is made from it.
import type { noFacts } from './analysis/facts.ts'

/** Actions whose statements need the catalog, or a name that gate did not see, to be told. */
export const otherActions: Readonly<Record<string, string>> = {
  call: '`SELECT` of a volatile function that is not known to be harmless, beside `select`; the fast-path FunctionCall',
  execute: 'EXECUTE of a statement that gate did not see being prepared',
  fetch: 'FETCH from a cursor that gate did not see being declared',
  unknown: 'what cannot be read at all; always refused',
}

/** Actions that only keep a session going: allowed unless a rule says otherwise. */
export const routineActions: readonly string[] = [
  ...['transaction', 'set', 'show', 'deallocate', 'close', 'discard', 'unlisten'],
]

/** What a statement is, by its `op.action`: the first of the examples of each is shown first. */
export const actionExamples: Readonly<Record<string, readonly string[]>> = {
  select: ['SELECT name FROM customers', 'VALUES (1)', 'TABLE customers'],
  insert: ['INSERT INTO customers (name) VALUES ($1)'],
  update: ["UPDATE customers SET name = 'x' WHERE id = 1"],
  delete: ['DELETE FROM customers WHERE id = 1'],
  merge: ['MERGE INTO stock s USING sold o ON s.id = o.id WHEN MATCHED THEN DELETE'],
  copy: ['COPY customers TO STDOUT', 'COPY customers FROM STDIN', "COPY customers TO PROGRAM 'cat'"],
  truncate: ['TRUNCATE customers'],
  create: ['CREATE TABLE t (id int)', 'CREATE TABLE t AS SELECT 1', 'SELECT 1 INTO t', 'CREATE EXTENSION hstore'],
  alter: ['ALTER TABLE customers DROP COLUMN name', 'ALTER TABLE a RENAME TO b', 'REASSIGN OWNED BY a TO b'],
  drop: ['DROP TABLE customers', 'DROP DATABASE app', 'DROP OWNED BY a'],
  grant: ['GRANT SELECT ON customers TO bob', 'ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO bob'],
  revoke: ['REVOKE SELECT ON customers FROM bob'],
  call: ['CALL close_month()'],
  do: ['DO $$ BEGIN PERFORM 1; END $$'],
  explain: ['EXPLAIN SELECT name FROM customers'],
  listen: ['LISTEN news'],
  notify: ["NOTIFY news, 'x'"],
  lock: ['LOCK TABLE customers'],
  load: ["LOAD 'auto_explain'"],
  checkpoint: ['CHECKPOINT'],
  vacuum: ['VACUUM customers'],
  analyze: ['ANALYZE customers'],
  cluster: ['CLUSTER customers'],
  reindex: ['REINDEX TABLE customers'],
  refresh: ['REFRESH MATERIALIZED VIEW totals'],
  comment: ["COMMENT ON TABLE customers IS 'x'"],
  security_label: ["SECURITY LABEL ON TABLE customers IS 'x'"],
  set_role: ['SET ROLE admin', 'SET SESSION AUTHORIZATION admin', "SELECT set_config('role', 'admin', false)"],
  prepare_transaction: ["PREPARE TRANSACTION 'x'", "COMMIT PREPARED 'x'"],
  transaction: ['BEGIN', 'COMMIT', 'SAVEPOINT s'],
  set: ["SET statement_timeout = '5s'", 'SET CONSTRAINTS ALL DEFERRED'],
  show: ['SHOW search_path'],
  deallocate: ['DEALLOCATE p'],
  close: ['CLOSE c'],
  discard: ['DISCARD ALL'],
  unlisten: ['UNLISTEN news'],
}

/** Each fact: what it says, and a statement in which it has the value shown. */
export const factExamples: Readonly<
  Record<keyof typeof noFacts, { readonly says: string; readonly example: string; readonly value: unknown }>
> = {
  objectType: {
    says: 'what kind of object a schema command is about',
    example: 'DROP MATERIALIZED VIEW totals',
    value: 'materialized_view',
  },
  hasWhere: {
    says: 'a predicate really chooses among the rows; `true`, `1 = 1`, `id = id`, `id = id + 0`, `id IN (VALUES (id))`, `x OR true`, patterns that take everything and conditions on other tables alone do not, nor columns without their table in an UPDATE, DELETE or MERGE with several',
    example: 'DELETE FROM customers WHERE id = 1',
    value: true,
  },
  hasLimit: {
    says: 'LIMIT or FETCH FIRST, of other than ALL or NULL',
    example: 'SELECT name FROM customers LIMIT 10',
    value: true,
  },
  returning: { says: 'RETURNING', example: 'DELETE FROM customers RETURNING id', value: true },
  locking: { says: 'FOR UPDATE, FOR SHARE, …', example: 'SELECT name FROM customers FOR UPDATE', value: true },
  columns: {
    says: 'names of columns that are read, as written',
    example: 'SELECT c.name FROM customers c',
    value: ['c.name'],
  },
  columnsWritten: {
    says: 'names of columns that are assigned',
    example: "UPDATE customers SET name = 'x'",
    value: ['name'],
  },
  functions: { says: 'functions that are called', example: 'SELECT public.f(now())', value: ['public.f', 'now'] },
  setting: { says: 'the setting of SET, SHOW and RESET', example: 'SET work_mem = 4', value: 'work_mem' },
  copyDirection: { says: '`from` or `to`', example: 'COPY customers FROM STDIN', value: 'from' },
  copyProgram: {
    says: 'COPY … PROGRAM: runs a command on the server',
    example: "COPY t FROM PROGRAM 'cat'",
    value: true,
  },
  copyFile: { says: 'COPY with a file of the server', example: "COPY t TO '/tmp/t'", value: true },
  analyze: { says: 'EXPLAIN ANALYZE', example: 'EXPLAIN ANALYZE SELECT name FROM customers', value: true },
  nested: {
    says: 'done by another statement besides: a write in WITH, the UPDATE of ON CONFLICT, what MERGE does by its clauses, a call in SELECT',
    example: 'WITH d AS (DELETE FROM customers RETURNING id) SELECT id FROM d',
    value: true,
  },
  cursor: { says: 'DECLARE CURSOR', example: 'DECLARE c CURSOR FOR SELECT name FROM customers', value: true },
  prepared: {
    says: 'PREPARE; each EXECUTE is decided again, and is not `prepared`',
    example: 'PREPARE p AS SELECT name FROM customers',
    value: true,
  },
  alterations: {
    says: 'what ALTER TABLE does',
    example: 'ALTER TABLE customers DROP COLUMN name, ADD COLUMN age int',
    value: ['drop_column', 'add_column'],
  },
  language: { says: 'the language of DO and CREATE FUNCTION', example: "DO 'BEGIN END'", value: 'plpgsql' },
  cascade: { says: 'DROP … CASCADE', example: 'DROP TABLE customers CASCADE', value: true },
}
