// Reads the body of a request before it is decided, as far as a rule, people or the record need it.
import type { IncomingMessage } from 'node:http'
import { abortReason, GateError } from '@gate/shared/errors'

/** Bodies that rules or people need are read up to this length; of longer ones rules cannot know, and nobody can be asked. */
export const MAX_READ_BYTES = 1024 * 1024
/** Bodies that nobody needs are read for the record when they say that they are no longer than this. */
const RECORDED_BYTES = 64 * 1024
/** A body that comes slowly has the time that it may take anew for every so many bytes of it. */
const TIMED_BYTES = 16 * 1024

export interface ReadStart {
  /** The whole body, or its beginning: then the rest is still to come. */
  readonly bytes: Buffer
  readonly isWhole: boolean
}

/** How long the body is as the request says; undefined when it comes in chunks. */
export function lengthOf(request: IncomingMessage): number | undefined {
  if (request.headers['transfer-encoding'] !== undefined) return undefined
  const length = request.headers['content-length']
  return length === undefined ? 0 : Number(length)
}

/** How much of a body is read before the request is decided. */
export function bytesToRead(length: number | undefined, need: 'rules' | 'people' | undefined): number {
  if (length === 0) return 0
  if (need !== undefined) return length === undefined || length <= MAX_READ_BYTES ? MAX_READ_BYTES : 0
  return length !== undefined && length <= RECORDED_BYTES ? RECORDED_BYTES : 0
}

/**
 * Reads a body up to `limit` bytes and leaves the rest unread. Each 16 KiB of it have to come within `timeoutMs`.
 * @throws {GateError} ERR_GATE_CANCELLED when the client goes away, ERR_GATE_CLIENT_TIMEOUT when it
 * is too slow, the signal's reason.
 */
export function readStart(
  request: IncomingMessage,
  limit: number,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<ReadStart> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let length = 0
    let timed = 0
    const timer = setTimeout(() => {
      done()
      reject(
        new GateError(
          'ERR_GATE_CLIENT_TIMEOUT',
          `the body did not come within ${timeoutMs / 1000} s for each ${TIMED_BYTES / 1024} KiB`,
        ),
      )
    }, timeoutMs)
    const done = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', aborted)
      request.off('readable', readable).off('end', ended).off('close', closed).off('error', closed)
    }
    const readable = (): void => {
      for (let chunk = request.read() as Buffer | null; chunk !== null; chunk = request.read() as Buffer | null) {
        chunks.push(chunk)
        length += chunk.length
        if (length - timed >= TIMED_BYTES) {
          timed = length
          timer.refresh()
        }
        if (length <= limit) continue
        done()
        return resolve({ bytes: Buffer.concat(chunks), isWhole: false })
      }
    }
    const ended = (): void => {
      done()
      resolve({ bytes: Buffer.concat(chunks), isWhole: true })
    }
    const closed = (): void => {
      done()
      reject(new GateError('ERR_GATE_CANCELLED', 'the client went away'))
    }
    const aborted = (): void => {
      done()
      reject(abortReason(signal))
    }
    if (signal.aborted) return aborted()
    signal.addEventListener('abort', aborted, { once: true })
    request.on('readable', readable).on('end', ended).on('close', closed).on('error', closed)
  })
}
