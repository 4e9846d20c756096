// The store: one set of tables and one query path, over PGlite in a worker or a PostgreSQL server.
import type { Clock } from '@gate/shared/clock'
import { asGateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import { Kysely, Migrator } from 'kysely'
import { openEmbedded } from './embedded.ts'
import type { Engine } from './engine.ts'
import * as first from './migrations/001-first.ts'
import * as approvals from './migrations/002-approvals.ts'
import * as sessions from './migrations/003-sessions.ts'
import * as relays from './migrations/004-relays.ts'
import * as later from './migrations/005-later.ts'
import * as address from './migrations/006-address.ts'
import * as deleted from './migrations/007-deleted.ts'
import * as keyNames from './migrations/008-key-names.ts'
import type { Schema } from './schema.ts'
import { openServer } from './server.ts'

export interface Store extends AsyncDisposable {
  readonly db: Kysely<Schema>
  listen: Engine['listen']
  notify: Engine['notify']
  /** @throws {GateError} ERR_GATE_STORE when the store does not answer. */
  check(): Promise<void>
}

export type StoreConfig =
  | { readonly kind: 'embedded'; readonly directory: string }
  | { readonly kind: 'postgres'; readonly url: string; readonly maximumConnections: number }

const migrations = {
  '001-first': first,
  '002-approvals': approvals,
  '003-sessions': sessions,
  '004-relays': relays,
  '005-later': later,
  '006-address': address,
  '007-deleted': deleted,
  '008-key-names': keyNames,
}

/**
 * Opens the store and brings its tables up to date.
 * @throws {GateError} ERR_GATE_STORE when it cannot be opened or migrated.
 */
export async function openStore(config: StoreConfig, clock: Clock, log: Log): Promise<Store> {
  const engine = await storeErrors(
    () =>
      config.kind === 'embedded'
        ? openEmbedded(config.directory)
        : openServer(config.url, config.maximumConnections, clock, log),
    'the store cannot be opened',
  )
  const db = new Kysely<Schema>({ dialect: engine.dialect })
  await storeErrors(async () => {
    const migrator = new Migrator({ db, provider: { getMigrations: async () => migrations } })
    const { error } = await migrator.migrateToLatest()
    if (error !== undefined) throw error
  }, "the store's tables cannot be brought up to date")
  return {
    db,
    listen: engine.listen,
    notify: engine.notify,
    check: () =>
      storeErrors(
        async () => void (await db.selectFrom('agents').select('name').limit(1).execute()),
        'the store does not answer',
      ),
    [Symbol.asyncDispose]: async () => {
      await db.destroy()
      await engine.close()
    },
  }
}

/** Runs store work; whatever fails becomes ERR_GATE_STORE, with the cause for the log only. */
export async function storeErrors<T>(work: () => Promise<T>, message = 'the store does not answer'): Promise<T> {
  try {
    return await work()
  } catch (thrown) {
    throw asGateError(thrown, 'ERR_GATE_STORE', message)
  }
}
