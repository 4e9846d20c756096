// Signed decisions, approvers' keys, grants, and reviews of broken glass.
import { type Kysely, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .alterTable('requests')
    .alterColumn('session_id', column => column.dropNotNull())
    .addColumn('kind', 'text', column => column.notNull().defaultTo('command'))
    .addColumn('nonce', 'text', column => column.notNull().defaultTo(''))
    .addColumn('parameters_hash', 'text')
    .addColumn('exact', 'jsonb')
    .addColumn('context', 'jsonb', column => column.notNull().defaultTo(sql`'{}'::jsonb`))
    .addColumn('history', 'jsonb', column => column.notNull().defaultTo(sql`'[]'::jsonb`))
    .addColumn('estimate', 'jsonb')
    .addColumn('grant_ms', 'bigint')
    .addColumn('grant_max_ms', 'bigint')
    .execute()
  await db.schema
    .alterTable('requests')
    .alterColumn('command_hash', column => column.dropNotNull())
    .execute()
  await db.schema.createIndex('requests_subject').on('requests').columns(['subject_id', 'created_ms']).execute()
  // What was decided before decisions were signed has no signature.
  await db.schema.alterTable('decisions').addColumn('signed', 'jsonb').addColumn('grant_ms', 'bigint').execute()
  await createKeys(db)
  await createGrants(db)
  await createReviews(db)
}

async function createKeys(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('approver_keys')
    .addColumn('id', 'text', column => column.primaryKey())
    .addColumn('subject_id', 'text', column => column.notNull())
    .addColumn('email', 'text')
    .addColumn('public_key', 'text', column => column.notNull())
    .addColumn('label', 'text', column => column.notNull())
    .addColumn('created_ms', 'bigint', column => column.notNull())
    .addColumn('revoked_ms', 'bigint')
    .execute()
  await db.schema.createIndex('approver_keys_subject').on('approver_keys').column('subject_id').execute()
}

async function createGrants(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('grants')
    .addColumn('id', 'text', column => column.primaryKey())
    .addColumn('request_id', 'text', column => column.notNull().references('requests.id').onDelete('cascade'))
    .addColumn('subject_id', 'text', column => column.notNull())
    .addColumn('email', 'text')
    .addColumn('target', 'text', column => column.notNull())
    .addColumn('rule', 'text', column => column.notNull())
    .addColumn('approvers', 'text', column => column.notNull())
    .addColumn('created_ms', 'bigint', column => column.notNull())
    .addColumn('expires_ms', 'bigint', column => column.notNull())
    .addColumn('revoked_ms', 'bigint')
    .addColumn('revoked_by', 'text')
    .execute()
  await db.schema
    .createIndex('grants_of')
    .on('grants')
    .columns(['subject_id', 'target', 'rule', 'expires_ms'])
    .execute()
}

async function createReviews(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('reviews')
    .addColumn('id', 'text', column => column.primaryKey())
    .addColumn('session_id', 'text', column => column.notNull())
    .addColumn('subject_id', 'text', column => column.notNull())
    .addColumn('email', 'text')
    .addColumn('target', 'text', column => column.notNull())
    .addColumn('reason', 'text', column => column.notNull())
    .addColumn('approvers', 'jsonb', column => column.notNull())
    .addColumn('opened_ms', 'bigint', column => column.notNull())
    .addColumn('closed_ms', 'bigint')
    .addColumn('closed_by', 'text')
    .addColumn('closed_email', 'text')
    .addColumn('note', 'text')
    .execute()
  await db.schema.createIndex('reviews_opened').on('reviews').column('opened_ms').execute()
}
