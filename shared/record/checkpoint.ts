// Signed checkpoints: a tree's size and root under a relay's key, as C2SP's tlog-checkpoint and signed-note write them. Pure.
import { createPublicKey, hash, type KeyObject, sign, verify } from 'node:crypto'
import { GateError } from '../errors.ts'
import { HASH_BYTES } from './tree.ts'

/** What a tree was at one moment. */
export interface TreeHead {
  /** Names the tree: the relay's address and its own name. */
  readonly origin: string
  readonly size: number
  readonly root: Buffer
}

/** Ed25519, the first kind of signature of C2SP's signed-note. */
const ED25519 = 1
const KEY_HASH_BYTES = 4
/** DER before the 32 bytes of an Ed25519 public key (RFC 8410, 4). */
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')
const SIGNATURE_MARK = '— '
export const MAX_CHECKPOINT_LENGTH = 4096

const broken = (what: string): GateError => new GateError('ERR_GATE_TAMPERED', `a checkpoint ${what}`)

/** A public key under a name. Its text is what Go's note.NewVerifier and other tools of transparency logs take. */
export interface Verifier {
  readonly name: string
  readonly text: string
  readonly keyHash: Buffer
  readonly key: KeyObject
}

function verifierOf(name: string, raw: Buffer): Verifier {
  const typed = Buffer.concat([Buffer.of(ED25519), raw])
  const keyHash = hash('sha256', Buffer.concat([Buffer.from(`${name}\n`), typed]), 'buffer').subarray(0, KEY_HASH_BYTES)
  const key = createPublicKey({ key: Buffer.concat([SPKI_PREFIX, raw]), format: 'der', type: 'spki' })
  return { name, keyHash, key, text: `${name}+${keyHash.toString('hex')}+${typed.toString('base64')}` }
}

/** The verifier of an Ed25519 key; a private key gives that of its public half. */
export function createVerifier(name: string, key: KeyObject): Verifier {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key
  return verifierOf(name, publicKey.export({ type: 'spki', format: 'der' }).subarray(SPKI_PREFIX.length))
}

/** Reads `name+hash+key`. @throws {GateError} ERR_GATE_TAMPERED when it is none, or of another kind of key. */
export function parseVerifier(text: string): Verifier {
  const [, name = '', keyHash = '', encoded = ''] = /^([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(text) ?? []
  const typed = Buffer.from(encoded, 'base64')
  if (typed.length !== HASH_BYTES + 1 || typed[0] !== ED25519)
    throw broken(`key is not understood: ${text.slice(0, 200)}`)
  const verifier = verifierOf(name, typed.subarray(1))
  if (verifier.keyHash.toString('hex') !== keyHash) throw broken(`key does not fit its own hash: ${text.slice(0, 200)}`)
  return verifier
}

function headText({ origin, size, root }: TreeHead): string {
  return `${origin}\n${size}\n${root.toString('base64')}\n`
}

/** The note that says a tree's head under a signature; `key` is the private half of `verifier`. */
export function signCheckpoint(head: TreeHead, verifier: Verifier, key: KeyObject): string {
  const text = headText(head)
  const signature = sign(null, Buffer.from(text), key)
  return `${text}\n${SIGNATURE_MARK}${verifier.name} ${Buffer.concat([verifier.keyHash, signature]).toString('base64')}\n`
}

/**
 * Reads a checkpoint and checks that this key signed it; signatures of others are passed over.
 * @throws {GateError} ERR_GATE_TAMPERED when it is none, or not signed by the key.
 */
export function openCheckpoint(note: string, verifier: Verifier): TreeHead {
  if (note.length > MAX_CHECKPOINT_LENGTH) throw broken('is too long')
  const end = note.indexOf('\n\n')
  if (end === -1) throw broken('has no signature')
  const text = note.slice(0, end + 1)
  const isSigned = note
    .slice(end + 2)
    .split('\n')
    .some(line => signs(line, text, verifier))
  if (!isSigned) throw broken(`is not signed by ${verifier.text}`)
  const [origin = '', size = '', root = ''] = text.split('\n')
  const head = { origin, size: Number(size), root: Buffer.from(root, 'base64') }
  const isHead = /^(0|[1-9]\d{0,15})$/.test(size) && Number.isSafeInteger(head.size) && head.root.length === HASH_BYTES
  if (!isHead || headText(head) !== text || origin !== verifier.name) throw broken('has another form')
  return head
}

function signs(line: string, text: string, { name, keyHash, key }: Verifier): boolean {
  const start = `${SIGNATURE_MARK}${name} `
  if (!line.startsWith(start)) return false
  const bytes = Buffer.from(line.slice(start.length), 'base64')
  return (
    bytes.subarray(0, KEY_HASH_BYTES).equals(keyHash) &&
    verify(null, Buffer.from(text), key, bytes.subarray(KEY_HASH_BYTES))
  )
}
