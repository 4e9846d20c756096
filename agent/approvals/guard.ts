// Stands before a target: every command needs a declaration of the relay, and passes only when the approvals are good.
import { GateError } from '@gate/shared/errors'
import type { Port } from '@gate/shared/port'
import type { Declaration, ReadCommand, Trust } from './trust.ts'

/** Declarations that came ahead of their commands. */
const MAX_DECLARED = 100_000

/** What the relay declared on one stream, and whether it may pass. */
export class ApprovalGuard {
  readonly #trust: Trust
  #declared: Declaration[] = []

  constructor(trust: Trust) {
    this.#trust = trust
  }

  /** The relay says what its next command is. @throws {GateError} ERR_GATE_LIMIT. */
  declare(declaration: Declaration): void {
    if (this.#declared.length >= MAX_DECLARED) throw new GateError('ERR_GATE_LIMIT', 'too many commands are declared')
    this.#declared.push(declaration)
  }

  /** Lets the next command pass, or not. @throws {GateError} ERR_GATE_REFUSED. */
  check(command: ReadCommand): void {
    const declaration = this.#declared.shift()
    if (declaration === undefined)
      throw new GateError('ERR_GATE_REFUSED', 'the relay sent a command that it did not declare')
    this.#trust.check(declaration, command)
  }
}

/** Reads a protocol's commands from what goes to the target. */
export interface CommandReader {
  /** Commands that are whole with these bytes, in order. @throws {GateError} when they cannot be read. */
  read(bytes: Buffer): readonly ReadCommand[]
}

/** A port to which nothing is written that the guard does not let pass; a write of such throws. */
export function guardedPort(port: Port<Buffer>, reader: CommandReader, guard: ApprovalGuard): Port<Buffer> {
  return {
    [Symbol.asyncIterator]: () => port[Symbol.asyncIterator](),
    write: bytes => {
      // A command runs when its last byte arrives: none of these go before all that end in them are checked.
      for (const command of reader.read(bytes)) guard.check(command)
      return port.write(bytes)
    },
    end: () => port.end(),
    destroy: cause => port.destroy(cause),
    get broken() {
      return port.broken
    },
  }
}
