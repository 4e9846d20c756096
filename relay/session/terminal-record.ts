// What a command shows on a terminal, on its way into the record: as it comes, within limits, without what detectors find.
import { StringDecoder } from 'node:string_decoder'
import { asGateError, GateError } from '@gate/shared/errors'
import { hideFound } from '../mask/recorded.ts'
import type { Terminal, TerminalSize } from '../protocols/protocol.ts'
import type { EventBody } from '../record/events.ts'
import type { SessionRecorder } from './judge.ts'

/** What is shown within this time belongs together: fine enough to play back, and few enough to keep. */
const GATHER_MS = 20
/** More than this at once is looked through in parts; keys of all kinds are shorter. */
const MAX_GATHERED_CHARACTERS = 16_384
/** Of one event, unless the limit of events is lower. In JSON a character takes six bytes at most. */
const MAX_CHARACTERS = 4_096
const LARGEST_CHARACTER_BYTES = 3
/** What an event has beside its text; the smallest count as well, since there can be many. */
const EVENT_BYTES = 200
/** Once nothing more is kept, how much it was is said this often. */
const COUNT_MS = 1_000
/** Sizes beyond it are nobody's window. */
const MAX_SIDE = 1_000

export interface TerminalTerms {
  readonly session: string
  readonly command: number
  readonly recorder: SessionRecorder
  /** Of the text of one event. */
  readonly eventBytes: number
  /** The key of placeholders. */
  readonly key: Uint8Array
  /** Set where the command is recorded in full. */
  readonly seal: ((text: string) => string) | undefined
  /** Takes bytes of what the session may record; false when it may not. */
  take(bytes: number): boolean
}

type OutputBody = Extract<EventBody, { type: 'output' }>

export class TerminalRecord implements Terminal {
  readonly #terms: TerminalTerms
  readonly #decoder = new StringDecoder('utf8')
  readonly #maxCharacters: number
  /** What waits to be written: a size, and what was shown in it. */
  #size: TerminalSize | undefined
  #text = ''
  /** Bytes that are not kept, since those of the session are used up. */
  #leftOut = 0
  #isOver = false
  #timer: NodeJS.Timeout | undefined
  #failure: GateError | undefined

  constructor(terms: TerminalTerms, size: TerminalSize) {
    this.#terms = terms
    this.#maxCharacters = Math.min(MAX_CHARACTERS, Math.floor(terms.eventBytes / LARGEST_CHARACTER_BYTES))
    this.#size = size
    this.#flush()
  }

  output(bytes: Uint8Array): Promise<void> | undefined {
    return this.#unlessFailed(() => {
      this.#text += this.#decoder.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
      this.#soon()
      while (this.#text.length >= MAX_GATHERED_CHARACTERS) {
        const part = firstPart(this.#text, MAX_GATHERED_CHARACTERS)
        this.#writeSize()
        this.#write(part)
        this.#text = this.#text.slice(part.length)
      }
      return this.#terms.recorder.ready(false)
    })
  }

  resize(size: TerminalSize): void {
    this.#unlessFailed(() => {
      // What stands before it was shown in the size before.
      if (this.#text !== '') this.#flush()
      this.#size = size
      this.#soon()
    })
  }

  /** Writes what waits; nothing comes after it. @throws {GateError} ERR_GATE_RECORD. */
  end(): void {
    clearTimeout(this.#timer)
    this.#text += this.#decoder.end()
    this.#failure ??= new GateError('ERR_GATE_INTERNAL', 'the terminal of a command that is over')
    this.#flush()
  }

  /** What could not be written stays, and nothing more is taken. */
  #unlessFailed<T>(work: () => T): T {
    if (this.#failure !== undefined) throw this.#failure
    try {
      return work()
    } catch (thrown) {
      this.#failure = asGateError(thrown)
      throw this.#failure
    }
  }

  #soon(): void {
    this.#timer ??= setTimeout(() => this.#late(), this.#isOver ? COUNT_MS : GATHER_MS)
  }

  #late(): void {
    this.#timer = undefined
    try {
      this.#flush()
    } catch (thrown) {
      this.#failure ??= asGateError(thrown)
    }
  }

  #flush(): void {
    this.#writeSize()
    if (this.#text !== '') this.#write(this.#text)
    this.#text = ''
    if (this.#leftOut === 0) return
    this.#say({ ...this.#body(''), cutFrom: this.#leftOut })
    this.#leftOut = 0
  }

  #writeSize(): void {
    if (this.#size === undefined) return
    const { session, command } = this.#terms
    const side = (length: number): number => Math.min(MAX_SIDE, Math.max(1, Math.trunc(length) || 1))
    const { columns, rows } = this.#size
    this.#terms.take(EVENT_BYTES)
    this.#say({ type: 'terminal', session, command, columns: side(columns), rows: side(rows) })
    this.#size = undefined
  }

  /** Looks the text through as a whole, and writes it as events; the original is sealed beside it, also in parts. */
  #write(text: string): void {
    if (this.#isOver) return this.#leaveOut(text)
    const { key, seal } = this.#terms
    const shown = hideFound(text, key)
    const parts = this.#partsOf(shown)
    const originals = shown === text || seal === undefined ? [] : this.#partsOf(text)
    for (let index = 0; index < Math.max(parts.length, originals.length); index += 1) {
      const body = this.#body(parts[index] ?? '')
      const original = originals[index]
      if (original !== undefined && seal !== undefined) body.sealed = seal(JSON.stringify({ text: original }))
      const bytes = EVENT_BYTES + Buffer.byteLength(body.text) + (body.sealed?.length ?? 0)
      if (!this.#isOver && this.#terms.take(bytes)) this.#say(body)
      else this.#leaveOut(body.text)
    }
  }

  #leaveOut(text: string): void {
    this.#isOver = true
    this.#leftOut += Buffer.byteLength(text)
  }

  #partsOf(text: string): string[] {
    const parts: string[] = []
    for (let rest = text; rest !== ''; rest = rest.slice(parts.at(-1)?.length))
      parts.push(rest.length <= this.#maxCharacters ? rest : firstPart(rest, this.#maxCharacters))
    return parts
  }

  #body(text: string): OutputBody {
    const { session, command } = this.#terms
    return { type: 'output', session, command, text }
  }

  #say(body: EventBody): void {
    this.#terms.recorder.later(body)
  }
}

/** The beginning of a text, up to the end of a line if it has one: what detectors look for seldom goes on in the next. */
function firstPart(text: string, maxCharacters: number): string {
  const line = text.lastIndexOf('\n', maxCharacters - 1)
  if (line !== -1) return text.slice(0, line + 1)
  const last = text.charCodeAt(maxCharacters - 1)
  const isHalf = last >= 0xd800 && last < 0xdc00
  return text.slice(0, isHalf ? maxCharacters - 1 : maxCharacters)
}
