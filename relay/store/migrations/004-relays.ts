// Where each relay that shares the store can be reached, so that one can ask another for what only that one has.
import type { Kysely } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('relays')
    .addColumn('id', 'text', column => column.primaryKey())
    .addColumn('url', 'text', column => column.notNull())
    .addColumn('started_ms', 'bigint', column => column.notNull())
    .execute()
}
