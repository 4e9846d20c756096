// Reads the commands from what goes to a PostgreSQL server: texts as they are prepared, values as they are bound.
//
// Only what is sent is seen, not what the server makes of it. After an error it skips everything up to the next Sync, so a
// name means what was sent for it last only within that segment: then either all of it runs or nothing does. Beyond it a name
// is believed as long as nothing else was ever sent for it.
import { type BoundParameter, commandSha256, parametersSha256 } from '@gate/shared/approval'
import { GateError } from '@gate/shared/errors'
import type { CommandReader } from '../../approvals/guard.ts'
import type { ReadCommand } from '../../approvals/trust.ts'

/** Messages that are read are kept whole; longer ones do not pass. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024
/** Prepared statements and portals that are remembered; beyond it the session ends. */
const MAX_NAMES = 100_000
/** Names are hash keys of NAMEDATALEN in the server. */
const NAME_BYTES = 63
const HEADER_BYTES = 5

const type = (letter: string): number => letter.charCodeAt(0)
const [Q, P, B, E, F, S] = ['Q', 'P', 'B', 'E', 'F', 'S'].map(type) as [number, number, number, number, number, number]
const read: ReadonlySet<number> = new Set([Q, P, B, E, F, S])

const noParameters = parametersSha256([])
/** Of what is run by a name that was not prepared here, PREPARE in SQL for example: no approval fits. */
const unknown: ReadCommand = { commandSha256: '', parametersSha256: '' }

/** @see https://www.postgresql.org/docs/current/protocol-message-formats.html */
export class PostgresCommands implements CommandReader {
  #rest: Buffer = Buffer.alloc(0)
  /** Bytes of a message that is not read. */
  #skip = 0
  #segment = 0
  /** Texts by the statement's name; commands by the portal's. */
  readonly #statements = new Map<string, Meaning<PreparedText>>()
  readonly #portals = new Map<string, Meaning<ReadCommand>>()

  read(bytes: Buffer): readonly ReadCommand[] {
    const commands: ReadCommand[] = []
    this.#rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes])
    for (;;) {
      const skipped = Math.min(this.#skip, this.#rest.length)
      this.#skip -= skipped
      this.#rest = this.#rest.subarray(skipped)
      if (this.#skip > 0 || this.#rest.length < HEADER_BYTES) return commands
      const letter = this.#rest[0] ?? 0
      const total = this.#rest.readInt32BE(1) + 1
      if (total < HEADER_BYTES) throw new GateError('ERR_GATE_PROTOCOL', 'a message of impossible length')
      if (!read.has(letter)) {
        this.#skip = total
        continue
      }
      if (total > MAX_MESSAGE_BYTES)
        throw new GateError('ERR_GATE_LIMIT', `a message of ${total} bytes is too long to be checked`)
      if (this.#rest.length < total) return commands
      const command = this.#message(letter, this.#rest.subarray(HEADER_BYTES, total))
      if (command !== undefined) commands.push(command)
      this.#rest = this.#rest.subarray(total)
    }
  }

  #message(letter: number, body: Buffer): ReadCommand | undefined {
    const fields = new Fields(body)
    switch (letter) {
      case S:
        this.#segment += 1
        return undefined
      case Q:
        this.#segment += 1
        return { commandSha256: commandSha256(fields.string()), parametersSha256: noParameters }
      case P:
        return this.#means(this.#statements, fields.name(), {
          commandSha256: commandSha256(fields.string()),
          types: fields.types(),
        })
      case B: {
        const portal = fields.name()
        const text = this.#meaning(this.#statements, fields.name())
        return this.#means(this.#portals, portal, text === undefined ? unknown : bound(text, fields.parameters()))
      }
      case E:
        return this.#meaning(this.#portals, fields.name()) ?? unknown
      default:
        this.#segment += 1
        return unknown
    }
  }

  #means<T>(names: Map<string, Meaning<T>>, name: string, value: T): undefined {
    const before = names.get(name)
    if (before === undefined && names.size >= MAX_NAMES)
      throw new GateError('ERR_GATE_LIMIT', 'too many prepared statements or portals in one session')
    const isOnly = before === undefined || (before.isOnly && JSON.stringify(before.value) === JSON.stringify(value))
    names.set(name, { value, segment: this.#segment, isOnly })
  }

  /** Undefined when the server may take the name for something else. */
  #meaning<T>(names: ReadonlyMap<string, Meaning<T>>, name: string): T | undefined {
    const known = names.get(name)
    return known !== undefined && (known.isOnly || known.segment === this.#segment) ? known.value : undefined
  }
}

interface PreparedText {
  readonly commandSha256: string
  /** OIDs of its parameters' types, as far as they are declared. */
  readonly types: readonly number[]
}

function bound({ commandSha256, types }: PreparedText, values: readonly Omit<BoundParameter, 'type'>[]): ReadCommand {
  const parameters = values.map((value, index) => ({ ...value, type: types[index] ?? 0 }))
  return { commandSha256, parametersSha256: parametersSha256(parameters) }
}

/** What was sent for a name last, and whether it is all that ever was. */
interface Meaning<T> {
  readonly value: T
  readonly segment: number
  readonly isOnly: boolean
}

class Fields {
  readonly #body: Buffer
  #at = 0

  constructor(body: Buffer) {
    this.#body = body
  }

  #need(count: number): number {
    const at = this.#at
    if (at + count > this.#body.length) throw new GateError('ERR_GATE_PROTOCOL', 'a message ends too soon')
    this.#at = at + count
    return at
  }

  string(): Buffer {
    const end = this.#body.indexOf(0, this.#at)
    if (end === -1) throw new GateError('ERR_GATE_PROTOCOL', 'a string has no end')
    const text = this.#body.subarray(this.#at, end)
    this.#at = end + 1
    return text
  }

  name(): string {
    const text = this.string()
    return text.toString('latin1', 0, Math.min(text.length, NAME_BYTES))
  }

  #count(): number {
    return this.#body.readUInt16BE(this.#need(2))
  }

  types(): number[] {
    return Array.from({ length: this.#count() }, () => this.#body.readUInt32BE(this.#need(4)))
  }

  parameters(): Omit<BoundParameter, 'type'>[] {
    const formats = Array.from({ length: this.#count() }, () => this.#body.readInt16BE(this.#need(2)))
    return Array.from({ length: this.#count() }, (_, index) => {
      const length = this.#body.readInt32BE(this.#need(4))
      const format = formats[formats.length === 1 ? 0 : index] ?? 0
      if (length < 0) return { format, value: null }
      const at = this.#need(length)
      return { format, value: this.#body.subarray(at, at + length) }
    })
  }
}
