// Names of approvers' keys begin with a letter: one in 64 began with a dash, which a command line reads as an option.
import { type Kysely, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`update approver_keys set id = 'k_' || id`.execute(db)
}
