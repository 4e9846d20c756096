// The body of a request on its way to the service.
import type { IncomingMessage } from 'node:http'
import { PassThrough, type Readable } from 'node:stream'
import { GateError } from '@gate/shared/errors'

/** A body that has to be signed is kept whole; longer ones do not pass. */
export const MAX_SIGNED_BODY_BYTES = 8 * 1024 * 1024

export function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}

/**
 * The body as a stream of its own. undici destroys it when the service answers before it has read everything, and with the
 * request itself the answer's way to the client would be destroyed.
 */
export function bodyStream(request: IncomingMessage): Readable {
  const body = new PassThrough()
  // undici stops listening when the answer is there.
  body.on('error', () => {})
  request.on('error', () => {})
  request.once('close', () => {
    if (!request.complete) body.destroy(new GateError('ERR_GATE_CANCELLED', 'the client went away'))
  })
  request.pipe(body)
  // Nobody wants the rest: it is read, so that the next request can be. The pipe's own listener, before this, pauses.
  body.once('close', () => request.resume())
  return body
}

/**
 * The whole body, of which something is to be made that needs all of it.
 * @throws {GateError} ERR_GATE_LIMIT above the maximum, ERR_GATE_CANCELLED when it breaks off.
 */
export async function wholeBody(
  request: IncomingMessage,
  maximumBytes: number,
  purpose: 'signed' | 'approved',
): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of bodyStream(request)) {
    bytes += (chunk as Buffer).length
    if (bytes > maximumBytes)
      throw new GateError('ERR_GATE_LIMIT', `a body of more than ${maximumBytes} bytes cannot be ${purpose}`)
    chunks.push(chunk as Buffer)
  }
  return Buffer.concat(chunks)
}
