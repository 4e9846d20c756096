// What the tree proves: that a session's end is in it, and that it grew out of an older one.
import { GateError } from '@gate/shared/errors'
import type { Receipt } from '@gate/shared/record/receipt'
import { consistencyProof, inclusionProof } from '@gate/shared/record/tree'
import type { Archive } from './archive.ts'
import { parseEvent } from './line.ts'

/**
 * The receipt of a session with event `sequence` as its end, which the archive has; `lines` reads that event.
 * @throws {GateError} ERR_GATE_NOT_FOUND when that is not its end.
 */
export async function receiptOf(
  archive: Archive,
  lines: AsyncIterable<string>,
  session: string,
  sequence: number,
): Promise<Receipt> {
  const { size } = archive.head
  const { note } = archive
  for await (const record of lines) {
    const { body } = parseEvent(record)
    if (body.type !== 'session.end' || body.session !== session) break
    const proof = await inclusionProof(archive.nodes(size), sequence - 1, size)
    const base64 = proof.map(part => part.toString('base64'))
    return { session, checkpoint: note, verifier: archive.verifier.text, index: sequence - 1, record, proof: base64 }
  }
  throw new GateError('ERR_GATE_NOT_FOUND', `there is no end of ${session} in the record`)
}

export interface Consistency {
  readonly checkpoint: string
  readonly proof: readonly string[]
}

/**
 * The newest checkpoint, and hashes that show that its tree grew out of one of the first `older` records. Whoever knows of
 * more records than there are gets no proof, and sees in the checkpoint that they are gone.
 */
export async function consistencyOf(archive: Archive, older: number): Promise<Consistency> {
  const { size } = archive.head
  const { note } = archive
  const proof = older === 0 || older >= size ? [] : await consistencyProof(archive.nodes(size), older, size)
  return { checkpoint: note, proof: proof.map(part => part.toString('base64')) }
}
