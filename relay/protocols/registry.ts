// Every protocol that this relay speaks: one line each.
import type { Clock } from '@gate/shared/clock'
import type { Log } from '@gate/shared/log'
import { createHttp, defaultHttpLimits, type HttpLimits } from './http/index.ts'
import { createPostgres } from './postgres/index.ts'
import type { Protocol } from './protocol.ts'

export interface RoomOptions {
  readonly statementBytes: number
  readonly maskKey: Uint8Array
  /** Where they are not said, the defaults. */
  readonly http?: HttpLimits
}

export function createProtocols(options: RoomOptions, clock: Clock, log: Log): readonly Protocol[] {
  return [
    createPostgres(options, clock, log),
    createHttp({ maskKey: options.maskKey, limits: options.http ?? defaultHttpLimits }, log),
  ]
}
