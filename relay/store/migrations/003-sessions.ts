// What sessions are found by, who looked at them, and how they are stopped: terms, views, kills and locks.
import { type Kysely, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .alterTable('sessions')
    .addColumn('target_key', 'text', column => column.notNull().defaultTo(''))
    .execute()
  await db.schema
    .createTable('session_targets')
    .addColumn('key', 'text', column => column.primaryKey())
    .addColumn('name', 'text', column => column.notNull())
    .addColumn('protocol', 'text', column => column.notNull())
    .addColumn('labels', 'jsonb', column => column.notNull())
    .execute()
  await sql`update sessions set target_key = md5(target || '|' || protocol || '|' || labels::text)`.execute(db)
  await sql`insert into session_targets
    select distinct on (target_key) target_key, target, protocol, labels from sessions`.execute(db)
  for (const column of ['target', 'target_key', 'task'] as const) {
    await sql`create index ${sql.ref(`sessions_${column}`)} on sessions (${sql.ref(column)} text_pattern_ops, started_ms)`.execute(
      db,
    )
  }
  await sql`create index sessions_email on sessions (lower(email), started_ms)`.execute(db)
  await sql`create index sessions_open on sessions (relay) where ended_ms is null`.execute(db)
  await createIndex(db)
  await createStops(db)
}

/** Filled from the record in batches; what is lost of it is read from there again. */
async function createIndex(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('session_terms')
    .addColumn('term', 'text', column => column.notNull())
    .addColumn('started_ms', 'bigint', column => column.notNull())
    .addColumn('session_id', 'text', column => column.notNull())
    .addPrimaryKeyConstraint('session_terms_key', ['term', 'started_ms', 'session_id'])
    .execute()
  await db.schema
    .createTable('session_views')
    .addColumn('session_id', 'text', column => column.notNull())
    .addColumn('relay', 'text', column => column.notNull())
    .addColumn('sequence', 'bigint', column => column.notNull())
    .addColumn('time_ms', 'bigint', column => column.notNull())
    .addColumn('by_id', 'text', column => column.notNull())
    .addPrimaryKeyConstraint('session_views_key', ['session_id', 'relay', 'sequence'])
    .execute()
  await db.schema
    .createTable('record_positions')
    .addColumn('relay', 'text', column => column.primaryKey())
    .addColumn('sequence', 'bigint', column => column.notNull())
    .execute()
}

async function createStops(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('session_kills')
    .addColumn('session_id', 'text', column => column.primaryKey())
    .addColumn('relay', 'text', column => column.notNull())
    .addColumn('by_id', 'text', column => column.notNull())
    .addColumn('by_email', 'text')
    .addColumn('reason', 'text', column => column.notNull())
    .addColumn('asked_ms', 'bigint', column => column.notNull())
    .addColumn('done_ms', 'bigint')
    .execute()
  await db.schema
    .createIndex('session_kills_waiting')
    .on('session_kills')
    .column('relay')
    .where(sql.ref('done_ms'), 'is', null)
    .execute()
  await db.schema
    .createTable('locks')
    .addColumn('id', 'text', column => column.primaryKey())
    .addColumn('kind', 'text', column => column.notNull())
    .addColumn('name', 'text', column => column.notNull())
    .addColumn('reason', 'text', column => column.notNull())
    .addColumn('by_id', 'text', column => column.notNull())
    .addColumn('by_email', 'text')
    .addColumn('created_ms', 'bigint', column => column.notNull())
    .addColumn('until_ms', 'bigint')
    .addColumn('removed_ms', 'bigint')
    .addColumn('removed_by', 'text')
    .execute()
  await db.schema
    .createIndex('locks_active')
    .on('locks')
    .column('created_ms')
    .where(sql.ref('removed_ms'), 'is', null)
    .execute()
}
