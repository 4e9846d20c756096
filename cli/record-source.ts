// Where the parts of a record are read from: a directory, a web server, or the relay.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { GateError } from '@gate/shared/errors'
import type { ReadFile } from '@gate/shared/record/verify'
import { Agent, request } from 'undici'

const TIMEOUT_MS = 30_000

/**
 * Reads from a directory with a record in it: a relay's `state/records`, or a copy. Without going through other threads, since
 * whoever checks has nothing else to do meanwhile, and asking them costs as much as half of the hashing.
 */
export function directorySource(directory: string): ReadFile {
  return async path => {
    try {
      return readFileSync(join(directory, path))
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw thrown
    }
  }
}

/** Reads from a URL under which the parts lie. @throws {GateError} ERR_GATE_RELAY_UNREACHABLE for any answer but 200 and 404. */
export function webSource(base: string, headers: () => Promise<Record<string, string>>): ReadFile {
  const dispatcher = new Agent()
  return async path => {
    const { statusCode, body } = await request(`${base.replace(/\/+$/, '')}/${path}`, {
      dispatcher,
      headers: await headers(),
      headersTimeout: TIMEOUT_MS,
      bodyTimeout: TIMEOUT_MS,
    })
    const bytes = Buffer.from(await body.arrayBuffer())
    if (statusCode === 404) return undefined
    if (statusCode === 200) return bytes
    throw new GateError('ERR_GATE_RELAY_UNREACHABLE', `${base} answered ${statusCode} to ${path}`)
  }
}
