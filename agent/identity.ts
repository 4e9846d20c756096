// The agent's own key pair: made here, never leaves here; its public half is what the relay knows the agent by.
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { access, readFile, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { GateError } from '@gate/shared/errors'
import { madeOnce } from '@gate/shared/whole-file'

export interface AgentKey {
  /** SubjectPublicKeyInfo in base64url. */
  readonly publicKey: string
  sign(bytes: Buffer): string
}

const fileName = 'agent.key'

/** @throws {GateError} ERR_GATE_UNAUTHENTICATED when the agent never enrolled. */
export async function readKey(state: string): Promise<AgentKey> {
  try {
    return wrap(createPrivateKey(await readFile(join(state, fileName), 'utf8')))
  } catch (cause) {
    throw new GateError('ERR_GATE_UNAUTHENTICATED', `${state} holds no agent key that can be read`, {
      cause,
      hint: `Enrol first: gate-agent enroll --token TOKEN (the relay makes one with gate-relay enroll). A damaged ${fileName} has to be removed before.`,
    })
  }
}

/** Whether there is a key, also one that cannot be read. */
export async function hasKey(state: string): Promise<boolean> {
  return access(join(state, fileName)).then(
    () => true,
    () => false,
  )
}

/** Takes away a key that nobody knows. */
export async function forgetKey(state: string): Promise<void> {
  await unlink(join(state, fileName))
}

/** The key in the state directory; a new one when there is none. */
export async function makeKey(state: string): Promise<AgentKey> {
  await madeOnce(join(state, fileName), () =>
    generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  )
  return readKey(state)
}

function wrap(key: KeyObject): AgentKey {
  const publicKey = createPublicKey(key).export({ type: 'spki', format: 'der' }).toString('base64url')
  return { publicKey, sign: bytes => sign(null, bytes, key).toString('base64url') }
}
