// Where the parts of a tree are kept, as C2SP's tlog-tiles lays them out: tiles of hashes, bundles of records. Pure.
import { GateError } from '../errors.ts'
import { HASH_BYTES, type Nodes, nodeHash, packedRoot, rootOf } from './tree.ts'

/** Hashes in a whole tile, and records in a whole bundle. */
export const TILE_WIDTH = 256
const TILE_HEIGHT = 8
export const MAX_RECORD_BYTES = 0xffff
const LENGTH_BYTES = 2

const damaged = (what: string): GateError => new GateError('ERR_GATE_TAMPERED', what)

/** `x001/x234/067` for 1234067; with `.p/` and the width when the tile is not whole. */
function numberPath(index: number, width: number): string {
  const digits = String(index)
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, '0').match(/\d{3}/g) ?? []
  const path = groups.map((group, at) => (at === groups.length - 1 ? group : `x${group}`)).join('/')
  return width === TILE_WIDTH ? path : `${path}.p/${width}`
}

/** Where tile `index` of a level is: level 0 has the hashes of records, each level above those of 256 below. */
export function tilePath(level: number, index: number, width: number = TILE_WIDTH): string {
  return `tile/${level}/${numberPath(index, width)}`
}

/** Where the records are whose hashes are in tile `index` of level 0. */
export function bundlePath(index: number, width: number = TILE_WIDTH): string {
  return `tile/entries/${numberPath(index, width)}`
}

/** How many hashes a level has in a tree of so many records. */
export function hashesAt(level: number, size: number): number {
  return Math.floor(size / TILE_WIDTH ** level)
}

/** How wide a tile is in a tree of so many records; 0 when it is not there. */
export function tileWidth(level: number, index: number, size: number): number {
  return Math.max(0, Math.min(TILE_WIDTH, hashesAt(level, size) - index * TILE_WIDTH))
}

/** Levels that a tree of so many records has. */
export function levelsOf(size: number): number {
  let levels = 0
  while (hashesAt(levels, size) > 0) levels += 1
  return levels
}

/** Records one after the other, each with its length before it. @throws {GateError} ERR_GATE_TAMPERED for one over 65,535 bytes. */
export function formatBundle(records: readonly Buffer[]): Buffer {
  const bundle = Buffer.allocUnsafe(records.reduce((sum, { length }) => sum + LENGTH_BYTES + length, 0))
  let at = 0
  for (const record of records) {
    if (record.length > MAX_RECORD_BYTES) throw damaged(`a record of ${record.length} bytes`)
    at = bundle.writeUInt16BE(record.length, at)
    at += record.copy(bundle, at)
  }
  return bundle
}

/** The records of a bundle. @throws {GateError} ERR_GATE_TAMPERED when bytes are missing. */
export function parseBundle(bytes: Buffer): Buffer[] {
  const records: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    const end = at + LENGTH_BYTES > bytes.length ? Number.POSITIVE_INFINITY : at + LENGTH_BYTES + bytes.readUInt16BE(at)
    if (end > bytes.length) throw damaged('a bundle of records ends in the middle of one')
    records.push(bytes.subarray(at + LENGTH_BYTES, end))
    at = end
  }
  return records
}

/** The hashes of a tile. @throws {GateError} ERR_GATE_TAMPERED when they are not as many as they should be. */
export function parseTile(bytes: Buffer, width: number): Buffer[] {
  if (bytes.length !== width * HASH_BYTES)
    throw damaged(`a tile of ${bytes.length} bytes instead of ${width * HASH_BYTES}`)
  return Array.from({ length: width }, (_, at) => bytes.subarray(at * HASH_BYTES, (at + 1) * HASH_BYTES))
}

/** Reads a tile of at least that width; what it gives has been checked for its length alone. */
export type ReadTile = (level: number, index: number, width: number) => Promise<readonly Buffer[]>

/** The nodes of a tree of so many records, from its tiles. */
export function nodesOf(size: number, read: ReadTile): Nodes {
  return {
    hash: async (level, index) => {
      const tileLevel = Math.floor(level / TILE_HEIGHT)
      const span = 2 ** (level % TILE_HEIGHT)
      const first = index * span
      const tile = Math.floor(first / TILE_WIDTH)
      const hashes = await read(tileLevel, tile, tileWidth(tileLevel, tile, size))
      const from = first % TILE_WIDTH
      const below = hashes.slice(from, from + span)
      if (below.length < span) throw damaged(`tile ${tilePath(tileLevel, tile)} lacks hashes`)
      return rootOf(below)
    },
  }
}

/** What a growing tree keeps in memory: of each level the hashes of the tile that is not whole yet. */
export interface Edge {
  readonly size: number
  readonly levels: readonly (readonly Buffer[])[]
}

export const emptyEdge: Edge = { size: 0, levels: [] }

export interface WholeTile {
  readonly level: number
  readonly index: number
  readonly hashes: readonly Buffer[]
}

/** The edge with more leaves, and the tiles that became whole, in the order in which they did. */
export function grow(
  edge: Edge,
  leaves: readonly Buffer[],
): { readonly edge: Edge; readonly whole: readonly WholeTile[] } {
  const levels = edge.levels.map(level => [...level])
  const whole: WholeTile[] = []
  let size = edge.size
  for (const leaf of leaves) {
    size += 1
    push(levels, 0, leaf, size, whole)
  }
  return { edge: { size, levels }, whole }
}

/** The same for a whole tile of leaves that lie one after the other, where the tile before is whole. */
export function growWhole(edge: Edge, leaves: Buffer): { readonly edge: Edge; readonly whole: readonly WholeTile[] } {
  const levels = edge.levels.map(level => [...level])
  levels[0] ??= []
  const whole: WholeTile[] = []
  const size = edge.size + TILE_WIDTH
  push(levels, 1, packedRoot(leaves), size, whole)
  return { edge: { size, levels }, whole }
}

function push(levels: Buffer[][], level: number, hash: Buffer, size: number, whole: WholeTile[]): void {
  const hashes = levels[level] ?? []
  levels[level] = hashes
  hashes.push(hash)
  if (hashes.length < TILE_WIDTH) return
  levels[level] = []
  whole.push({ level, index: Math.floor((size - 1) / TILE_WIDTH ** (level + 1)), hashes })
  push(levels, level + 1, rootOf(hashes), size, whole)
}

/** The root of the tree with this edge. */
export function edgeRoot({ levels }: Edge): Buffer {
  // From left to right: the largest subtrees are on the highest level.
  const subtrees = levels.toReversed().flatMap(perfectSubtrees)
  const last = subtrees.pop()
  return last === undefined ? rootOf([]) : subtrees.reduceRight((right, left) => nodeHash(left, right), last)
}

function perfectSubtrees(hashes: readonly Buffer[]): Buffer[] {
  const found: Buffer[] = []
  for (let at = 0, span = TILE_WIDTH / 2; span >= 1; span /= 2) {
    if (hashes.length - at < span) continue
    found.push(rootOf(hashes.slice(at, at + span)))
    at += span
  }
  return found
}
