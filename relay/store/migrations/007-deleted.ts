// Which sessions were deleted by age, and when: nothing of them but that, for whoever has their id from elsewhere.
import type { Kysely } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('deleted_sessions')
    .addColumn('id', 'text', column => column.primaryKey())
    .addColumn('relay', 'text', column => column.notNull())
    .addColumn('sequence', 'bigint', column => column.notNull())
    .addColumn('deleted_ms', 'bigint', column => column.notNull())
    .execute()
}
