// The write-ahead files of the record: events are here before anything goes on, and in the tree a moment later.
import {
  closeSync,
  createReadStream,
  fdatasync,
  fsyncSync,
  ftruncateSync,
  openSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { readdir, stat, truncate, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { GateError } from '@gate/shared/errors'
import { syncDirectoryNow } from '@gate/shared/whole-file'

const SEGMENT = /^events-(\d{15})\.jsonl$/
const NEWLINE = 10

/** A segment is named after the number of its first event. */
export function segmentName(sequence: number): string {
  return `events-${String(sequence).padStart(15, '0')}.jsonl`
}

interface Segment {
  readonly name: string
  /** The number of its first event. */
  readonly first: number
}

async function segmentsOf(directory: string): Promise<Segment[]> {
  const entries = await readdir(directory, { withFileTypes: true })
  return entries
    .flatMap(({ name }) => {
      const match = SEGMENT.exec(name)
      return match === null ? [] : [{ name, first: Number(match[1]) }]
    })
    .sort((a, b) => a.first - b.first)
}

/** Lines that end with a newline; what follows the last one is left alone. */
async function* wholeLines(path: string): AsyncGenerator<Buffer> {
  let rest: Buffer = Buffer.alloc(0)
  for await (const chunk of createReadStream(path)) {
    const bytes: Buffer = rest.length === 0 ? (chunk as Buffer) : Buffer.concat([rest, chunk as Buffer])
    let from = 0
    for (let end = bytes.indexOf(NEWLINE); end !== -1; end = bytes.indexOf(NEWLINE, from)) {
      yield bytes.subarray(from, end)
      from = end + 1
    }
    rest = bytes.subarray(from)
  }
}

/** What is done with each line that is found when a journal is opened. */
type Look = (line: Buffer, sequence: number) => Promise<void>

/** The files, of which the newest is written to. All its methods that write are synchronous: a write to the page cache takes a few microseconds. */
export class Journal {
  readonly #directory: string
  readonly #segmentBytes: number
  #segments: Segment[]
  #file: number
  #size: number
  /** True while a broken write may have left half a line behind. */
  #torn = false
  /** Why nothing more is written to the newest file. */
  #distrusted: Error | undefined
  #syncing: Promise<void> | undefined
  #nextSync: Promise<void> | undefined

  private constructor(directory: string, segmentBytes: number, segments: Segment[], size: number) {
    this.#directory = directory
    this.#segmentBytes = segmentBytes
    this.#segments = segments
    this.#size = size
    this.#file = openSync(join(directory, segments.at(-1)?.name ?? ''), 'a', 0o600)
    syncDirectoryNow(directory)
  }

  /**
   * Opens the files of a directory, after every line from `from` on, and all of the newest file, was looked at. Half a line
   * at the end, as a power cut leaves it, is cut off: it was never answered for.
   * @throws {GateError} ERR_GATE_RECORD when lines after `archived` are missing, or what `look` throws; the files are then as they were.
   */
  static async open(
    directory: string,
    archived: number,
    segmentBytes: number,
    look: Look,
  ): Promise<{ journal: Journal; sequence: number; cutBytes: number }> {
    const segments = await segmentsOf(directory)
    const newest = segments.at(-1)
    const before = segments.findLast(({ first }) => first <= archived + 1)
    if (newest !== undefined && before === undefined)
      throw new GateError('ERR_GATE_RECORD', `record ${archived + 1} is missing: the files begin with ${newest.first}`)
    let sequence = archived
    /** Of the segment that was read last. */
    let last = archived
    let size = 0
    for (const segment of segments.slice(before === undefined ? 0 : segments.indexOf(before))) {
      if (segment.first > sequence + 1)
        throw new GateError('ERR_GATE_RECORD', `record ${sequence + 1} is missing before ${segment.name}`)
      size = 0
      let next = segment.first
      for await (const line of wholeLines(join(directory, segment.name))) {
        await look(line, next)
        next += 1
        size += line.length + 1
      }
      last = next - 1
      sequence = Math.max(sequence, last)
    }
    let cutBytes = 0
    if (newest !== undefined) {
      const path = join(directory, newest.name)
      cutBytes = (await stat(path)).size - size
      if (cutBytes > 0) await truncate(path, size)
      // A power cut can take lines that the tree has already: what comes next belongs into a file of its own.
      if (last === sequence)
        return { journal: new Journal(directory, segmentBytes, segments, size), sequence, cutBytes }
    }
    const begun = [...segments, { name: segmentName(sequence + 1), first: sequence + 1 }]
    return { journal: new Journal(directory, segmentBytes, begun, 0), sequence, cutBytes }
  }

  /** Writes all or nothing: what a failed write left behind is cut off before anything else is written. `first` is the number of the first line. */
  write(bytes: Buffer, first: number): void {
    if (this.#distrusted !== undefined) throw this.#distrusted
    if (this.#torn) {
      ftruncateSync(this.#file, this.#size)
      this.#torn = false
    }
    if (this.#size >= this.#segmentBytes) this.rotate(first)
    this.#torn = true
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#file, bytes, at)
    this.#torn = false
    this.#size += bytes.length
  }

  /** Begins another file, once the newest one is on the disk. `first` is the number of its first line. */
  rotate(first: number): void {
    if (this.#distrusted !== undefined) throw this.#distrusted
    try {
      fsyncSync(this.#file)
    } catch (cause) {
      this.#distrusted = cause as Error
      throw cause
    }
    this.#begin(first)
  }

  /**
   * True after the disk has failed to keep what was written. The system may then have dropped those bytes and forgotten
   * about them: the next sync of the same file would succeed, and say nothing (https://lwn.net/Articles/752063/).
   */
  get isDistrusted(): boolean {
    return this.#distrusted !== undefined
  }

  /** Goes on in a new file, once everything that the others hold is safe elsewhere. `first` is the number of its first line. */
  renew(first: number): void {
    this.#begin(first)
    this.#distrusted = undefined
    this.#torn = false
  }

  #begin(first: number): void {
    const segment = { name: segmentName(first), first }
    // It begins where the newest one does: no line was written to that yet.
    if (this.#segments.at(-1)?.name === segment.name) {
      unlinkSync(join(this.#directory, segment.name))
      this.#segments = this.#segments.slice(0, -1)
    }
    const next = openSync(join(this.#directory, segment.name), 'ax', 0o600)
    const full = this.#file
    const close = (): void => closeSync(full)
    // A sync may still wait for a thread; were the file closed under it, a command that is recorded would be refused.
    if (this.#syncing === undefined) close()
    else this.#syncing.then(close, close)
    this.#file = next
    this.#size = 0
    this.#segments.push(segment)
    syncDirectoryNow(this.#directory)
  }

  /**
   * Resolves when everything written so far is on the disk; what waits when a sync begins is served by that one. Once a sync
   * has failed, all do until `renew`.
   */
  sync(): Promise<void> {
    // A sync that is under way may have begun before our bytes were written; the next one covers them.
    if (this.#syncing === undefined) return this.#startSync()
    this.#nextSync ??= this.#syncing.then(
      () => this.#startSync(),
      () => this.#startSync(),
    )
    return this.#nextSync
  }

  #startSync(): Promise<void> {
    this.#nextSync = undefined
    if (this.#distrusted !== undefined) return Promise.reject(this.#distrusted)
    const started = new Promise<void>((resolve, reject) => {
      fdatasync(this.#file, error => {
        this.#syncing = undefined
        if (error === null) return resolve()
        // Also when that file is no longer the newest: which of its bytes were lost, nobody says.
        this.#distrusted = error
        reject(error)
      })
    })
    this.#syncing = started
    return started
  }

  /** Removes the files whose events all have numbers up to `sequence`; never the one that is written to. */
  async forget(sequence: number): Promise<void> {
    for (;;) {
      const [oldest, next] = this.#segments
      if (oldest === undefined || next === undefined || next.first > sequence + 1) return
      await unlink(join(this.#directory, oldest.name))
      this.#segments = this.#segments.slice(1)
    }
  }

  /** Whether a file may hold events up to `sequence`; the oldest, or the one that is written to. */
  holds(sequence: number, which: 'oldest' | 'newest'): boolean {
    const segment = which === 'oldest' ? this.#segments[0] : this.#segments.at(-1)
    return segment !== undefined && segment.first <= sequence
  }

  /** Bytes of the newest file. */
  get size(): number {
    return this.#size
  }

  async close(): Promise<void> {
    try {
      await this.sync()
    } finally {
      closeSync(this.#file)
    }
  }
}
