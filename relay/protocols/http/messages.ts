// The messages of a WebSocket: each is decided, recorded and masked before it goes on; no frame is copied.
import type { Duplex } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { asGateError, GateError } from '@gate/shared/errors'
import type { Operation } from '@gate/shared/model'
import { Queue } from '@gate/shared/queue'
import type { RawData, WebSocket } from 'ws'
import { hideFound } from '../../mask/recorded.ts'
import type { Command, Session } from '../protocol.ts'
import type { Following } from './following.ts'
import { maskMessage } from './masking/message.ts'
import { recordedBody } from './masking/recorded.ts'
import { wholeText } from './masking/whole-text.ts'
import { maskingOf } from './masking-of.ts'
import { type Direction, messageOperation, readMessage, renamingRefusal } from './message.ts'
import type { PlaceInPolicy } from './places.ts'
import type { Keys } from './room.ts'

/** Of one message that comes in fragments, and of one frame that comes in pieces: each costs more than its bytes. */
export const MAX_FRAGMENTS = 16 * 1024
/**
 * Messages of one side that wait to be decided and sent. Nothing more is read while one does, so that these are what was
 * read at once: the smallest messages have two bytes.
 */
const MAX_WAITING = 64 * 1024
/** While people are asked about a message, so much of what comes behind it is read: a side that leaves says so there. */
const MAX_HELD_BYTES = 1024 * 1024
/** What each of those counts for beside its bytes: of the smallest, MAX_WAITING would come otherwise before they are too long. */
const HELD_BYTES = 64
/** Many small messages that came at once must not make others wait. */
const MESSAGES_PER_TURN = 64
/** Answers to pings that a side does not read, of 125 bytes at most. */
const MAX_UNREAD_PONGS = 1024
/** RFC 6455 section 7.4.1. */
const GOING_AWAY = 1001
const POLICY_VIOLATION = 1008
const TOO_BIG = 1009
const INTERNAL_ERROR = 1011
/** Ended without a close frame. */
const BROKEN = 1006
/** Codes that are never sent (RFC 6455 section 7.4.1). */
const unsendable: ReadonlySet<number> = new Set([1005, BROKEN, 1015])
/** Both sides have this long to say good-bye. */
const CLOSE_TIMEOUT_MS = 2_000
/** A reason has this many bytes at most (RFC 6455 section 5.5). */
const MAX_REASON_BYTES = 123

export interface MessageContext {
  readonly session: Session
  readonly keys: Keys
  readonly path: string
  /** What policy makes of the path at this moment. */
  readonly place: () => PlaceInPolicy
  /** Of the handshake: where that would be refused by now, nothing more passes. */
  readonly following: Following
  readonly signal: AbortSignal
}

export interface Relayed {
  /** That the target sent. */
  readonly bytes: number
  /** Why the gate ended it, when it was the gate. */
  readonly cause: GateError | undefined
}

/** One end, and the stream that it speaks on. */
export interface Side {
  readonly socket: WebSocket
  readonly stream: Duplex
}

/** Relays messages between two open WebSockets until both are closed. */
export async function relayMessages(context: MessageContext, client: Side, target: Side): Promise<Relayed> {
  let bytes = 0
  let cause: GateError | undefined
  const closed = Promise.all(
    [client, target].map(({ socket }) => new Promise<void>(resolve => socket.once('close', resolve))),
  )
  const end = (code: number, reason: string): void => {
    for (const side of [client, target]) close(side, code, reason)
  }
  const abort = (): void => {
    const reason = asGateError(context.signal.reason)
    if (reason.code === 'ERR_GATE_CANCELLED') return leave(reason)
    cause ??= reason
    end(POLICY_VIOLATION, cause.message)
  }
  // A side that closed says with which code, as soon as what it had sent is read: that is what the other is told.
  const leave = ({ message }: GateError): void =>
    void setTimeout(() => end(GOING_AWAY, message), CLOSE_TIMEOUT_MS).unref()
  const refuse = (thrown: unknown): void => {
    const error = asGateError(thrown)
    if (error.code === 'ERR_GATE_CANCELLED') return leave(error)
    cause ??= error
    // A side that broke the rules was told which of them by its own code; to the target it is a client that leaves.
    if (cause.code === 'ERR_GATE_PROTOCOL') close(target, GOING_AWAY, cause.message)
    end(codeFor(cause), cause.message)
  }
  context.signal.addEventListener('abort', abort, { once: true })
  join(context, 'sent', client, target, refuse)
  join(context, 'received', target, client, refuse, length => {
    bytes += length
  })
  if (context.signal.aborted) abort()
  target.socket.resume()
  const unwatch = context.following.watch(refuse)
  await closed
  unwatch()
  context.signal.removeEventListener('abort', abort)
  return { bytes, cause }
}

function codeFor({ code, fault }: GateError): number {
  if (code === 'ERR_GATE_LIMIT') return TOO_BIG
  return fault === 'client' ? POLICY_VIOLATION : INTERNAL_ERROR
}

function join(
  context: MessageContext,
  direction: Direction,
  { socket: from }: Side,
  to: Side,
  refuse: (thrown: unknown) => void,
  count: (length: number) => void = () => {},
): void {
  const waiting = new Queue<{ readonly message: Buffer; readonly isBinary: boolean }>()
  let passing: Promise<void> | undefined
  let isOver = false
  let passed = 0
  let isHeld = false
  let waitingBytes = 0
  const held = (): void => {
    isHeld = true
    if (waitingBytes <= MAX_HELD_BYTES) from.resume()
  }
  const stop = (thrown: unknown): void => {
    if (!isOver) refuse(thrown)
    isOver = true
    waiting.clear()
  }
  const passAll = async (): Promise<void> => {
    try {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        waitingBytes -= next.message.length + HELD_BYTES
        await pass(context, direction, next.message, next.isBinary, to.socket, held)
        if (isHeld) from.pause()
        isHeld = false
        passed += 1
        if (passed % MESSAGES_PER_TURN === 0) await nextTurn()
      }
    } catch (thrown) {
      stop(thrown)
    }
    passing = undefined
    from.resume()
  }
  from.on('message', (data: RawData, isBinary) => {
    const message = data as Buffer
    count(message.length)
    if (isOver) return
    if (waiting.size >= MAX_WAITING) return stop(new GateError('ERR_GATE_LIMIT', 'too many messages at once'))
    waiting.push({ message, isBinary })
    waitingBytes += message.length + HELD_BYTES
    // What is read already comes nevertheless, and waits.
    if (!isHeld || waitingBytes > MAX_HELD_BYTES) from.pause()
    passing ??= passAll()
  })
  // The library would end it as well, and not say why.
  let unread = 0
  from.on('ping', data => {
    if (isOver || from.readyState !== from.OPEN) return
    if (unread >= MAX_UNREAD_PONGS)
      return stop(new GateError('ERR_GATE_LIMIT', 'more pings than answers to them are read'))
    unread += 1
    from.pong(data, undefined, () => {
      unread -= 1
    })
  })
  from.on('error', thrown => {
    const fault = faultOf(thrown, direction)
    if (fault !== undefined) stop(fault)
  })
  from.on('close', (code, reason) => {
    // A reason is free text, which is neither masked nor searched.
    const isHidden = (): boolean =>
      direction === 'received' && (context.following.refusal() ?? context.following.masking) !== undefined
    void (passing ?? Promise.resolve()).then(() => close(to, code, isHidden() ? '' : reason.toString('utf8')))
  })
}

/** What was wrong with a frame; undefined where it was the connection that broke. */
function faultOf(thrown: Error & { code?: unknown }, direction: Direction): GateError | undefined {
  if (typeof thrown.code !== 'string' || !thrown.code.startsWith('WS_ERR_')) return undefined
  const who = direction === 'sent' ? 'the client' : 'the target'
  if (/_UNSUPPORTED_|_TOO_MANY_/.test(thrown.code))
    return new GateError('ERR_GATE_LIMIT', `${who} sent a message that is too long, or in too many pieces`)
  const code = direction === 'sent' ? 'ERR_GATE_PROTOCOL' : 'ERR_GATE_TARGET_PROTOCOL'
  return new GateError(code, `${who} broke the rules of WebSocket (${thrown.code.slice('WS_ERR_'.length)})`)
}

/** Decides, records and sends one message. */
async function pass(
  { session, keys, path, place, following, signal }: MessageContext,
  direction: Direction,
  message: Buffer,
  isBinary: boolean,
  to: WebSocket,
  held: () => void,
): Promise<void> {
  const refusal = following.refusal()
  if (refusal !== undefined) throw refusal
  const read = readMessage(direction, message)
  let at = place()
  const operation = messageOperation(path, at.route, direction, read)
  const said = read.text === undefined ? undefined : wholeText(read.text)
  const type = said?.isJson === true ? 'application/json' : 'text/plain'
  const fields = session.gate.recordFields
  const recorded =
    said === undefined ? { text: operation.text, isCut: false } : recordedBody(type, message, fields, keys.recordKey)
  const command = (operation: Operation, { recordedPath, maskRoutes }: PlaceInPolicy): Command => ({
    operation,
    recorded: {
      text: said === undefined ? recorded.text : hideFound(recorded.text, keys.recordKey),
      ...(recordedPath === path ? {} : recordedPlace(operation, recordedPath)),
      isCut: recorded.isCut,
      parameters: [],
      parameterCount: 0,
    },
    people: 'now',
    perform: obligations => renamingRefusal(obligations, maskRoutes, direction, read),
  })
  const again = (): Command => {
    at = place()
    return command(messageOperation(path, at.route, direction, read), at)
  }
  const { recordedPath } = at
  const verdict = await session.gate.decide(
    [{ ...command(operation, at), again }],
    () => ({
      command: operation.text,
      parameters: read.text === undefined ? undefined : [],
      // Approvers sign it, and what they sign is in the record.
      context: { path: hideFound(recordedPath, keys.recordKey) },
      estimate: () => Promise.resolve(undefined),
    }),
    held,
    () => signal,
  )
  if (verdict.settled.effect === 'deny') {
    // Whoever left while people were asked has withdrawn it, and was not refused.
    signal.throwIfAborted()
    throw new GateError('ERR_GATE_REFUSED', verdict.settled.reason)
  }
  // Policy may have changed since the handshake.
  const masking = maskingOf(verdict.obligations[0] ?? [], at.maskRoutes, keys.maskKey)
  const shown = isBinary ? undefined : said
  const passed = direction === 'received' && masking !== undefined ? maskMessage(shown, message, masking.body) : message
  if (verdict.recorded !== undefined) await verdict.recorded
  const [number = 0] = verdict.commands
  // Nobody reads what is said to a side that is closing.
  if (to.readyState !== to.OPEN) throw new GateError('ERR_GATE_CANCELLED', 'the other side has closed')
  await new Promise<void>((resolve, reject) => {
    to.send(passed, { binary: isBinary }, thrown =>
      thrown === null || thrown === undefined ? resolve() : reject(thrown),
    )
  })
  session.gate.observe({ command: number, rows: undefined, bytes: message.length, status: direction })
}

function recordedPlace({ facts, resources }: Operation, path: string): Pick<Operation, 'facts' | 'resources'> {
  return { facts: { ...facts, path }, resources: resources.map(each => ({ ...each, name: path })) }
}

function close({ socket: side, stream }: Side, code: number, reason: string): void {
  if (side.readyState === side.CLOSED) return
  side.resume()
  const said = Buffer.from(reason)
    .subarray(0, MAX_REASON_BYTES)
    .toString('utf8')
    .replace(/\ufffd+$/, '')
  // Where the connection broke without a word, it does so on this side, behind what was said.
  if (code === BROKEN) stream.end()
  else if (unsendable.has(code)) side.close()
  else side.close(code, said)
  setTimeout(() => side.terminate(), CLOSE_TIMEOUT_MS).unref()
}
