// Approvers with keys of their own, for tests that decide without a command line.
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { type Approvals, Approvals as ApprovalsClass, type ApprovalsOptions } from '@gate/relay/approval/approvals'
import { Notices } from '@gate/relay/notices/notices'
import type { Store } from '@gate/relay/store/store'
import { type DecidedRequest, keyBytes, signBytes, statementBytes, statementOf, type Word } from '@gate/shared/approval'
import type { Clock } from '@gate/shared/clock'
import { GateError } from '@gate/shared/errors'
import { type Log, silentLog } from '@gate/shared/log'
import type { Subject } from '@gate/shared/model'

export const RELAY_URL = 'http://127.0.0.1:8443'

export interface Signer {
  readonly publicKey: string
  readonly key: KeyObject
}

export function newSigner(): Signer {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  return { key: privateKey, publicKey: publicKey.export({ type: 'spki', format: 'der' }).toString('base64url') }
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
