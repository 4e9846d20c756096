// An approver's word: what exactly is signed, by which key, and whether it holds. The same for relay, agent and command line.
import { createHash, createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import * as z from 'zod'
import { canonicalJson } from './canonical.ts'
import { GateError } from './errors.ts'

/** Raised when the fields or their meaning change: a signature over another version is refused. */
export const DECISION_VERSION = 'gate-decision-2'
/** In records there are older ones, whose signatures still hold: `gate-decision-1` did not hash the types of parameters. */
const RECORDED_VERSIONS = ['gate-decision-1', DECISION_VERSION] as const
export const KEY_VERSION = 'gate-approver-key-1'

const MAX_FIELD_LENGTH = 4096
const text = z.string().max(MAX_FIELD_LENGTH)
const sha256 = z.string().regex(/^[0-9a-f]{64}$/)
const milliseconds = z.int().nonnegative()

/**
 * What an approver signs: one verdict on one request, and through the hashes on exactly one command. A grant (`grantMs`)
 * speaks for every command that the same rule holds for the same person on the same target meanwhile; a request for a
 * grant alone has no command.
 */
export const signedStatement = z.strictObject({
  version: z.enum(RECORDED_VERSIONS),
  request: text,
  subject: text,
  target: text,
  session: text.nullable(),
  task: text.nullable(),
  protocol: text,
  commandSha256: sha256.nullable(),
  parametersSha256: sha256.nullable(),
  /** What the protocol says of where the command would run: database, role, search_path, as far as they are known. */
  context: z.record(z.string().max(64), text),
  rule: text,
  policy: text,
  /** Rows that are written and not committed, when the decision is over them. */
  rows: z.int().nonnegative().nullable(),
  verdict: z.enum(['approve', 'deny']),
  reason: text.nullable(),
  grantMs: z.int().positive().nullable(),
  /** When the request ends; the word means nothing after it. */
  expiresMs: milliseconds,
  nonce: text,
})
export type SignedStatement = z.infer<typeof signedStatement>

/** A decision with the approver's signature, as it is stored, recorded and shown to agents. */
export const signedDecision = z.strictObject({
  statement: signedStatement,
  /** SubjectPublicKeyInfo in base64url. */
  publicKey: z.string().max(256),
  /** Ed25519 over the canonical JSON of the statement, in base64url. */
  signature: z.string().max(128),
  /** Who the relay says signed. */
  by: z.strictObject({ subject: text, groups: z.array(text).max(1000), decidedMs: milliseconds }),
})
export type SignedDecision = z.infer<typeof signedDecision>

/** The bytes that are signed: canonical JSON (RFC 8785). */
export function statementBytes(statement: SignedStatement): Buffer {
  return Buffer.from(canonicalJson(statement))
}

/** What somebody signs who registers a key, so that nobody can register one they do not have. */
export function keyBytes(relay: string, subject: string, publicKey: string): Buffer {
  return Buffer.from(canonicalJson({ version: KEY_VERSION, relay: new URL(relay).origin, subject, publicKey }))
}

/** An Ed25519 signature in base64url. */
export function signBytes(bytes: Buffer, key: KeyObject): string {
  return sign(null, bytes, key).toString('base64url')
}

/**
 * Reads a public key, SubjectPublicKeyInfo in base64url.
 * @throws {GateError} ERR_GATE_USAGE when it is no Ed25519 key.
 */
export function readPublicKey(publicKey: string): KeyObject {
  let key: KeyObject
  try {
    key = createPublicKey({ key: Buffer.from(publicKey, 'base64url'), format: 'der', type: 'spki' })
  } catch (cause) {
    throw new GateError('ERR_GATE_USAGE', 'the public key cannot be read', { cause })
  }
  if (key.asymmetricKeyType !== 'ed25519') throw new GateError('ERR_GATE_USAGE', 'the public key is no Ed25519 key')
  return key
}

/** Whether the signature is the key's, over exactly these bytes. A key that cannot be read has signed nothing. */
export function isSignedBy(publicKey: string, bytes: Buffer, signature: string): boolean {
  let key: KeyObject
  try {
    key = readPublicKey(publicKey)
  } catch (thrown) {
    if (thrown instanceof GateError) return false
    throw thrown
  }
  return verify(null, bytes, key, Buffer.from(signature, 'base64url'))
}

/** A key's name: `k_`, since what begins with a dash would be an option, and 96 bits of its SHA-256 in base64url. */
export function keyId(publicKey: string): string {
  const hash = createHash('sha256').update(Buffer.from(publicKey, 'base64url')).digest('base64url')
  return `k_${hash.slice(0, 16)}`
}

/** SHA-256 of a command's exact bytes, in hexadecimal. */
export function commandSha256(command: Uint8Array): string {
  return createHash('sha256').update(command).digest('hex')
}

export interface BoundParameter {
  /** The protocol's number of the type that the client declared, 0 for none: the same bytes mean another value in another type. */
  readonly type: number
  /** 0 text, 1 binary, or what else the protocol knows. */
  readonly format: number
  readonly value: Uint8Array | null
}

/** Bound parameters as one run of bytes: for each its type (UInt32), format (Int16), length (Int32, -1 for NULL) and value. */
export function parameterBytes(parameters: readonly BoundParameter[]): Buffer {
  return Buffer.concat(
    parameters.flatMap(({ type, format, value }) => {
      const head = Buffer.alloc(10)
      head.writeUInt32BE(type, 0)
      head.writeInt16BE(format, 4)
      head.writeInt32BE(value === null ? -1 : value.length, 6)
      return value === null ? [head] : [head, value]
    }),
  )
}

/** SHA-256 of bound parameters, in hexadecimal; of none it is that of no bytes. */
export function parametersSha256(parameters: readonly BoundParameter[]): string {
  return commandSha256(parameterBytes(parameters))
}

/** What of a request a decision is about. */
export interface DecidedRequest {
  readonly id: string
  readonly subject: { readonly id: string }
  readonly target: string
  readonly session?: string | undefined
  readonly task?: string | undefined
  readonly protocol: string
  readonly commandSha256?: string | undefined
  readonly parametersSha256?: string | undefined
  readonly context: Readonly<Record<string, string>>
  readonly rule: string
  readonly policy: string
  readonly rows?: number | undefined
  readonly expiresMs: number
  readonly nonce: string
}

/** One person's verdict, before it is signed. */
export interface Word {
  readonly verdict: 'approve' | 'deny'
  readonly reason: string | undefined
  /** For how long the same rule may be passed again; undefined for this one command only. */
  readonly grantMs: number | undefined
}

/** The statement to sign for a word on a request. */
export function statementOf(request: DecidedRequest, { verdict, reason, grantMs }: Word): SignedStatement {
  return {
    version: DECISION_VERSION,
    request: request.id,
    subject: request.subject.id,
    target: request.target,
    session: request.session ?? null,
    task: request.task ?? null,
    protocol: request.protocol,
    commandSha256: request.commandSha256 ?? null,
    parametersSha256: request.parametersSha256 ?? null,
    context: { ...request.context },
    rule: request.rule,
    policy: request.policy,
    rows: request.rows ?? null,
    verdict,
    reason: reason ?? null,
    grantMs: grantMs ?? null,
    expiresMs: request.expiresMs,
    nonce: request.nonce,
  }
}
