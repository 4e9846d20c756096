// Approvers with keys of their own, for tests that decide without a command line.
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { type Approvals, Approvals as ApprovalsClass, type ApprovalsOptions } from '@gate/relay/approval/approvals'
import { Notices } from '@gate/relay/notices/notices'
import type { Store } from '@gate/relay/store/store'
import {
  type BoundParameter,
  commandSha256,
  type DecidedRequest,
  keyBytes,
  parametersSha256,
  type SignedDecision,
  type SignedStatement,
  signBytes,
  statementBytes,
  statementOf,
  type Word,
} from '@gate/shared/approval'
import type { Clock } from '@gate/shared/clock'
import { GateError } from '@gate/shared/errors'
import { type Log, silentLog } from '@gate/shared/log'
import type { Subject } from '@gate/shared/model'
import type { Cli } from './gate.ts'
import { keptLogins } from './kept-logins.ts'

export const RELAY_URL = 'http://127.0.0.1:8443'

export interface Signer {
  readonly publicKey: string
  readonly key: KeyObject
}

const exported = (publicKey: KeyObject): string =>
  publicKey.export({ type: 'spki', format: 'der' }).toString('base64url')

export function newSigner(): Signer {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  return { key: privateKey, publicKey: exported(publicKey) }
}

/** What an approval is about. */
export interface Approved {
  readonly target: string
  readonly protocol: string
  readonly command: string
  readonly parameters: readonly BoundParameter[]
  readonly expiresMs: number
}

/** An approval as a relay shows it to agents; `change` alters the statement before it is signed. */
export function signedApproval(
  { target, protocol, command, parameters, expiresMs }: Approved,
  { publicKey, key }: Signer,
  change: Partial<SignedStatement> = {},
): SignedDecision {
  const request = {
    ...{ id: 'r_1', subject: { id: 'alice' }, context: {}, rule: 'r', policy: 'p', nonce: 'n' },
    ...{ target, protocol, expiresMs },
    commandSha256: commandSha256(Buffer.from(command)),
    parametersSha256: parametersSha256(parameters),
  }
  const word = { verdict: 'approve', reason: undefined, grantMs: undefined } as const
  const statement = { ...statementOf(request, word), ...change }
  const signature = signBytes(statementBytes(statement), key)
  return { statement, publicKey, signature, by: { subject: 'bob', groups: ['dba'], decidedMs: 0 } }
}

export interface Answer {
  readonly status: number
  readonly body: Record<string, unknown>
}

/** The session token of the person who is logged in with this command line. */
export async function tokenOf(cli: Cli, relay: string): Promise<string> {
  return (JSON.parse((await keptLogins(cli))[relay] ?? '{}') as { token: string }).token
}

/** Speaks to the relay's API as the person who is logged in with this command line. */
export async function callAs(cli: Cli, relay: string, method: string, path: string, body?: object): Promise<Answer> {
  const token = await tokenOf(cli, relay)
  const response = await fetch(relay + path, {
    method,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

/** The key with which this command line signs; it is made by `gate keys new` or the first decision. */
export async function keptSigner(cli: Cli): Promise<Signer> {
  const [, found = '{}'] = Object.entries(await keptLogins(cli)).find(([name]) => name.includes(' approver ')) ?? []
  const key = createPrivateKey((JSON.parse(found) as { privateKey: string }).privateKey)
  return { key, publicKey: exported(createPublicKey(key)) }
}

/** What a command line sends to decide a request that it was shown. */
export function signedWord(request: DecidedRequest, word: Word, signer: Signer): object {
  const signature = signBytes(statementBytes(statementOf(request, word)), signer.key)
  return { ...word, publicKey: signer.publicKey, signature }
}

const signers = new Map<string, Signer>()

/** The person's own key, registered with the relay. */
export async function signerOf(approvals: Approvals, subject: Subject): Promise<Signer> {
  const known = signers.get(subject.id) ?? newSigner()
  signers.set(subject.id, known)
  const signature = signBytes(keyBytes(RELAY_URL, subject.id, known.publicKey), known.key)
  await approvals.keys.register(subject, known.publicKey, signature, 'a test')
  return known
}

export function startApprovals(
  store: Store,
  options: Partial<ApprovalsOptions> & { readonly relay: string },
  clock: Clock,
  log: Log = silentLog,
  notices = new Notices([], RELAY_URL, clock, log),
): Promise<Approvals> {
  return ApprovalsClass.start(store, { url: RELAY_URL, limitPerSubject: 50, ...options }, notices, clock, log)
}

/** What is signed by somebody who does not see the request: the relay refuses them before it looks. */
const unseen: DecidedRequest = {
  ...{
    id: '',
    subject: { id: '' },
    target: '',
    protocol: '',
    context: {},
    rule: '',
    policy: '',
    expiresMs: 0,
    nonce: '',
  },
}

/** Decides with a signature over what the relay shows; gives the request's state then. */
export async function decide(
  approvals: Approvals,
  subject: Subject,
  id: string,
  verdict: Word['verdict'],
  reason: string | undefined,
  grantMs?: number,
): Promise<string> {
  const signer = await signerOf(approvals, subject)
  const request = await approvals.get(subject, id).then(
    found => found.request,
    thrown => {
      if (thrown instanceof GateError) return unseen
      throw thrown
    },
  )
  const word = { verdict, reason, grantMs }
  const signature = signBytes(statementBytes(statementOf(request, word)), signer.key)
  const decided = await approvals.decide(subject, id, { ...word, publicKey: signer.publicKey, signature })
  return decided.state
}
