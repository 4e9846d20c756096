// The parts of the record as they are found at start: the tree, the journal with what the tree does not have yet, the storage.
import { mkdirSync } from 'node:fs'
import type { Clock } from '@gate/shared/clock'
import { GateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import { leafHash } from '@gate/shared/record/tree'
import { Archive, type TreeKey } from './archive.ts'
import { Journal } from './journal.ts'
import { parseLine } from './line.ts'
import { Retention } from './retention.ts'
import { ARCHIVE_STEP } from './tree-queue.ts'
import { Uploads, type UploadTerms } from './uploads.ts'

/** A file of the journal that reached this size is closed and a new one begun. */
const SEGMENT_BYTES = 64 * 1024 * 1024

export interface RecorderOptions {
  readonly segmentBytes?: number | undefined
  /** Where the tree is uploaded to. */
  readonly uploads?: UploadTerms | undefined
  /** Events older than this are deleted; undefined: never. */
  readonly retentionMs?: number | undefined
}

export interface Parts {
  readonly archive: Archive
  readonly journal: Journal
  readonly uploads: Uploads | undefined
  readonly retention: Retention
  /** The number of the newest event. */
  readonly sequence: number
  /** Bytes of half a line that were cut off the journal's end. */
  readonly cutBytes: number
}

/** Opens them; everything that the journal has is in the tree then. @throws what disk and storage say. */
export async function openParts(
  directory: string,
  tree: TreeKey,
  clock: Clock,
  log: Log,
  { segmentBytes = SEGMENT_BYTES, uploads: terms }: RecorderOptions,
): Promise<Parts> {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const archive = await Archive.open(
    directory,
    tree,
    terms === undefined ? undefined : terms.store.get.bind(terms.store),
  )
  const retention = await Retention.open(directory)
  archive.deleted = retention.deleted
  const { size } = archive.head
  let found: Buffer[] = []
  const look = async (line: Buffer, sequence: number): Promise<void> => {
    if (sequence <= size) return checkLine(archive, line, sequence)
    parseLine(line.toString('utf8'), sequence)
    found.push(Buffer.from(line))
    if (found.length < ARCHIVE_STEP) return
    await archive.extend(found)
    found = []
  }
  const { journal, sequence, cutBytes } = await Journal.open(directory, size, segmentBytes, look)
  await archive.extend(found)
  const uploads = terms === undefined ? undefined : await Uploads.open(directory, archive, terms, clock, log)
  return { archive, journal, uploads, retention, sequence, cutBytes }
}

async function checkLine(archive: Archive, line: Buffer, sequence: number): Promise<void> {
  if (leafHash(line).equals(await archive.leaf(sequence - 1))) return
  throw new GateError('ERR_GATE_RECORD', `record ${sequence} is not the one that was signed`, {
    hint: 'gate audit verify --from DIRECTORY says what was changed.',
  })
}
