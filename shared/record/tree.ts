// Merkle trees over a growing list of records, as RFC 6962 hashes them: roots, and proofs that something is in them. Pure.
import { hash } from 'node:crypto'
import { GateError } from '../errors.ts'

export const HASH_BYTES = 32
/** No proof in a tree of 2^53 leaves is longer. */
const MAX_PROOF_LENGTH = 64

/** The byte before a record. */
const LEAF = 0
/** The byte before the hashes of a node's two sides. */
const NODE = 1
/** A node's bytes are put together here: hashing is synchronous, and most of a node's cost would be in making a buffer. */
const nodeBytes = Buffer.alloc(1 + 2 * HASH_BYTES, NODE)
/** The same for records up to this size; hardly any is larger. */
const SHORT_RECORD_BYTES = 4 * 1024
const leafBytes = Buffer.alloc(1 + SHORT_RECORD_BYTES, LEAF)

/** The hash of a tree without leaves: that of no bytes at all. */
export const EMPTY_ROOT: Buffer = sha256(Buffer.alloc(0))

function sha256(bytes: Buffer): Buffer {
  // As text in Latin-1, byte for byte: Node takes three times as long to make a buffer of it.
  return Buffer.from(hash('sha256', bytes, 'binary'), 'latin1')
}

/** The hash of one record. @see https://www.rfc-editor.org/rfc/rfc6962#section-2.1 */
export function leafHash(record: Uint8Array): Buffer {
  if (record.length > SHORT_RECORD_BYTES) return sha256(Buffer.concat([Buffer.of(LEAF), record]))
  leafBytes.set(record, 1)
  return sha256(leafBytes.subarray(0, 1 + record.length))
}

/** The hash of a node above two others. */
export function nodeHash(left: Buffer, right: Buffer): Buffer {
  left.copy(nodeBytes, 1)
  right.copy(nodeBytes, 1 + HASH_BYTES)
  return sha256(nodeBytes)
}

/** The root over some hashes, when there are any: each side of every split a subtree of its own. */
export function rootOf(hashes: readonly Buffer[]): Buffer {
  const [first = EMPTY_ROOT] = hashes
  if (hashes.length <= 1) return first
  if (Number.isInteger(Math.log2(hashes.length))) return packedRoot(Buffer.concat(hashes))
  const split = splitOf(hashes.length)
  return nodeHash(rootOf(hashes.slice(0, split)), rootOf(hashes.slice(split)))
}

/** Hashes whose root is worked out without a copy for each node. */
const PACKED_WIDTH = 256
const NODE_BYTES = 1 + 2 * HASH_BYTES
/** Nodes as they are hashed, side by side; what one comes to is written into its parent, which stands where the two were read. */
const packedNodes = Buffer.alloc((PACKED_WIDTH / 2) * NODE_BYTES, NODE)
const packedViews = Array.from({ length: PACKED_WIDTH / 2 }, (_, at) =>
  packedNodes.subarray(at * NODE_BYTES, (at + 1) * NODE_BYTES),
)

/** The root over hashes that lie one after the other, as many as a power of two. */
export function packedRoot(hashes: Buffer): Buffer {
  if (hashes.length <= HASH_BYTES) return hashes
  const middle = hashes.length / 2
  if (hashes.length > PACKED_WIDTH * HASH_BYTES)
    return nodeHash(packedRoot(hashes.subarray(0, middle)), packedRoot(hashes.subarray(middle)))
  let count = middle / HASH_BYTES
  for (let at = 0; at < count; at += 1)
    hashes.copy(packedNodes, at * NODE_BYTES + 1, at * 2 * HASH_BYTES, (at + 1) * 2 * HASH_BYTES)
  for (; count > 1; count /= 2) {
    for (let at = 0; at < count; at += 1) {
      const place = (at >> 1) * NODE_BYTES + 1 + (at & 1) * HASH_BYTES
      packedNodes.write(hash('sha256', packedViews[at] as Buffer, 'binary'), place, 'latin1')
    }
  }
  return sha256(packedViews[0] as Buffer)
}

/** The largest power of two below a number of at least 2. */
function splitOf(count: number): number {
  let split = 1
  while (split * 2 < count) split *= 2
  return split
}

/** Gives the hashes of perfect subtrees: number `index`, from the left, of those of `2 ** level` leaves. */
export interface Nodes {
  hash(level: number, index: number): Promise<Buffer>
}

/** The hash of the tree over the leaves from `from` to before `to`; `from` is a multiple of the largest power of two in there. */
async function rangeHash(nodes: Nodes, from: number, to: number): Promise<Buffer> {
  const count = to - from
  if (count === 0) return EMPTY_ROOT
  const level = Math.log2(count)
  if (Number.isInteger(level)) return nodes.hash(level, from / count)
  const split = splitOf(count)
  return nodeHash(await rangeHash(nodes, from, from + split), await rangeHash(nodes, from + split, to))
}

/** The root of the first `size` leaves. */
export function treeRoot(nodes: Nodes, size: number): Promise<Buffer> {
  return rangeHash(nodes, 0, size)
}

/** The hashes that lead from leaf `index` to the root of `size` leaves. @see https://www.rfc-editor.org/rfc/rfc6962#section-2.1.1 */
export async function inclusionProof(nodes: Nodes, index: number, size: number): Promise<Buffer[]> {
  if (!(index >= 0 && index < size)) throw new RangeError(`no leaf ${index} in a tree of ${size}`)
  const proof: Buffer[] = []
  let from = 0
  let to = size
  while (to - from > 1) {
    const middle = from + splitOf(to - from)
    if (index < middle) {
      proof.unshift(await rangeHash(nodes, middle, to))
      to = middle
    } else {
      proof.unshift(await rangeHash(nodes, from, middle))
      from = middle
    }
  }
  return proof
}

/** The hashes that show that the first `older` leaves of a tree of `size` are still what they were. @see https://www.rfc-editor.org/rfc/rfc6962#section-2.1.2 */
export async function consistencyProof(nodes: Nodes, older: number, size: number): Promise<Buffer[]> {
  if (!(older > 0 && older <= size)) throw new RangeError(`no tree of ${older} in one of ${size}`)
  const proof: Buffer[] = []
  let from = 0
  let to = size
  // As long as the older tree is the left edge, its root is known to whoever checks.
  let known = true
  while (older !== to) {
    const middle = from + splitOf(to - from)
    if (older <= middle) {
      proof.unshift(await rangeHash(nodes, middle, to))
      to = middle
    } else {
      proof.unshift(await rangeHash(nodes, from, middle))
      from = middle
      known = false
    }
  }
  return known ? proof : [await rangeHash(nodes, from, to), ...proof]
}

const wrong = (what: string): GateError => new GateError('ERR_GATE_TAMPERED', what)

/**
 * Checks that a record is leaf `index` of the tree with this root.
 * @throws {GateError} ERR_GATE_TAMPERED when it is not.
 * @see https://www.rfc-editor.org/rfc/rfc9162#section-2.1.3.2
 */
export function verifyInclusion(
  record: Buffer,
  index: number,
  size: number,
  root: Buffer,
  proof: readonly Buffer[],
): void {
  if (!(Number.isSafeInteger(index) && index >= 0 && index < size) || proof.length > MAX_PROOF_LENGTH)
    throw wrong('a proof of inclusion of another form')
  let at = index
  let last = size - 1
  let found = leafHash(record)
  for (const part of proof) {
    if (last === 0) throw wrong('a proof of inclusion that is too long')
    if (at % 2 === 1 || at === last) {
      found = nodeHash(part, found)
      while (at % 2 === 0 && at !== 0) {
        at /= 2
        last = Math.floor(last / 2)
      }
    } else found = nodeHash(found, part)
    at = Math.floor(at / 2)
    last = Math.floor(last / 2)
  }
  if (last !== 0 || !found.equals(root)) throw wrong(`record ${index + 1} is not in the tree of ${size}`)
}

/**
 * Checks that a tree grew out of an older one: nothing of that was changed or taken away.
 * @throws {GateError} ERR_GATE_TAMPERED when it did not.
 * @see https://www.rfc-editor.org/rfc/rfc9162#section-2.1.4.2
 */
export function verifyConsistency(
  older: { readonly size: number; readonly root: Buffer },
  newer: { readonly size: number; readonly root: Buffer },
  proof: readonly Buffer[],
): void {
  const grew = (): GateError => wrong(`the tree of ${newer.size} did not grow out of the one of ${older.size}`)
  if (older.size > newer.size) throw wrong(`the tree has ${newer.size} records, and had ${older.size} before`)
  if (proof.length > MAX_PROOF_LENGTH) throw wrong('a proof of consistency of another form')
  if (older.size === newer.size) {
    if (!older.root.equals(newer.root) || proof.length > 0) throw grew()
    return
  }
  if (older.size === 0) {
    if (proof.length > 0) throw grew()
    return
  }
  const isPerfect = Number.isInteger(Math.log2(older.size))
  const [first, ...rest] = isPerfect ? [older.root, ...proof] : proof
  if (first === undefined) throw grew()
  let at = older.size - 1
  let last = newer.size - 1
  while (at % 2 === 1) {
    at = Math.floor(at / 2)
    last = Math.floor(last / 2)
  }
  let then = first
  let now = first
  for (const part of rest) {
    if (last === 0) throw grew()
    if (at % 2 === 1 || at === last) {
      then = nodeHash(part, then)
      now = nodeHash(part, now)
      while (at % 2 === 0 && at !== 0) {
        at /= 2
        last = Math.floor(last / 2)
      }
    } else now = nodeHash(now, part)
    at = Math.floor(at / 2)
    last = Math.floor(last / 2)
  }
  if (last !== 0 || !then.equals(older.root) || !now.equals(newer.root)) throw grew()
}
