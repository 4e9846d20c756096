// Where the body of an answer goes that is masked and not encoded: through its masker to the client.
import type { ServerResponse } from 'node:http'
import type { Writable } from 'node:stream'
import { asGateError, type GateError } from '@gate/shared/errors'
import type { BodyMasker } from './masking/masker.ts'

/** What of a stream a body is written to. */
export type Sink = Pick<Writable, 'write' | 'end' | 'destroy' | 'destroyed'>

/** No stream: one for each stage would cost more than masking does. The head goes out with the first masked byte. */
export function plainSink(
  masker: BodyMasker,
  response: ServerResponse,
  writeHead: () => void,
  refuse: (cause: GateError) => void,
): Sink {
  // What comes at once leaves at once, when all of it is read: where it is the whole body, and broken, it can be replaced.
  let first: Buffer | undefined
  const release = (): void => {
    const bytes = first
    first = undefined
    if (bytes === undefined || response.headersSent) return
    writeHead()
    response.write(bytes)
  }
  const releaseLater = (): void => {
    try {
      release()
    } catch (thrown) {
      refuse(asGateError(thrown))
    }
  }
  const masked = (mask: () => Buffer): boolean => {
    try {
      const bytes = mask()
      if (bytes.length === 0) return true
      if (first === undefined && !response.headersSent) {
        first = bytes
        process.nextTick(releaseLater)
        return true
      }
      release()
      return response.write(bytes)
    } catch (thrown) {
      first = undefined
      refuse(asGateError(thrown))
      return true
    }
  }
  return {
    write: (chunk: Buffer) => masked(() => masker.push(chunk)),
    end: () => {
      masked(() => masker.end())
      if (response.destroyed || response.writableEnded) return
      release()
      if (!response.headersSent) writeHead()
      response.end()
    },
    destroy: () => {},
    get destroyed() {
      return response.destroyed || response.writableEnded
    },
  } as unknown as Sink
}
