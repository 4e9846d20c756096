// The relay's state directory: one relay works in it at a time, and finds there again who it is and its keys.
import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { Clock } from '@gate/shared/clock'
import { GateError } from '@gate/shared/errors'
import { newId } from '@gate/shared/id'
import { takeLock } from '@gate/shared/lock'
import { madeOnce } from '@gate/shared/whole-file'

/** Another relay that is going down, or somebody who makes an enrolment, has this long to let go of the directory. */
export const START_WAIT_MS = 15_000
/** Whoever waits for longer is told what for. */
const UNTOLD_WAIT_MS = 1_000
const MASK_KEY_BYTES = 32

/**
 * Waits up to `waitMs` for the state directory, and says after a second that it does.
 * @throws {GateError} ERR_GATE_CONFLICT when another relay works in this directory.
 */
export async function lockState(
  state: string,
  waitMs: number,
  clock: Clock,
  waits: (holder: string) => void,
): Promise<AsyncDisposable> {
  const path = join(state, 'relay.lock')
  const untoldMs = Math.min(waitMs, UNTOLD_WAIT_MS)
  try {
    return await takeLock(path, untoldMs, clock).catch((cause: unknown) => {
      if (untoldMs === waitMs || !isConflict(cause)) throw cause
      waits(cause.message)
      return takeLock(path, waitMs - untoldMs, clock)
    })
  } catch (cause) {
    if (isConflict(cause)) {
      throw new GateError('ERR_GATE_CONFLICT', `another relay runs in ${state} (${cause.message})`, {
        cause,
        hint: 'Give each relay its own state directory; several relays share a store on a PostgreSQL server.',
      })
    }
    throw cause
  }
}

function isConflict(cause: unknown): cause is GateError {
  return cause instanceof GateError && cause.code === 'ERR_GATE_CONFLICT'
}

/** The id of the relay that works in this directory; made at first use. @throws {GateError} ERR_GATE_CONFIG. */
export async function readRelayId(state: string): Promise<string> {
  const path = join(state, 'relay.id')
  const id = (await madeOnce(path, () => newId('relay'))).trim()
  if (!/^relay_[A-Za-z0-9_-]+$/.test(id)) throw damaged(path)
  return id
}

/** The key of hashed masks, of which that of placeholders is made; made at first use. @throws {GateError} ERR_GATE_CONFIG. */
export async function readMaskKey(state: string): Promise<Uint8Array> {
  const path = join(state, 'mask.key')
  const hex = (await madeOnce(path, () => randomBytes(MASK_KEY_BYTES).toString('hex'))).trim()
  if (!/^[0-9a-f]+$/.test(hex) || hex.length !== 2 * MASK_KEY_BYTES) throw damaged(path)
  return Buffer.from(hex, 'hex')
}

/** The key that signs checkpoints of the record; made at first use. @throws {GateError} ERR_GATE_CONFIG. */
export async function readRecordKey(state: string): Promise<KeyObject> {
  const path = join(state, 'record.key')
  const pem = await madeOnce(path, newSigningKey)
  try {
    return createPrivateKey(pem)
  } catch (cause) {
    throw damaged(path, cause)
  }
}

/** With another key hashes and signatures would be others: that is nothing to do without being told. */
function damaged(path: string, cause?: unknown): GateError {
  return new GateError('ERR_GATE_CONFIG', `${path} is damaged`, {
    cause,
    hint: 'Put it back from a backup. Without one remove it: the relay makes a new one, which nothing from before fits.',
  })
}

function newSigningKey(): string {
  return generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
}
