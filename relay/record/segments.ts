// The files of the record: names, the state after a restart, and reading events back.
import { createReadStream } from 'node:fs'
import { readdir, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { GENESIS, parseEvent, parseLine } from './chain.ts'
import type { StoredEvent } from './events.ts'

const SEGMENT = /^events-(\d{15})\.jsonl$/

/** A segment is named after the number of its first event. */
export function segmentName(sequence: number): string {
  return `events-${String(sequence).padStart(15, '0')}.jsonl`
}

async function segments(directory: string): Promise<{ name: string; first: number }[]> {
  const names = await readdir(directory)
  return names
    .flatMap(name => {
      const match = SEGMENT.exec(name)
      return match === null ? [] : [{ name, first: Number(match[1]) }]
    })
    .sort((a, b) => a.first - b.first)
}

export interface LastState {
  readonly sequence: number
  readonly hash: string
  /** The segment to go on with; undefined when there is none. */
  readonly segment: string | undefined
  readonly size: number
  readonly cutBytes: number
}

/**
 * Where the log stands: the last whole line of the newest segment. What follows it is cut off.
 * @throws {GateError} ERR_GATE_RECORD when a whole line does not fit the chain.
 */
export async function lastState(directory: string): Promise<LastState> {
  const all = await segments(directory)
  const newest = all.at(-1)
  if (newest === undefined) return { sequence: 0, hash: GENESIS, segment: undefined, size: 0, cutBytes: 0 }
  const previous = all.at(-2)
  const path = join(directory, newest.name)
  let hash = previous === undefined ? GENESIS : await lastHash(join(directory, previous.name))
  let sequence = newest.first - 1
  let size = 0
  for await (const line of wholeLines(path)) {
    hash = parseLine(line, sequence + 1, hash).hash
    sequence += 1
    size += Buffer.byteLength(line) + 1
  }
  const cutBytes = (await stat(path)).size - size
  if (cutBytes > 0) await truncate(path, size)
  return { sequence, hash, segment: newest.name, size, cutBytes }
}

async function lastHash(path: string): Promise<string> {
  let last = ''
  for await (const line of wholeLines(path)) last = line
  return last.slice(-66, -2)
}

/** Lines that end with a newline; readline would also give half a line at the end. */
async function* wholeLines(path: string): AsyncGenerator<string> {
  let rest = Buffer.alloc(0)
  for await (const chunk of createReadStream(path)) {
    let bytes = Buffer.concat([rest, chunk as Buffer])
    for (let end = bytes.indexOf(10); end !== -1; end = bytes.indexOf(10)) {
      yield bytes.subarray(0, end).toString('utf8')
      bytes = bytes.subarray(end + 1)
    }
    rest = bytes
  }
}

/** The events of one session between two numbers (the last may be unknown), in order. */
export async function* readSession(
  directory: string,
  session: string,
  first: number,
  last: number | undefined,
): AsyncGenerator<StoredEvent> {
  const all = await segments(directory)
  const mark = `"session":${JSON.stringify(session)}`
  for (const [index, segment] of all.entries()) {
    const next = all[index + 1]
    if (next !== undefined && next.first <= first) continue
    if (last !== undefined && segment.first > last) return
    for await (const line of wholeLines(join(directory, segment.name))) {
      // Looking for the text first spares parsing the other sessions' events.
      if (!line.includes(mark)) continue
      const event = parseEvent(line)
      if (event.sequence < first) continue
      if (last !== undefined && event.sequence > last) return
      if ('session' in event.body && event.body.session === session) yield event
    }
  }
}
