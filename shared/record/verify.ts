// Checks a whole record against its signed checkpoint, bundle by bundle, in constant memory; says what was done to it. Pure but for what it is given to read.
import { hash } from 'node:crypto'
import { isSignedBy, signedDecision, statementBytes } from '../approval.ts'
import { counted } from '../counted.ts'
import { GateError } from '../errors.ts'
import { openCheckpoint, type TreeHead, type Verifier } from './checkpoint.ts'
import { type Deleted, Deletions } from './deletions.ts'
import {
  bundlePath,
  edgeRoot,
  emptyEdge,
  grow,
  growWhole,
  parseTile,
  TILE_WIDTH,
  tilePath,
  tileWidth,
} from './tiles.ts'
import { HASH_BYTES } from './tree.ts'

/** Gives a file of the record by its path; undefined when there is none. */
export type ReadFile = (path: string) => Promise<Buffer | undefined>

export interface Finding {
  /** From 1; undefined when it is not about one record. */
  readonly record: number | undefined
  readonly what: string
}

export interface Verified {
  readonly head: TreeHead
  readonly bytes: number
  readonly approvals: number
  /** What its own retention deleted; the rest was checked. */
  readonly deleted: readonly Deleted[]
  /** Empty when everything is as it was signed. */
  readonly findings: readonly Finding[]
  /** There were more findings than are listed. */
  readonly cut: boolean
}

export interface VerifyOptions {
  readonly read: ReadFile
  /** The record's own checkpoint, where it has been read already. */
  readonly note?: string
  readonly verifier: Verifier
  /** Checkpoints that somebody else kept, with the same key. */
  readonly kept: readonly string[]
  /** Called now and then with how many records are done. */
  progress?(done: number, size: number): void
}

const MAX_FINDINGS = 100
/** Bundles that are read ahead of the one that is being hashed. */
const READ_AHEAD = 8
const LENGTH_BYTES = 2
const APPROVAL_MARK = Buffer.from('"type":"approval"')
/** The mark's end: short, and of rare letters, it is looked for twenty times as fast as the whole. */
const APPROVAL_END = APPROVAL_MARK.subarray(-4)

/** Collects what is wrong, up to a limit. */
class Findings {
  readonly all: Finding[] = []
  cut = false

  add(record: number | undefined, what: string): void {
    if (this.all.length < MAX_FINDINGS) this.all.push({ record, what })
    else this.cut = true
  }
}

/** The record's checkpoint, not checked yet. @throws {GateError} ERR_GATE_TAMPERED when there is none. */
export async function readNote(read: ReadFile): Promise<string> {
  const note = await read('checkpoint')
  if (note === undefined) throw new GateError('ERR_GATE_TAMPERED', 'there is no checkpoint')
  return note.toString('utf8')
}

/**
 * Checks every record, hash and signature.
 * @throws {GateError} ERR_GATE_TAMPERED when there is no checkpoint, or it is not signed by the key.
 */
export async function verifyRecord({ read, note, verifier, kept, progress }: VerifyOptions): Promise<Verified> {
  const head = openCheckpoint(note ?? (await readNote(read)), verifier)
  const findings = new Findings()
  const others = [...new Set(kept)].map(other => openCheckpoint(other, verifier)).sort((a, b) => a.size - b.size)
  const deletions = new Deletions()
  let edge = emptyEdge
  let bytes = 0
  let approvals = 0
  const bundles = Math.ceil(head.size / TILE_WIDTH)
  const ahead: Promise<Bundle>[] = []
  for (let index = 0; index < bundles; index += 1) {
    while (ahead.length < READ_AHEAD && index + ahead.length < bundles)
      ahead.push(quiet(readBundle(read, index + ahead.length, head.size)))
    const bundle = await (ahead.shift() ?? readBundle(read, index, head.size))
    const leaves = compareBundle(bundle, findings, deletions)
    if (leaves !== undefined && bundle.bytes !== undefined) deletions.look(index, bundle.bytes)
    approvals += leaves === undefined ? 0 : checkApprovals(bundle, findings)
    bytes += bundle.bytes?.length ?? 0
    // Where records are missing the rest is still compared, with the hashes that were kept for them.
    const taken = leaves ?? bundle.tile ?? Buffer.alloc(0)
    const count = taken.length / HASH_BYTES
    for (const other of others.filter(({ size }) => size > edge.size && size <= edge.size + count)) {
      const then = edgeRoot(grow(edge, split(taken).slice(0, other.size - edge.size)).edge)
      if (!then.equals(other.root))
        findings.add(undefined, `the first ${other.size} records are not those of a checkpoint that was kept`)
    }
    const grown = count === TILE_WIDTH ? growWhole(edge, taken) : grow(edge, split(taken))
    for (const { level, index: tile, hashes } of grown.whole)
      if (level > 0) await compareTile(read, level, tile, hashes, findings)
    edge = grown.edge
    progress?.(Math.min(head.size, (index + 1) * TILE_WIDTH), head.size)
  }
  for (const { size } of others.filter(other => other.size > head.size))
    findings.add(
      size,
      `the record ends with ${head.size}, and a checkpoint that was kept has ${size}: its end was cut off`,
    )
  const { deleted, missing } = deletions.settle()
  for (const { first, last } of missing) findings.add(first, `records ${first} to ${last} cannot be read`)
  if (!edgeRoot(edge).equals(head.root) && findings.all.length === 0)
    findings.add(
      undefined,
      'the records are not those that were signed, and the hashes kept with them were changed along',
    )
  return { head, bytes, approvals, deleted, findings: findings.all, cut: findings.cut }
}

/** A rejection of something that is read ahead is met when its turn comes. */
function quiet<T>(work: Promise<T>): Promise<T> {
  work.catch(() => {})
  return work
}

interface Bundle {
  readonly index: number
  readonly width: number
  readonly bytes: Buffer | undefined
  /** The hashes that were kept for its records, one after the other; undefined when they are missing or malformed. */
  readonly tile: Buffer | undefined
}

/** A part that is gone because it grew since is in the larger one. */
async function readPart(read: ReadFile, path: (width?: number) => string, width: number): Promise<Buffer | undefined> {
  return (width === TILE_WIDTH ? undefined : await read(path(width))) ?? (await read(path()))
}

async function readBundle(read: ReadFile, index: number, size: number): Promise<Bundle> {
  const width = tileWidth(0, index, size)
  const [bytes, hashes] = await Promise.all([
    readPart(read, part => bundlePath(index, part), width),
    readPart(read, part => tilePath(0, index, part), width),
  ])
  const tile =
    hashes === undefined || hashes.length < width * HASH_BYTES ? undefined : hashes.subarray(0, width * HASH_BYTES)
  return { index, width, bytes, tile }
}

/** Hashes that lie one after the other, each by itself. */
function split(hashes: Buffer): Buffer[] {
  return parseTile(hashes, hashes.length / HASH_BYTES)
}

/** Ends of the records of a bundle; undefined when it is malformed. */
function endsOf(bytes: Buffer): number[] | undefined {
  const ends: number[] = []
  for (let at = 0; at < bytes.length; ) {
    if (at + LENGTH_BYTES > bytes.length) return undefined
    at += LENGTH_BYTES + bytes.readUInt16BE(at)
    ends.push(at)
  }
  return ends.at(-1) === bytes.length || bytes.length === 0 ? ends : undefined
}

/** The hashes of a bundle's records, one after the other, after comparing them with those that were kept. */
function compareBundle(bundle: Bundle, findings: Findings, deletions: Deletions): Buffer | undefined {
  const { index, width, bytes, tile } = bundle
  const first = index * TILE_WIDTH + 1
  const ends = bytes === undefined ? undefined : endsOf(bytes)
  if (bytes === undefined && tile !== undefined && width === TILE_WIDTH) {
    deletions.miss(first)
    return undefined
  }
  if (bytes === undefined || ends === undefined) {
    findings.add(first, `records ${first} to ${first + width - 1} cannot be read`)
    return undefined
  }
  const leaves = Buffer.allocUnsafe(ends.length * HASH_BYTES)
  let from = LENGTH_BYTES
  for (const [place, end] of ends.entries()) {
    // RFC 6962 hashes a record after a byte 0: that takes the place of the length, which has been read.
    const before = bytes[from - 1] ?? 0
    bytes[from - 1] = 0
    leaves.write(hash('sha256', bytes.subarray(from - 1, end), 'binary'), place * HASH_BYTES, 'latin1')
    bytes[from - 1] = before
    from = end + LENGTH_BYTES
  }
  if (tile === undefined) findings.add(undefined, `the hashes of records ${first} to ${first + width - 1} are missing`)
  else if (!tile.equals(leaves)) explain(split(leaves), split(tile), first, findings)
  if (ends.length === width) return leaves
  // A part of a bundle that has grown since is larger.
  return ends.length > width && tile !== undefined && width < TILE_WIDTH
    ? leaves.subarray(0, width * HASH_BYTES)
    : undefined
}

/** Says how the records differ from the hashes that were kept of them. */
function explain(leaves: readonly Buffer[], tile: readonly Buffer[], first: number, findings: Findings): void {
  const at = new Map(tile.map((kept, place) => [kept.toString('latin1'), place]))
  let shift = 0
  for (let place = 0; place < tile.length; place += 1) {
    const leaf = leaves[place + shift]
    const kept = tile[place]
    const number = first + place
    if (leaf !== undefined && kept !== undefined && leaf.equals(kept)) continue
    const belongs = leaf === undefined ? undefined : at.get(leaf.toString('latin1'))
    const next = leaves[place + shift + 1]
    if (leaf === undefined) findings.add(number, `record ${number} is missing`)
    else if (belongs === place + 1) {
      findings.add(number, `record ${number} is missing`)
      shift -= 1
    } else if (belongs !== undefined)
      findings.add(number, `record ${first + belongs} stands in the place of record ${number}`)
    else if (kept !== undefined && next?.equals(kept) === true) {
      findings.add(number, `a record was added before record ${number}`)
      shift += 1
    } else findings.add(number, `record ${number} was changed`)
  }
  const spare = leaves.length - (tile.length + shift)
  if (spare > 0 && tile.length === TILE_WIDTH)
    findings.add(
      first + tile.length,
      `${counted(spare, 'record')} ${spare === 1 ? 'was' : 'were'} added after record ${first + tile.length - 1}`,
    )
}

async function compareTile(
  read: ReadFile,
  level: number,
  index: number,
  hashes: readonly Buffer[],
  findings: Findings,
): Promise<void> {
  const bytes = await read(tilePath(level, index))
  if (bytes?.equals(Buffer.concat(hashes)) === true) return
  const tile = bytes?.length === TILE_WIDTH * HASH_BYTES ? split(bytes) : undefined
  const span = TILE_WIDTH ** level
  const place = tile?.findIndex((kept, at) => !kept.equals(hashes[at] ?? Buffer.alloc(0))) ?? 0
  const from = (index * TILE_WIDTH + place) * span + 1
  findings.add(
    undefined,
    tile === undefined
      ? `tile ${tilePath(level, index)} is missing`
      : `records ${from} to ${from + span - 1}, or the hashes kept of them, are not those of tile ${tilePath(level, index)}`,
  )
}

/** Checks the signatures of every approval in a bundle; returns how many there were. */
function checkApprovals({ index, bytes }: Bundle, findings: Findings): number {
  if (bytes?.includes(APPROVAL_END) !== true || !bytes.includes(APPROVAL_MARK)) return 0
  let count = 0
  let from = LENGTH_BYTES
  for (const [place, end] of (endsOf(bytes) ?? []).entries()) {
    const record = bytes.subarray(from, end)
    from = end + LENGTH_BYTES
    if (!record.includes(APPROVAL_MARK)) continue
    const number = index * TILE_WIDTH + place + 1
    const { body } = JSON.parse(record.toString('utf8')) as { body: ApprovalBody }
    if (body.type !== 'approval') continue
    for (const { signed, verdict } of body.by ?? []) {
      if (signed === undefined) continue
      count += 1
      const parsed = signedDecision.safeParse(signed)
      const isGood =
        parsed.success &&
        parsed.data.statement.request === body.request &&
        parsed.data.statement.verdict === verdict &&
        isSignedBy(parsed.data.publicKey, statementBytes(parsed.data.statement), parsed.data.signature)
      if (!isGood) findings.add(number, `record ${number} has an approval whose signature does not hold`)
    }
  }
  return count
}

interface ApprovalBody {
  readonly type: string
  readonly request?: string
  readonly by?: readonly { readonly signed?: unknown; readonly verdict?: string }[]
}
