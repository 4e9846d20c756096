// The key with which this person signs decisions on this machine: made at first use, kept in the keychain, known to the relay.
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { hostname, userInfo } from 'node:os'
import { keyBytes, keyId, signBytes } from '@gate/shared/approval'
import { GateError } from '@gate/shared/errors'
import * as z from 'zod'
import type { Connected } from './app.ts'

export interface ApproverKey {
  readonly id: string
  /** SubjectPublicKeyInfo in base64url. */
  readonly publicKey: string
  sign(bytes: Buffer): string
}

export const keySchema = z.object({
  id: z.string(),
  publicKey: z.string(),
  label: z.string(),
  createdMs: z.number(),
  revokedMs: z.number().optional(),
})

const stored = z.strictObject({ privateKey: z.string(), registered: z.boolean() })

async function account({ profile, credentials }: Connected): Promise<{ name: string; subject: string }> {
  const login = await credentials.find()
  if (login === undefined)
    throw new GateError('ERR_GATE_UNAUTHENTICATED', 'you are not logged in', { hint: 'Run gate login.' })
  return { name: `${profile.relay} approver ${login.subject.id}`, subject: login.subject.id }
}

/** This machine's key, if there is one; never makes any. */
export async function findKey(connected: Connected): Promise<ApproverKey | undefined> {
  const kept = await read(connected, (await account(connected)).name)
  return kept === undefined ? undefined : keyOf(kept.key)
}

/**
 * This machine's key; made and registered with the relay when there is none yet.
 * @throws {GateError} ERR_GATE_FORBIDDEN when it was revoked, and what else the relay says.
 */
export async function approverKey(connected: Connected): Promise<ApproverKey> {
  const { name, subject } = await account(connected)
  const kept = await read(connected, name)
  const key = kept?.key ?? generateKeyPairSync('ed25519').privateKey
  // Kept first: a key that the relay knows and nobody has would only be clutter there.
  if (kept === undefined) await write(connected, name, key, false)
  const approver = keyOf(key)
  if (kept?.registered === true) return approver
  await register(connected, approver, subject)
  await write(connected, name, key, true)
  return approver
}

/** Forgets this machine's key and makes another. */
export async function renewKey(connected: Connected): Promise<ApproverKey> {
  await connected.keychain.delete((await account(connected)).name)
  return approverKey(connected)
}

async function register({ client, credentials, profile }: Connected, key: ApproverKey, subject: string): Promise<void> {
  const { publicKey } = key
  const signature = key.sign(keyBytes(profile.relay, subject, publicKey))
  const label = `${userInfo().username} on ${hostname()}`.slice(0, 200)
  const body = { publicKey, signature, label }
  await client.call({ method: 'POST', path: '/v1/keys', token: await credentials.token(), body }, keySchema)
}

async function read(
  { keychain }: Connected,
  name: string,
): Promise<{ key: KeyObject; registered: boolean } | undefined> {
  const text = await keychain.get(name)
  if (text === undefined) return undefined
  try {
    const { privateKey, registered } = stored.parse(JSON.parse(text))
    return { key: createPrivateKey(privateKey), registered }
  } catch (cause) {
    throw new GateError('ERR_GATE_CONFIG', 'the kept approver key cannot be read', {
      cause,
      hint: 'Run gate keys new: it makes another one.',
    })
  }
}

async function write({ keychain }: Connected, name: string, key: KeyObject, registered: boolean): Promise<void> {
  const privateKey = key.export({ type: 'pkcs8', format: 'pem' })
  await keychain.set(name, JSON.stringify({ privateKey, registered }))
}

function keyOf(key: KeyObject): ApproverKey {
  const publicKey = createPublicKey(key).export({ type: 'spki', format: 'der' }).toString('base64url')
  return { id: keyId(publicKey), publicKey, sign: bytes => signBytes(bytes, key) }
}
