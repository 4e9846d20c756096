// What gate-relay does where no relay runs: checks the policy, makes an enrolment straight in the store.
import { mkdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '@gate/shared/clock'
import { GateError } from '@gate/shared/errors'
import { createLog, silentLog } from '@gate/shared/log'
import type { RelayConfig } from './config.ts'
import { Enrolments } from './identity/enrolments.ts'
import { placeholderKey, recordedPlaceholder } from './mask/placeholder.ts'
import type { Policy } from './policy/decide.ts'
import { readPolicy } from './policy/load.ts'
import { createProtocols } from './protocols/registry.ts'
import { Sealer } from './record/sealer.ts'
import { abilitiesOf, storeConfig, vocabularyOf } from './relay.ts'
import { lockState, readMaskKey } from './state.ts'
import { openStore } from './store/store.ts'

/** A relay that has the directory for longer is one to ask, as soon as it answers. */
const LOCK_WAIT_MS = 1_000

/**
 * Reads the policy as a relay would.
 * @throws {GateError} ERR_GATE_CONFIG with every mistake and its place.
 */
export async function checkPolicy(config: RelayConfig): Promise<Policy> {
  const options = { statementBytes: config.limits.statement_bytes, maskKey: Buffer.alloc(32) }
  const protocols = createProtocols(options, systemClock, silentLog)
  if (config.record.recipients.length > 0) await Sealer.open(config.record.recipients, systemClock, silentLog)
  return readPolicy(config.policy, vocabularyOf(protocols), abilitiesOf(config))
}

/** What stands in this relay's record for a value that is masked. @throws {GateError} ERR_GATE_NOT_FOUND before its first start. */
export async function placeholderIn(config: RelayConfig, value: string): Promise<string> {
  const started = await stat(join(config.state, 'mask.key')).then(
    () => true,
    () => false,
  )
  if (!started) {
    throw new GateError('ERR_GATE_NOT_FOUND', `${config.state} has no mask.key`, {
      hint: 'The relay makes it when it starts for the first time; run this where it runs.',
    })
  }
  return recordedPlaceholder(placeholderKey(await readMaskKey(config.state)), value)
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
  await using _lock = await lockState(config.state, LOCK_WAIT_MS, systemClock, () => {})
  await using store = await openStore(await storeConfig(config), systemClock, createLog('relay', 'warn'))
  return await new Enrolments(store, systemClock).create(agent, targets, validMs)
}
