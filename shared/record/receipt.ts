// What people and agents keep of a relay's record, so that it cannot be rewritten or cut off behind their backs. Pure.
import * as z from 'zod'
import { GateError } from '../errors.ts'
import { MAX_CHECKPOINT_LENGTH, openCheckpoint, parseVerifier, type TreeHead } from './checkpoint.ts'
import { EMPTY_ROOT, verifyConsistency, verifyInclusion } from './tree.ts'

const MAX_PROOF = 64
const base64 = z.string().max(64)
export const proofSchema = z.array(base64).max(MAX_PROOF)
const checkpointText = z.string().max(MAX_CHECKPOINT_LENGTH)
const verifierText = z.string().max(1024)

/** Trees that one person knows of at one address: behind it there can be several relays, each with its own. */
export const MAX_KNOWN_TREES = 100

/** A checkpoint, and the proof that its tree grew out of the one that the asker knows. */
export const checkpointAnswer = z.object({ checkpoint: checkpointText, verifier: verifierText, proof: proofSchema })
export type CheckpointAnswer = z.infer<typeof checkpointAnswer>

/** A session's last record, and the proof that the tree has it. */
export const receiptSchema = z.object({
  session: z.string().max(64),
  checkpoint: checkpointText,
  verifier: verifierText,
  index: z.int().nonnegative(),
  record: z.string().max(0xffff),
  proof: proofSchema,
})
export type Receipt = z.infer<typeof receiptSchema>

/** The newest checkpoint that somebody has seen, and the key that signs. */
export interface Kept {
  readonly verifier: string
  readonly checkpoint: string
}

const bytesOf = (proof: readonly string[]): Buffer[] => proof.map(part => Buffer.from(part, 'base64'))

/**
 * Takes a newer checkpoint if it goes on from the one that was kept; without one, the first is believed.
 * @throws {GateError} ERR_GATE_TAMPERED when another key signed it, or the record was rewritten or cut off.
 */
export function acceptCheckpoint(kept: Kept | undefined, answer: CheckpointAnswer): { kept: Kept; head: TreeHead } {
  if (kept !== undefined && kept.verifier !== answer.verifier)
    throw new GateError(
      'ERR_GATE_TAMPERED',
      `the record is signed with ${answer.verifier}, and was with ${kept.verifier}`,
    )
  const verifier = parseVerifier(answer.verifier)
  const head = openCheckpoint(answer.checkpoint, verifier)
  const before = kept === undefined ? { size: 0, root: EMPTY_ROOT } : openCheckpoint(kept.checkpoint, verifier)
  verifyConsistency(before, head, bytesOf(answer.proof))
  return { kept: { verifier: answer.verifier, checkpoint: answer.checkpoint }, head }
}

/**
 * Checks that a receipt is what it says: the end of that session, in a tree that this key signed.
 * @throws {GateError} ERR_GATE_TAMPERED when it is not.
 */
export function verifyReceipt(receipt: Receipt): TreeHead {
  const head = openCheckpoint(receipt.checkpoint, parseVerifier(receipt.verifier))
  verifyInclusion(Buffer.from(receipt.record), receipt.index, head.size, head.root, bytesOf(receipt.proof))
  const parsed = endOfSession.safeParse(safeJson(receipt.record))
  if (!parsed.success || parsed.data.body.session !== receipt.session || parsed.data.sequence !== receipt.index + 1)
    throw new GateError('ERR_GATE_TAMPERED', `the receipt is not of the end of ${receipt.session}`)
  return head
}

const endOfSession = z.object({
  sequence: z.int(),
  body: z.object({ type: z.literal('session.end'), session: z.string() }),
})

function safeJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
