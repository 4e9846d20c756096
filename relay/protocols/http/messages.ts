// The messages of a WebSocket: each is decided, recorded and masked before it goes on; no frame is copied.
import { isUtf8 } from 'node:buffer'
import { asGateError, GateError } from '@gate/shared/errors'
import type { RawData, WebSocket } from 'ws'
import { hideFound } from '../../mask/recorded.ts'
import type { Session } from '../protocol.ts'
import { bodyMasker } from './masking/body.ts'
import { recordedBody } from './masking/recorded.ts'
import { messageOperation } from './operation.ts'
import type { Masking } from './plan.ts'
import type { Keys } from './room.ts'

/** Longer messages end the WebSocket. */
export const MAX_MESSAGE_BYTES = 1024 * 1024
/** Messages of one side that wait to be decided and sent. */
const MAX_WAITING = 1_000
/** RFC 6455 section 7.4.1. */
const POLICY_VIOLATION = 1008
const INTERNAL_ERROR = 1011
/** Codes that are never sent (RFC 6455 section 7.4.1). */
const unsendable: ReadonlySet<number> = new Set([1005, 1006, 1015])
/** Both sides have this long to say good-bye. */
const CLOSE_TIMEOUT_MS = 2_000
/** A reason has this many bytes at most (RFC 6455 section 5.5). */
const MAX_REASON_BYTES = 123

export interface MessageContext {
  readonly session: Session
  readonly keys: Pick<Keys, 'recordKey'>
  readonly path: string
  readonly route: string
  readonly masking: Masking | undefined
  readonly signal: AbortSignal
}

/** Relays messages between two open WebSockets until both are closed; gives the bytes that the target sent. */
export async function relayMessages(context: MessageContext, client: WebSocket, target: WebSocket): Promise<number> {
  let bytes = 0
  const closed = Promise.all([client, target].map(each => new Promise<void>(resolve => each.once('close', resolve))))
  const end = (code: number, reason: string): void => {
    for (const side of [client, target]) close(side, code, reason)
  }
  const abort = (): void => end(POLICY_VIOLATION, asGateError(context.signal.reason).message)
  const refuse = (thrown: unknown): void => {
    const error = asGateError(thrown)
    end(error.fault === 'client' ? POLICY_VIOLATION : INTERNAL_ERROR, error.message)
  }
  context.signal.addEventListener('abort', abort, { once: true })
  join(context, 'sent', client, target, refuse)
  join(context, 'received', target, client, refuse, length => {
    bytes += length
  })
  if (context.signal.aborted) abort()
  target.resume()
  await closed
  context.signal.removeEventListener('abort', abort)
  return bytes
}

function join(
  context: MessageContext,
  direction: 'sent' | 'received',
  from: WebSocket,
  to: WebSocket,
  refuse: (thrown: unknown) => void,
  count: (length: number) => void = () => {},
): void {
  let waiting = 0
  let last = Promise.resolve()
  let isOver = false
  const stop = (thrown: unknown): void => {
    if (!isOver) refuse(thrown)
    isOver = true
  }
  from.on('message', (data: RawData, isBinary) => {
    const message = data as Buffer
    count(message.length)
    waiting += 1
    if (waiting > MAX_WAITING) return stop(new GateError('ERR_GATE_LIMIT', 'too many messages at once'))
    // What is read already comes nevertheless, and waits.
    from.pause()
    last = last
      .then(() => (isOver ? undefined : pass(context, direction, message, isBinary, to)))
      .catch(stop)
      .finally(() => {
        waiting -= 1
        if (waiting === 0) from.resume()
      })
  })
  from.on('error', () => {})
  from.on('close', (code, reason) => {
    void last.then(() => close(to, code, reason.toString('utf8')))
  })
}

async function pass(
  { session, keys, path, route, masking, signal }: MessageContext,
  direction: 'sent' | 'received',
  message: Buffer,
  isBinary: boolean,
  to: WebSocket,
): Promise<void> {
  const text = isBinary ? undefined : message.toString('utf8')
  const operation = messageOperation(path, route, direction, text, message.length)
  const type = text === undefined ? undefined : typeOf(text)
  const fields = session.gate.recordFields
  const recorded =
    type === undefined ? operation.text : hideFound(recordedBody(type, message, fields, keys.recordKey), keys.recordKey)
  const verdict = await session.gate.decide(
    [{ operation, recorded: { text: recorded, isCut: false, parameters: [], parameterCount: 0 }, people: 'now' }],
    () => ({
      command: operation.text,
      parameters: isBinary ? undefined : [],
      context: { path },
      estimate: () => Promise.resolve(undefined),
    }),
    () => {},
    () => signal,
  )
  if (verdict.settled.effect === 'deny') throw new GateError('ERR_GATE_REFUSED', verdict.settled.reason)
  const passed = direction === 'received' && masking !== undefined ? masked(masking, type, message) : message
  if (verdict.recorded !== undefined) await verdict.recorded
  const [command = 0] = verdict.commands
  await new Promise<void>((resolve, reject) => {
    to.send(passed, { binary: isBinary }, thrown =>
      thrown === null || thrown === undefined ? resolve() : reject(thrown),
    )
  })
  session.gate.observe({ command, rows: undefined, bytes: message.length, status: direction })
}

function typeOf(text: string): string {
  try {
    JSON.parse(text)
    return 'application/json'
  } catch {
    return 'text/plain'
  }
}

/** @throws {GateError} ERR_GATE_REFUSED when it cannot be masked. */
function masked({ body }: Masking, type: string | undefined, message: Buffer): Buffer {
  const masker =
    type === undefined || !isUtf8(message) ? { unreadable: 'the message is binary' } : bodyMasker(type, body)
  if ('unreadable' in masker)
    throw new GateError('ERR_GATE_REFUSED', `parts of messages are masked for you: ${masker.unreadable}`)
  const first = masker.push(message)
  return Buffer.concat([first, masker.end()])
}

function close(side: WebSocket, code: number, reason: string): void {
  if (side.readyState === side.CLOSED) return
  side.resume()
  const said = Buffer.from(reason)
    .subarray(0, MAX_REASON_BYTES)
    .toString('utf8')
    .replace(/\ufffd+$/, '')
  if (unsendable.has(code)) side.close()
  else side.close(code, said)
  setTimeout(() => side.terminate(), CLOSE_TIMEOUT_MS).unref()
}
