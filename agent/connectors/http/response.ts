// An answer on a stream whose client asked for a WebSocket and does not get one: written by node's server.
import type { ServerResponse } from 'node:http'
import { sendHead } from '@gate/shared/answer-head'
import type { GateError } from '@gate/shared/errors'
import type { AnswerSink } from './asked.ts'

/** Set on answers that are gate's own; a service's headers of this kind do not pass. */
const ERROR_HEADER = 'gate-error'

/** 504 for waits, 503 where there is no room, 502 for the rest: the client's own requests are the relay's business. */
function statusOf(error: GateError): number {
  if (error.code === 'ERR_GATE_TIMEOUT') return 504
  return error.code === 'ERR_GATE_LIMIT' ? 503 : 502
}

/** Answers instead of the service. A response whose headers went out already is broken off, so that it never ends cleanly. */
export function answerError(response: ServerResponse, error: GateError, status = statusOf(error)): void {
  if (response.headersSent) {
    response.destroy(error)
    return
  }
  const { code, message, hint } = error
  const body = Buffer.from(JSON.stringify({ code, message, ...(hint === undefined ? {} : { hint }) }))
  response.writeHead(status, [
    'Content-Type',
    'application/json',
    'Content-Length',
    String(body.length),
    'Cache-Control',
    'no-store',
    ERROR_HEADER,
    code,
  ])
  response.end(body)
}

export function responseSink(response: ServerResponse): AnswerSink {
  let drained = (): void => {}
  response.on('drain', () => drained())
  return {
    get isBegun() {
      return response.headersSent
    },
    set onDrain(told: () => void) {
      drained = told
    },
    head: (status, phrase, headers) => {
      response.sendDate = false
      response.writeHead(status, phrase, headers)
      sendHead(response)
    },
    data: chunk => response.write(chunk),
    end: trailers => {
      const pairs = trailers.flatMap((name, at): [string, string][] =>
        at % 2 === 0 ? [[name, trailers[at + 1] ?? '']] : [],
      )
      if (pairs.length > 0 && response.chunkedEncoding) response.addTrailers(pairs)
      response.end()
    },
    fail: error => answerError(response, error),
  }
}
