// Where sessions came from: the address at the other end of the connection.
import type { Kysely } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('sessions').addColumn('client_address', 'text').execute()
}
