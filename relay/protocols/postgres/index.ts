// The PostgreSQL room.
import type { Clock } from '@gate/shared/clock'
import type { Log } from '@gate/shared/log'
import { placeholderKey } from '../../mask/placeholder.ts'
import type { Protocol } from '../protocol.ts'
import { Analyser } from './analysis/analyser.ts'
import { Cancels } from './cancels.ts'
import { Catalogs } from './catalog-reader.ts'
import { postgresHint, postgresOffline } from './hint.ts'
import { LongQueries } from './long-queries.ts'
import { vocabulary } from './operation.ts'
import { serve } from './serve.ts'

export interface PostgresOptions {
  /** Longest statement that is analysed; longer ones are refused. */
  readonly statementBytes: number
  /** Key of hashed masks; that of placeholders in the record is made of it. */
  readonly maskKey: Uint8Array
}

export function createPostgres(options: PostgresOptions, clock: Clock, log: Log): Protocol {
  const analyser = new Analyser(options.statementBytes, log, placeholderKey(options.maskKey))
  const catalogs = new Catalogs(analyser, clock, log)
  const longQueries = new LongQueries()
  const room = { analyser, catalogs, cancels: new Cancels(), longQueries, maskKey: options.maskKey, clock }
  return {
    name: 'postgres',
    vocabulary,
    obligations: ['mask', 'row-limit'],
    hint: postgresHint,
    offline: postgresOffline,
    serve: session => serve(room, session),
    [Symbol.asyncDispose]: () => {
      catalogs[Symbol.dispose]()
      return analyser[Symbol.asyncDispose]()
    },
  }
}
