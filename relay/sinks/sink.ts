// Where events are sent on: a file of JSON lines, or a server that takes them by HTTP.
import { open } from 'node:fs/promises'
import { GateError } from '@gate/shared/errors'

/** One attempt lasts no longer. */
const ATTEMPT_TIMEOUT_MS = 30_000

export interface Sink {
  /** What logs and the file with its place call it. */
  readonly name: string
  /** Takes documents, one JSON object a line, each with its newline. @throws when they were not taken, or perhaps not. */
  deliver(lines: string, signal: AbortSignal): Promise<void>
}

/** Appends to a file, and has it on the disk. It is opened anew each time, so that it can be rotated by moving it away. */
export function fileSink(name: string, path: string): Sink {
  return {
    name,
    deliver: async lines => {
      const file = await open(path, 'a', 0o600)
      try {
        await file.appendFile(lines)
        await file.datasync()
      } finally {
        await file.close()
      }
    },
  }
}

/** Posts to a URL; any answer of 2xx means that they were taken. */
export function httpSink(name: string, url: string, token: string | undefined): Sink {
  const { host } = new URL(url)
  return {
    name,
    deliver: async (lines, signal) => {
      const response = await fetch(url, {
        method: 'POST',
        headers: {
          'content-type': 'application/x-ndjson',
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        },
        body: lines,
        // What it redirects to was not configured by anybody here.
        redirect: 'error',
        signal: AbortSignal.any([signal, AbortSignal.timeout(ATTEMPT_TIMEOUT_MS)]),
      })
      await response.body?.cancel()
      if (!response.ok) throw new GateError('ERR_GATE_TARGET_UNREACHABLE', `${host} answered ${response.status}`)
    },
  }
}
