// What gate-relay does where no relay runs: checks the policy, makes an enrolment straight in the store.
import { mkdir } from 'node:fs/promises'
import { systemClock } from '@gate/shared/clock'
import { createLog, silentLog } from '@gate/shared/log'
import type { RelayConfig } from './config.ts'
import { Enrolments } from './identity/enrolments.ts'
import type { Policy } from './policy/decide.ts'
import { readPolicy } from './policy/load.ts'

import { createProtocols } from './protocols/registry.ts'
import { lockState, storeConfig, vocabularyOf } from './relay.ts'
import { openStore } from './store/store.ts'

/**
 * Reads the policy as a relay would.
 * @throws {GateError} ERR_GATE_CONFIG with every mistake and its place.
 */
export async function checkPolicy(config: RelayConfig): Promise<Policy> {
  const options = { statementBytes: config.limits.statement_bytes, maskKey: Buffer.alloc(32) }
  const protocols = createProtocols(options, systemClock, silentLog)
  return readPolicy(config.policy, vocabularyOf(protocols))
}

/**
 * Makes a one-time token; the state directory is ours while it is written.
 * @throws {GateError} ERR_GATE_CONFLICT when a relay runs there after all; ERR_GATE_STORE.
 */
export async function enrolInStore(
  config: RelayConfig,
  agent: string,
  targets: string[],
  validMs: number,
): Promise<string> {
  await mkdir(config.state, { recursive: true, mode: 0o700 })
  await using _lock = await lockState(config.state, systemClock)
  await using store = await openStore(await storeConfig(config), systemClock, createLog('relay', 'warn'))
  return new Enrolments(store, systemClock).create(agent, targets, validMs)
}
