// The record as a transparency log in a directory: bundles of events, tiles of hashes, and a signed checkpoint (C2SP tlog-tiles).
import type { KeyObject } from 'node:crypto'
import { readFile, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { GateError } from '@gate/shared/errors'
import {
  createVerifier,
  openCheckpoint,
  signCheckpoint,
  type TreeHead,
  type Verifier,
} from '@gate/shared/record/checkpoint'
import {
  bundlePath,
  type Edge,
  edgeRoot,
  emptyEdge,
  formatBundle,
  grow,
  hashesAt,
  levelsOf,
  nodesOf,
  parseBundle,
  parseTile,
  TILE_WIDTH,
  tilePath,
  tileWidth,
} from '@gate/shared/record/tiles'
import { EMPTY_ROOT, leafHash, type Nodes } from '@gate/shared/record/tree'
import { syncDirectory, writeWhole } from '@gate/shared/whole-file'

export const CHECKPOINT_FILE = 'checkpoint'
/** Tiles kept in memory for proofs, 8 kB each. */
const MAX_CACHED_TILES = 64

/** Who signs a tree, and the name under which they do. */
export interface TreeKey {
  readonly origin: string
  readonly key: KeyObject
}

/** Gives a part that is no longer here; undefined when it is not there either. */
export type ReadElsewhere = (path: string) => Promise<Buffer | undefined>

/** The name of a relay's tree: each has one of its own, also where several are reached at one address. */
export function treeOrigin(url: string, relay: string): string {
  return `${new URL(url).host}/${relay}`
}

export class Archive {
  readonly verifier: Verifier
  readonly #directory: string
  readonly #elsewhere: ReadElsewhere
  /** Events up to this number are deleted: only their hashes are here. */
  deleted = 0
  readonly #key: KeyObject
  #edge: Edge
  /** Events of the bundle that is not whole yet. */
  #bundle: readonly Buffer[]
  #head: TreeHead
  #note: string
  /** The partial bundle before the newest one: whoever has just read an older checkpoint still finds it. */
  #stale: string | undefined
  readonly #tiles = new Map<string, Promise<readonly Buffer[]>>()

  private constructor(
    directory: string,
    verifier: Verifier,
    key: KeyObject,
    state: { edge: Edge; bundle: readonly Buffer[]; head: TreeHead; note: string },
    elsewhere: ReadElsewhere,
  ) {
    this.#directory = directory
    this.#elsewhere = elsewhere
    this.verifier = verifier
    this.#key = key
    this.#edge = state.edge
    this.#bundle = state.bundle
    this.#head = state.head
    this.#note = state.note
  }

  /** @throws {GateError} ERR_GATE_RECORD when the directory's tree is not the one that its checkpoint says, or another key signed it. */
  static async open(
    directory: string,
    { origin, key }: TreeKey,
    elsewhere: ReadElsewhere = async () => undefined,
  ): Promise<Archive> {
    const verifier = createVerifier(origin, key)
    const note = await readIfThere(join(directory, CHECKPOINT_FILE))
    if (note === undefined) {
      const head = { origin, size: 0, root: EMPTY_ROOT }
      const empty = { edge: emptyEdge, bundle: [], head, note: signCheckpoint(head, verifier, key) }
      return new Archive(directory, verifier, key, empty, elsewhere)
    }
    const head = openCheckpoint(note.toString('utf8'), verifier)
    const edge = await readEdge(directory, head.size)
    if (!edgeRoot(edge).equals(head.root))
      throw new GateError('ERR_GATE_RECORD', `the tree in ${directory} is not the one that its checkpoint signs`, {
        hint: 'gate audit verify --from DIRECTORY says what was changed.',
      })
    const width = head.size % TILE_WIDTH
    const bundle =
      width === 0 ? [] : parseBundle(await readPart(directory, bundlePath(Math.floor(head.size / TILE_WIDTH), width)))
    return new Archive(directory, verifier, key, { edge, bundle, head, note: note.toString('utf8') }, elsewhere)
  }

  get head(): TreeHead {
    return this.#head
  }

  /** The signed checkpoint of `head`. */
  get note(): string {
    return this.#note
  }

  /** Events that are in whole bundles; these files never change again. */
  get whole(): number {
    return this.#head.size - (this.#head.size % TILE_WIDTH)
  }

  /**
   * Adds events and signs the tree that has them. When it fails nothing has changed, and it may be called again with the same.
   * One call at a time.
   * @throws what the disk says.
   */
  async extend(lines: readonly Buffer[]): Promise<void> {
    if (lines.length === 0) return
    const { edge, whole } = grow(this.#edge, lines.map(leafHash))
    const events = [...this.#bundle, ...lines]
    const bundles = Math.floor(events.length / TILE_WIDTH)
    const first = Math.floor(this.#edge.size / TILE_WIDTH)
    const rest = events.slice(bundles * TILE_WIDTH)
    const parts: [path: string, bytes: Buffer][] = whole.map(({ level, index, hashes }) => [
      tilePath(level, index),
      Buffer.concat(hashes),
    ])
    for (let index = 0; index < bundles; index += 1)
      parts.push([bundlePath(first + index), formatBundle(events.slice(index * TILE_WIDTH, (index + 1) * TILE_WIDTH))])
    if (rest.length > 0) parts.push([bundlePath(first + bundles, rest.length), formatBundle(rest)])
    for (const [level, hashes] of edge.levels.entries()) {
      const isNew =
        hashes.length !== (this.#edge.levels[level]?.length ?? 0) || whole.some(tile => tile.level === level)
      if (hashes.length === 0 || !isNew) continue
      const index = Math.floor(hashesAt(level, edge.size) / TILE_WIDTH)
      parts.push([tilePath(level, index, hashes.length), Buffer.concat(hashes)])
    }
    await this.#writeParts(parts)
    const head = { origin: this.verifier.name, size: edge.size, root: edgeRoot(edge) }
    const note = signCheckpoint(head, this.verifier, this.#key)
    await writeWhole(join(this.#directory, CHECKPOINT_FILE), Buffer.from(note))
    await syncDirectory(this.#directory)
    const stale = this.#stale
    this.#stale = this.#bundle.length === 0 ? undefined : bundlePath(first, this.#bundle.length)
    this.#edge = edge
    this.#bundle = rest
    this.#head = head
    this.#note = note
    await this.#tidy(
      stale,
      whole.map(({ level, index }) => tilePath(level, index)),
      first,
      bundles,
    )
  }

  /** All at once: a disk that is asked to sync many files does it in little more time than for one. */
  async #writeParts(parts: readonly (readonly [path: string, bytes: Buffer])[]): Promise<void> {
    const directories = new Set<string>([this.#directory])
    for (const [path] of parts)
      for (let up = dirname(join(this.#directory, path)); up.length > this.#directory.length; up = dirname(up))
        directories.add(up)
    await Promise.all(parts.map(([path, bytes]) => writeWhole(join(this.#directory, path), bytes)))
    await Promise.all([...directories].map(syncDirectory))
  }

  /** Parts of tiles go when the whole tile is there, parts of bundles soon after the next one is. */
  async #tidy(
    stale: string | undefined,
    whole: readonly string[],
    firstBundle: number,
    bundles: number,
  ): Promise<void> {
    const remove = (path: string): Promise<void> => rm(join(this.#directory, path), { recursive: true, force: true })
    if (stale !== undefined && stale !== this.#stale) await remove(stale)
    for (const path of whole) await remove(`${path}.p`)
    if (bundles > 0) await remove(`${bundlePath(firstBundle)}.p`)
    if (bundles > 0) this.#stale = undefined
  }

  /** The nodes of the newest tree, for proofs; and of any older one. */
  nodes(size = this.#head.size): Nodes {
    return nodesOf(size, (level, index, width) => this.#tile(level, index, width))
  }

  #tile(level: number, index: number, width: number): Promise<readonly Buffer[]> {
    const now = tileWidth(level, index, this.#head.size)
    // What is in memory is the newest; a tile that grew since begins with what it had.
    if (now < TILE_WIDTH) return Promise.resolve((this.#edge.levels[level] ?? []).slice(0, width))
    const path = tilePath(level, index)
    const known = this.#tiles.get(path)
    if (known !== undefined) return known.then(hashes => hashes.slice(0, width))
    const read = readPart(this.#directory, path).then(bytes => parseTile(bytes, TILE_WIDTH))
    if (this.#tiles.size >= MAX_CACHED_TILES) this.#tiles.delete(this.#tiles.keys().next().value ?? '')
    this.#tiles.set(path, read)
    read.catch(() => this.#tiles.delete(path))
    return read.then(hashes => hashes.slice(0, width))
  }

  /** The events of a whole bundle: from here, or checked against their hashes, which are always here. */
  async wholeBundle(index: number): Promise<readonly Buffer[]> {
    const path = bundlePath(index)
    const here = await readIfThere(join(this.#directory, path))
    if (here !== undefined) return parseBundle(here)
    const there = await this.#elsewhere(path)
    if (there === undefined) throw new GateError('ERR_GATE_RECORD', `${path} is missing`)
    const bundle = parseBundle(there)
    const hashes = await this.#tile(0, index, TILE_WIDTH)
    if (bundle.length !== TILE_WIDTH || bundle.some((line, at) => hashes[at]?.equals(leafHash(line)) !== true))
      throw new GateError('ERR_GATE_TAMPERED', `${path} of the storage is not what was put there`, {
        hint: 'gate audit verify says which records were changed.',
      })
    return bundle
  }

  /** A part as it lies here or in the storage, unchecked; undefined when there is none. */
  async part(path: string): Promise<Buffer | undefined> {
    return (await readIfThere(join(this.#directory, path))) ?? (await this.#elsewhere(path))
  }

  /** The hash of an event that is in the tree. */
  async leaf(index: number): Promise<Buffer> {
    return this.nodes().hash(0, index)
  }

  /** The lines of events with indexes from `from` to before `to`, as far as they are in the tree now. */
  async *lines(from: number, to: number): AsyncGenerator<Buffer> {
    const end = Math.min(to, this.#head.size)
    const { whole } = this
    const partial = this.#bundle
    const begin = Math.max(from, this.deleted)
    for (let index = Math.floor(begin / TILE_WIDTH); index * TILE_WIDTH < end; index += 1) {
      const start = index * TILE_WIDTH
      const bundle = start >= whole ? partial : await this.wholeBundle(index)
      yield* bundle.slice(Math.max(0, begin - start), end - start)
    }
  }
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path)
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw thrown
  }
}

async function readPart(directory: string, path: string): Promise<Buffer> {
  const bytes = await readIfThere(join(directory, path))
  if (bytes === undefined) throw new GateError('ERR_GATE_RECORD', `${path} is missing in ${directory}`)
  return bytes
}

async function readEdge(directory: string, size: number): Promise<Edge> {
  const levels = await Promise.all(
    Array.from({ length: levelsOf(size) }, async (_, level) => {
      const width = hashesAt(level, size) % TILE_WIDTH
      const index = Math.floor(hashesAt(level, size) / TILE_WIDTH)
      return width === 0 ? [] : parseTile(await readPart(directory, tilePath(level, index, width)), width)
    }),
  )
  return { size, levels }
}
