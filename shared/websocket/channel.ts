// One stream: a channel of a tunnel as a Port of bytes, with back-pressure of its own.
import { asGateError, type ErrorBody, type ErrorCode, errorFromBody, GateError } from '../errors.ts'
import { MAX_CONTROL_BYTES, MAX_TEXT_LENGTH, parseStreamMessage, type StreamMessage } from '../messages.ts'
import { Inbox, type Port, UNIT_OVERHEAD_BYTES } from '../port.ts'
import { Queue } from '../queue.ts'
import { CLOSE_GRACE_MS, MAX_FRAME_BYTES, MAX_WINDOW_BYTES, WINDOW_BYTES } from './limits.ts'
import { Mailbox } from './mailbox.ts'
import { ReceiveWindow, type Way } from './window.ts'

/** What a channel needs of the tunnel that it is in. */
export interface Carrier extends Way {
  /** False when nothing can be sent any more. */
  readonly open: boolean
  sendData(channel: number, bytes: Buffer): void
  sendMessage(channel: number, text: string): void
  sendCredit(channel: number, bytes: number): void
  sendClose(channel: number): void
  /** Undefined where there is room for more; else a promise of when there is. */
  room(): Promise<void> | undefined
  /** The channel is over; its id is never used again. */
  forget(channel: number): void
}

/** A piece of bytes counts with what it costs beside them, on both sides alike. */
function costOf(bytes: Buffer): number {
  return bytes.length + UNIT_OVERHEAD_BYTES
}

/** A piece that waits to be read would keep all that came with it, which may be a thousand times as much and of other channels. */
function alone(bytes: Buffer): Buffer {
  if (bytes.length * 4 >= bytes.buffer.byteLength) return bytes
  const copy = Buffer.allocUnsafeSlow(bytes.length)
  bytes.copy(copy)
  return copy
}

/**
 * A channel of a tunnel as a Port of bytes, and StreamMessages beside them in the same order, of which `end` (half-close) and
 * `error` are handled here and the others are given to `onMessage`. The other side sends no more than its credit, so that a
 * channel that nobody reads holds up no other.
 */
export class Channel implements Port<Buffer> {
  readonly #carrier: Carrier
  readonly #id: number
  readonly #lost: ErrorCode
  readonly #inbox: Inbox<Buffer>
  /** What waits for credit: bytes, and messages that come after them. */
  readonly #pending = new Queue<Buffer | string>()
  /** What the other side still lets us send. The last piece may go below zero. */
  #credit = WINDOW_BYTES
  readonly #window: ReceiveWindow
  #blocked: Promise<void> | undefined
  #unblock: () => void = () => {}
  #endSent = false
  #endReceived = false
  /** Destroyed, with last words that wait for credit. */
  #leaving = false
  /** No frame of it is sent or taken any more. */
  #left = false
  /** Both ends were exchanged: what happens to the tunnel now is no failure. */
  #over = false
  #broken: GateError | undefined
  #onFailure: ((cause: GateError) => void) | undefined
  #failureTold = false
  #resolveClosed: () => void = () => {}
  /** Resolves when the channel is over, whatever the reason. */
  readonly closed: Promise<void>
  /** Receives the messages that are not handled by the channel itself. Set it before yielding to the event loop. */
  readonly #messages = new Mailbox<StreamMessage>(() =>
    this.destroy(new GateError('ERR_GATE_PROTOCOL', 'an unexpected message on a stream')),
  )

  /** `lost` is the code of the error that a tunnel which breaks without a word becomes. */
  constructor(carrier: Carrier, id: number, lost: ErrorCode) {
    this.#carrier = carrier
    this.#id = id
    this.#lost = lost
    this.#window = new ReceiveWindow(carrier)
    // It is bounded by the credit.
    const go = (): void => {}
    this.#inbox = new Inbox<Buffer>(Number.POSITIVE_INFINITY, go, go, bytes => this.#giveBack(bytes))
    this.closed = new Promise(resolve => {
      this.#resolveClosed = resolve
    })
  }

  /** Whoever takes the messages; those that came before are handed over at once. */
  set onMessage(take: (message: StreamMessage) => void) {
    this.#messages.open(take)
  }

  /** Told once when the channel breaks or the other side reports an error, also when it has done so already; iterating throws the same. */
  set onFailure(told: (cause: GateError) => void) {
    this.#onFailure = told
    this.#tellFailure()
  }

  get open(): boolean {
    return this.#carrier.open && !this.#endSent && !this.#left
  }

  get broken(): GateError | undefined {
    return this.#broken
  }

  [Symbol.asyncIterator](): AsyncIterator<Buffer> {
    return this.#inbox
  }

  write(bytes: Buffer): Promise<void> | undefined {
    if (!this.open || bytes.length === 0) return undefined
    if (bytes.length <= MAX_FRAME_BYTES) this.#put(bytes)
    else for (let at = 0; at < bytes.length; at += MAX_FRAME_BYTES) this.#put(bytes.subarray(at, at + MAX_FRAME_BYTES))
    if (this.#pending.size === 0) return this.#carrier.room()
    this.#blocked ??= new Promise(resolve => {
      this.#unblock = resolve
    })
    return this.#blocked
  }

  send(message: StreamMessage): void {
    if (this.#left) return
    const text = JSON.stringify(message)
    // The other side would give up the whole tunnel.
    if (Buffer.byteLength(text) > MAX_CONTROL_BYTES)
      return this.destroy(
        new GateError('ERR_GATE_LIMIT', `a ${message.type} message has more than ${MAX_CONTROL_BYTES} bytes`),
      )
    this.#put(text)
  }

  end(): void {
    if (!this.open) return
    this.send({ type: 'end' })
    this.#endSent = true
    this.#finishWhenDone()
  }

  destroy(cause?: GateError): void {
    if (this.#left || this.#leaving) return
    this.#fail(cause ?? new GateError(this.#lost, 'the tunnel was closed'))
    if (cause !== undefined && !this.#endSent) this.#put(JSON.stringify({ type: 'error', error: trim(cause) }))
    this.#endSent = true
    this.#leaving = true
    if (this.#pending.size === 0) return this.#close()
    setTimeout(() => this.#close(), CLOSE_GRACE_MS).unref()
  }

  /** Takes bytes of the other side. @throws {GateError} ERR_GATE_PROTOCOL when it sends more than it may. */
  receive(bytes: Buffer): void {
    if (this.#endReceived) return this.destroy(new GateError('ERR_GATE_PROTOCOL', 'bytes after the end of a stream'))
    this.#window.receive(costOf(bytes))
    if (bytes.length > 0) this.#inbox.push(this.#inbox.isAwaited ? bytes : alone(bytes))
    else this.#giveBack(bytes)
  }

  /** Takes a message of the other side. */
  hear(text: string): void {
    try {
      this.#handle(parseStreamMessage(text))
    } catch (thrown) {
      this.destroy(asGateError(thrown))
    }
  }

  /** The other side has room for more. @throws {GateError} ERR_GATE_PROTOCOL when it gives what it never got. */
  allow(bytes: number): void {
    this.#credit += bytes
    if (this.#credit > MAX_WINDOW_BYTES) throw new GateError('ERR_GATE_PROTOCOL', 'a stream got credit for nothing')
    this.#sendPending()
  }

  /** The other side has closed the channel, or the tunnel is gone. */
  leave(cause = new GateError(this.#lost, 'the tunnel was closed')): void {
    if (this.#left) return
    this.#fail(cause)
    this.#forget()
  }

  #handle(message: StreamMessage): void {
    if (message.type === 'end') {
      this.#endReceived = true
      this.#inbox.finish()
      this.#finishWhenDone()
    } else if (message.type === 'error') {
      this.#fail(errorFromBody(message.error))
      this.#close()
    } else {
      this.#messages.put(message)
    }
  }

  #put(unit: Buffer | string): void {
    if (this.#pending.size > 0 || (typeof unit !== 'string' && this.#credit <= 0)) this.#pending.push(unit)
    else this.#send(unit)
  }

  #send(unit: Buffer | string): void {
    if (typeof unit === 'string') return this.#carrier.sendMessage(this.#id, unit)
    this.#credit -= costOf(unit)
    this.#carrier.sendData(this.#id, unit)
  }

  #sendPending(): void {
    for (let unit = this.#pending.head; unit !== undefined; unit = this.#pending.head) {
      if (typeof unit !== 'string' && this.#credit <= 0) return
      this.#pending.shift()
      this.#send(unit)
    }
    this.#unblock()
    this.#blocked = undefined
    if (this.#leaving) this.#close()
    else this.#finishWhenDone()
  }

  #giveBack(bytes: Buffer): void {
    if (this.#left || this.#endReceived) return
    const credit = this.#window.read(costOf(bytes))
    if (credit > 0) this.#carrier.sendCredit(this.#id, credit)
  }

  #tellFailure(): void {
    if (this.#broken === undefined || this.#failureTold || this.#onFailure === undefined) return
    this.#failureTold = true
    this.#onFailure(this.#broken)
  }

  #fail(cause: GateError): void {
    if (this.#over) return
    this.#broken ??= cause
    this.#inbox.fail(cause)
    this.#tellFailure()
  }

  #finishWhenDone(): void {
    if (!this.#endSent || !this.#endReceived || this.#pending.size > 0 || this.#left) return
    this.#over = true
    this.#forget()
  }

  #close(): void {
    if (this.#left) return
    this.#carrier.sendClose(this.#id)
    this.#forget()
  }

  #forget(): void {
    this.#left = true
    this.#endSent = true
    this.#pending.clear()
    this.#window.close()
    this.#unblock()
    this.#carrier.forget(this.#id)
    this.#resolveClosed()
  }
}

/** The other side refuses longer texts, and would then not know what happened. */
export function trim(error: GateError): ErrorBody {
  const { fields, ...texts } = error.toJSON()
  const cut = (entries: object): Record<string, string> =>
    Object.fromEntries(Object.entries(entries).map(([key, text]) => [key, String(text).slice(0, MAX_TEXT_LENGTH)]))
  return { ...(cut(texts) as unknown as ErrorBody), ...(fields === undefined ? {} : { fields: cut(fields) }) }
}
