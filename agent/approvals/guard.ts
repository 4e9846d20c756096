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

  /**
   * The next command, of which the agent itself knows that it is of these actions, whatever the relay declared.
   * @throws {GateError} ERR_GATE_REFUSED when the relay declared none.
   */
  next(actions: readonly string[] = []): NextCommand {
    const declared = this.#declared.shift()
    if (declared === undefined)
      throw new GateError('ERR_GATE_REFUSED', 'the relay sent a command that it did not declare')
    const declaration = { ...declared, actions: [...declared.actions, ...actions] }
    return {
      needsApproval: this.needs(declaration.actions),
      pass: command => this.#trust.check(declaration, command),
    }
  }

  /** Whether any of these actions needs approval. */
  needs(actions: readonly string[]): boolean {
    return this.#trust.needing(actions).length > 0
  }
}

export interface NextCommand {
  readonly needsApproval: boolean
  /** Lets it pass, or not. @throws {GateError} ERR_GATE_REFUSED. */
  pass(command: ReadCommand): void
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
      for (const command of reader.read(bytes)) guard.next().pass(command)
      return port.write(bytes)
    },
    end: () => port.end(),
    destroy: cause => port.destroy(cause),
    get broken() {
      return port.broken
    },
  }
}
