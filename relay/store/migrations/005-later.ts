// Requests that wait without anybody's connection: their command is sent again once it is approved.
import { type Kysely, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .alterTable('requests')
    .addColumn('later', 'boolean', column => column.notNull().defaultTo(false))
    .execute()
  await sql`create index requests_later on requests (subject_id, command_hash)
    where later and state in ('waiting', 'approved')`.execute(db)
}
