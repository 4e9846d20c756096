// What a protocol's room offers to the house, and what it gets for one connection.
import type { BoundParameter, SignedDecision } from '@gate/shared/approval'
import type { Log } from '@gate/shared/log'
import type {
  ConnectHint,
  Deny,
  Estimate,
  FieldMaskObligation,
  MaskObligation,
  Obligation,
  OfflineAnswers,
  Operation,
  Settled,
  Subject,
  Target,
  Vocabulary,
} from '@gate/shared/model'
import type { Port } from '@gate/shared/port'
import type { Declaration, Outcome } from './machine.ts'

/** A bound value as it is written down. */
export interface RecordedParameter {
  readonly text: string | null
  /** Undefined where the value is masked for somebody: its length is a part of it. */
  readonly bytes?: number
  readonly format: 'text' | 'binary'
}

/** What may be written down of a command: nothing in it is masked for anybody. */
export interface Recorded {
  /** The operation's own text when nothing of it had to be replaced. */
  readonly text: string
  /** Where something of the operation's own had to be replaced. */
  readonly facts?: Operation['facts']
  readonly resources?: Operation['resources']
  /** It is the beginning only, or nothing at all. */
  readonly isCut: boolean
  /** How long all of it is, where the operation's text is only its beginning. */
  readonly wholeBytes?: number
  readonly parameters: readonly RecordedParameter[]
  /** How many there were. */
  readonly parameterCount: number
}

/** One command that asks to pass. */
export interface Command {
  readonly operation: Operation
  readonly recorded: Recorded
  /** Set when the room itself must refuse, whatever policy says. */
  readonly refusal?: Deny | undefined
  /** Whether the room can do what an allow would oblige it to; a Deny says why not. Asked before anybody is bothered. */
  readonly perform?: ((obligations: readonly Obligation[]) => Deny | undefined) | undefined
  /**
   * The same command read anew, where facts of it come from policy itself, such as routes: asked for after people were waited
   * for, since policy may be another by then.
   */
  readonly again?: (() => Command) | undefined
  /** When people are asked, if a rule holds it: now; later, since it only prepares; or they were, when it began. */
  readonly people: 'now' | 'later' | 'asked'
}

/** What people are asked about: exactly this, and nothing else may run on their word. */
export interface Asked {
  /** The command as it would be sent, whole. */
  readonly command: string
  /** Bound values; undefined when they were too many to be kept: then nobody can be asked. */
  readonly parameters: readonly BoundParameter[] | undefined
  /** Why nobody can be asked, where it is not for the values. */
  readonly unshown?: string
  /** Where it would run, in the protocol's words: database, role, … */
  readonly context: Readonly<Record<string, string>>
  /** The client does not wait for people: it is refused, and passes when it sends the same again with their approval. */
  readonly later?: boolean
  /** What the target expects it to do; undefined when it does not say. Never changes anything. */
  estimate(signal: AbortSignal): Promise<Estimate | undefined>
}

/** What came of commands that stand or fall together. */
export interface Verdict {
  readonly settled: Settled
  /** A number for each command, for its outcome. */
  readonly commands: readonly number[]
  /** What each command obliges the room to, when all are allowed. */
  readonly obligations: readonly (readonly Obligation[])[]
  /** The approval request that was made, if any. */
  readonly request: string | undefined
  /** It was refused only for now: the request waits, and the same command passes once when it is approved. */
  readonly isPending: boolean
  /** What approvers signed, for agents that check it themselves. */
  readonly approvals: readonly SignedDecision[]
  /** What was allowed goes to the target when this resolves, and if it rejects not at all; undefined: at once. */
  readonly recorded: Promise<void> | undefined
}

export interface Preparation {
  readonly refused: Deny | undefined
  /** Whether people will be asked before it runs. */
  readonly held: boolean
  readonly obligations: readonly Obligation[]
}

export interface HoldNotice {
  readonly request: string
  readonly approvers: string
  readonly rule: string
  readonly expiresMs: number
  /** Rows that the command has written already, when they are what people are asked about. */
  readonly rows: number | undefined
}

/** Rows that a command under a row limit has written and not yet committed, as the target counted them. */
export interface RowCount {
  /** The number that the gate gave the command. */
  readonly command: number
  readonly rows: number
}

export interface RowVerdict {
  readonly settled: Settled
  /** The approval request that was made, if any. */
  readonly request: string | undefined
}

/** In characters. */
export interface TerminalSize {
  readonly columns: number
  readonly rows: number
}

/** A terminal on which a command shows something, on its way into the record. */
export interface Terminal {
  /**
   * Takes what was shown, before anybody sees it; when it gives a promise, nothing more is shown until that resolves.
   * @throws {GateError} ERR_GATE_RECORD when it cannot be written: then nothing may be shown any more.
   */
  output(bytes: Uint8Array): Promise<void> | undefined
  /** @throws {GateError} as output does. */
  resize(size: TerminalSize): void
}

/** The one enforcement point: policy, then people, then the record. */
export interface Gate {
  /**
   * Decides commands that go to the target together, and records them. An allow says when the record is on the disk.
   * `asked` is what people are asked about, when they have to be. `waiting` is told when they are, and only then a signal is
   * made: it costs more than deciding.
   * @throws {GateError} when nothing can be decided or recorded; nothing may be forwarded then.
   */
  decide(
    commands: readonly Command[],
    asked: () => Asked,
    waiting: (notice: HoldNotice) => void,
    signal: () => AbortSignal,
  ): Verdict | Promise<Verdict>
  /**
   * Decides commands that are only prepared, to be decided again each time they run: what is refused outright is refused
   * now, and nobody is asked yet. Recorded like everything that reaches the target.
   * @throws {GateError} as decide does.
   */
  prepare(commands: readonly Command[]): Preparation
  /**
   * Decides commands again that run under a row limit, by the rows they have written: before they are committed, and
   * before their answers are shown. `fault` is why the room cannot let them pass, whatever they have written. Recorded where
   * it is not a plain yes.
   * @throws {GateError} as decide does.
   */
  decideRows(
    counts: readonly RowCount[],
    fault: string | undefined,
    waiting: (notice: HoldNotice) => void,
    signal: AbortSignal,
  ): RowVerdict | Promise<RowVerdict>
  /** The same value as long as policy and what is known of the person are. */
  readonly basis: unknown
  /** The same value as long as nothing has changed that decisions depend on; where a rule asks for the time, for some seconds. */
  readonly standing: unknown
  /**
   * Decides a command that is under way by the policy of this moment: what it obliges to now, or why it may not go on, which
   * is recorded. Nobody is asked; people who let it pass when it began (`verdict`) have decided.
   * @throws {GateError} ERR_GATE_RECORD.
   */
  judgeAgain(command: Command, verdict: Verdict): readonly Obligation[] | Deny
  /** Whether anything is masked for this person here and now. */
  readonly masked: boolean
  /** Whether which tables a command is about matters to anybody here. */
  readonly asksForTables: boolean
  /** What is masked for this person here and now. */
  readonly masks: readonly Obligation[]
  /** Masks that name columns and bind anybody on the target: records are read by others. The same list while policy is the same. */
  readonly recordMasks: readonly MaskObligation[]
  /** The same of masks that name fields. */
  readonly recordFields: readonly FieldMaskObligation[]
  /** Templates of the target's paths; the same list while policy is the same. */
  readonly routes: readonly string[]
  /** Headers of requests that rules see, in lower case. */
  readonly headers: readonly string[]
  /** Whether `%2F` in a path is a part of its segment to the target; otherwise it is refused. */
  readonly keepsEncodedSlashes: boolean
  /** Whether `;name=value` in a path is no part of its segment's name to the target; otherwise it is refused. */
  readonly keepsPathParameters: boolean
  /** Who needs what a request's body says, beside the target. */
  readonly bodyNeed: 'rules' | 'people' | undefined
  observe(outcome: Outcome): void
  /** The terminal of a command that was let go on, until its outcome. @throws {GateError} ERR_GATE_RECORD. */
  terminal(command: number, size: TerminalSize): Terminal
  /** Milliseconds that only ever grow: when the first of an answer came, an outcome says by this clock. */
  now(): number
}

/** An open, logged-in stream to the target, and how to cancel what runs on it. */
export interface TargetStream {
  readonly port: Port<Buffer>
  readonly detail: Readonly<Record<string, string>>
  /** Tells an agent that checks approvals itself what the next command on the stream is. */
  declare(declaration: Declaration): void
  /** Resolves when the target has taken the request, whatever comes of it. */
  cancel(): Promise<void>
}

/** One connection of a client, from the room's side. */
export interface Session {
  readonly id: string
  readonly target: Target
  readonly client: Port<Buffer>
  readonly gate: Gate
  readonly log: Log
  /** Aborted with a GateError when the session must end: identity, shutdown. */
  readonly signal: AbortSignal
  subject(): Subject
  /**
   * Asks whether the person may open the target, and begins the record.
   * @throws {GateError} ERR_GATE_REFUSED, ERR_GATE_RECORD, ERR_GATE_STORE.
   */
  start(client: Readonly<Record<string, string>>): Promise<void>
  /** Opens the person's stream to the target. @throws {GateError} when there is no agent or the target refuses. */
  open(parameters: Readonly<Record<string, string>>): Promise<TargetStream>
  /** Opens a stream for the room's own questions to the target; nothing of it reaches the client. */
  openOwn(parameters: Readonly<Record<string, string>>, signal: AbortSignal): Promise<TargetStream>
  /** Records that somebody cancelled what ran in another session. */
  recordCancel(session: string): void
}

export interface Protocol extends AsyncDisposable {
  readonly name: string
  /** The facts of its operations, for policy. */
  readonly vocabulary: Vocabulary
  /** What this room can do; an allow that obliges to more is refused, so that nothing fails open. */
  readonly obligations: readonly Obligation['kind'][]
  /** How a person uses an open local port. */
  hint(target: Target): ConnectHint
  /** What a local port answers when the relay cannot be asked. */
  offline(relay: string): OfflineAnswers
  serve(session: Session): Promise<void>
}
