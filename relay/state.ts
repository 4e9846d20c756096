// The relay's state directory: one relay works in it at a time, and finds there again who it is and its keys.
import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto'
import { open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '@gate/shared/clock'
import { GateError } from '@gate/shared/errors'
import { newId } from '@gate/shared/id'
import { takeLock } from '@gate/shared/lock'

/** Another relay that is going down has this long to let go of the directory. */
const LOCK_WAIT_MS = 3_000

/** @throws {GateError} ERR_GATE_CONFLICT when another relay works in this directory. */
export async function lockState(state: string, clock: Clock): Promise<AsyncDisposable> {
  try {
    return await takeLock(join(state, 'relay.lock'), LOCK_WAIT_MS, clock)
  } catch (cause) {
    if (cause instanceof GateError && cause.code === 'ERR_GATE_CONFLICT') {
      throw new GateError('ERR_GATE_CONFLICT', `another relay runs in ${state} (${cause.message})`, {
        cause,
        hint: 'Give each relay its own state directory; several relays share a store on a PostgreSQL server.',
      })
    }
    throw cause
  }
}

/** The id of the relay that works in this directory; made at first use. */
export function readRelayId(state: string): Promise<string> {
  return persistent(join(state, 'relay.id'), () => newId('relay'))
}

/** The key of hashed masks, of which that of placeholders is made; made at first use. */
export async function readMaskKey(state: string): Promise<Uint8Array> {
  const hex = await persistent(join(state, 'mask.key'), () => randomBytes(32).toString('hex'))
  return Buffer.from(hex, 'hex')
}

/** The key that signs checkpoints of the record; made at first use. */
export async function readRecordKey(state: string): Promise<KeyObject> {
  return createPrivateKey(await persistent(join(state, 'record.key'), newSigningKey))
}

function newSigningKey(): string {
  return generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
}

/** Text that is made once and kept in a file only we can read. */
async function persistent(path: string, make: () => string): Promise<string> {
  try {
    const file = await open(path, 'wx', 0o600)
    const text = make()
    await file.writeFile(text)
    await file.sync()
    await file.close()
    return text
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') throw thrown
    return (await readFile(path, 'utf8')).trim()
  }
}
