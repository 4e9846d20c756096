// The interface between a protocol's pure logic and the loop that moves its data.
import type { SignedDecision } from '@gate/shared/approval'
import type { GateError } from '@gate/shared/errors'

export type Side = 'client' | 'target'

/** How one command ended, as the target said. */
export interface Outcome {
  /** The number that the gate gave the command. */
  readonly command: number
  readonly rows: number | undefined
  /** Bytes of the answer as the target sent it. */
  readonly bytes: number
  /** When the first of the answer came from the target, by the gate's clock; undefined where none came. */
  readonly firstByteAtMs?: number | undefined
  /** A command tag, an SQLSTATE, a status. */
  readonly status: string
  /** Whether the client has a transaction open, so that what was done is not committed yet. */
  readonly inTransaction?: boolean
}

/** What an agent that checks approvals itself is told of a command. */
export interface Declaration {
  readonly actions: readonly string[]
  readonly approvals: readonly SignedDecision[]
}

export type Effect<Unit, Question> =
  | { readonly do: 'send'; readonly to: Side; readonly unit: Unit }
  /** Nothing more from the asking side is handled until `settle` is called with this id. */
  | { readonly do: 'ask'; readonly id: number; readonly question: Question }
  /** The answer to a question does not matter any more; whoever waits for it may stop. */
  | { readonly do: 'forget'; readonly id: number }
  /** What the next command to the target is; comes before its bytes. */
  | { readonly do: 'declare'; readonly declaration: Declaration }
  | { readonly do: 'observe'; readonly outcome: Outcome }
  /** A transaction is over in which something ran that somebody waits for the end of. */
  | { readonly do: 'over' }
  | { readonly do: 'end'; readonly to: Side }

/**
 * A protocol between a client and a target as pure logic: units in, effects out. No promise, clock, socket or log inside.
 * Whatever is given to `receive`, it throws GateErrors and nothing else.
 */
export interface Machine<Unit, Question, Answer> {
  /** `null` means that the side is done; `nowMs` is when a unit of the target's came, by the gate's clock. @throws {GateError} when a side breaks the protocol; the session is over then. */
  receive(from: Side, unit: Unit | null, nowMs: number): void
  /** The next effect; undefined when input is needed. */
  poll(): Effect<Unit, Question> | undefined
  /** False while what a side sends could only pile up. */
  wants(from: Side): boolean
  settle(id: number, answer: Answer): void
  /** Words to the client beside the answers to its commands, sent as soon as they would be understood. */
  tell(unit: Unit): void
  /** Last words to the client before the connection ends, where they would be understood. */
  lastWords(cause: GateError): Unit | undefined
}
