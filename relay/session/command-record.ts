// Writes the commands of a session and their outcomes into the record.
import { GateError } from '@gate/shared/errors'
import type { Operation, Settled } from '@gate/shared/model'
import type { EarlierCommand } from '../approval/requests.ts'
import type { Policy } from '../policy/decide.ts'
import type { Outcome } from '../protocols/machine.ts'
import type { Recorded, Terminal, TerminalSize } from '../protocols/protocol.ts'
import type { EventBody } from '../record/events.ts'
import type { Passage } from './holds.ts'
import type { GateContext, Judged } from './judge.ts'
import { type CommandBody, fitCommand, LARGEST_EVENT_BYTES, textBytes, withoutTexts } from './record-limits.ts'
import { cutMark, SessionBytes, sealed } from './recorded-text.ts'
import { saidFacts, saidResources, verdictOf } from './said.ts'
import { TerminalRecord } from './terminal-record.ts'

/** Texts of a session that later commands can refer to instead of repeating them. */
const MAX_REMEMBERED_TEXTS = 1_000
const SHORT_TEXT = 64
/** Earlier commands that approvers are shown, and how much of each. */
const MAX_HISTORY = 10
const HISTORY_TEXT_LENGTH = 200

export class CommandRecord {
  readonly #context: GateContext
  #commands = 0
  readonly #history: (EarlierCommand & { status: string | undefined })[] = []
  /** Numbers of the commands that texts were recorded with, and whether they were sealed as well. */
  readonly #texts = new Map<string, { readonly command: number; readonly sealed: boolean }>()
  readonly #bytes: SessionBytes
  /** When commands that are under way began, for their durations. */
  readonly #began = new Map<number, number>()
  /** Commands that are recorded in full, until their outcome. */
  readonly #inFull = new Set<number>()
  readonly #terminals = new Map<number, TerminalRecord>()

  constructor(context: GateContext) {
    this.#context = context
    this.#bytes = new SessionBytes(context.record, context.target, context.session, context.log)
  }

  get commands(): number {
    return this.#commands
  }

  /** What was done last in this session, oldest first: approvers want to know. */
  get history(): readonly EarlierCommand[] {
    return this.#history.map(each => ({ ...each }))
  }

  /** Commands go on now: their time begins. */
  begin(commands: readonly number[]): void {
    const began = this.#context.clock.monotonic()
    for (const command of commands) this.#began.set(command, began)
  }

  /** Writes a command down and returns its number. @throws {GateError} ERR_GATE_RECORD; it must not run then. */
  write(
    { command, decision }: Judged,
    settled: Settled | undefined,
    { requests, grants, brokeGlass }: Passage,
    policy: Policy,
    prepared: boolean,
  ): number {
    const { operation, recorded } = command
    const number = this.#commands + 1
    const { record } = this.#context
    const isSealed =
      record.seal !== undefined && (decision.record === 'full' || policy.recordsInFull(this.#context.target))
    // Put together field by field: to spread what is mostly empty takes as long as everything else here.
    const body: CommandBody = {
      type: 'command',
      session: this.#context.session,
      command: number,
      action: operation.action,
      text: recorded.text,
      resources: saidResources(recorded.resources ?? operation.resources, record.key),
      facts: saidFacts(recorded.facts ?? operation.facts, record.key),
      decision: verdictOf(decision, record.key),
      policy: policy.version,
    }
    if (prepared) body.prepared = true
    this.#sayTexts(body, operation, recorded, isSealed)
    if (settled !== undefined && (settled.effect !== decision.effect || settled.rule !== decision.rule))
      body.settled = verdictOf(settled, record.key)
    const request = requests.at(-1)
    if (request !== undefined) body.request = request
    const grant = grants.at(-1)
    if (grant !== undefined) body.grant = grant
    if (brokeGlass) body.passedByBreakingGlass = true
    const fitted = this.#limit(body, operation, recorded)
    this.#context.recorder.append(fitted)
    // Counted only when it is written: a number that is not in the record would look like a lost event.
    this.#commands = number
    if (isSealed && (settled ?? decision).effect === 'allow') this.#inFull.add(number)
    this.#history.push({
      command: number,
      action: operation.action,
      text: operation.text.slice(0, HISTORY_TEXT_LENGTH),
      effect: (settled ?? decision).effect,
      status: undefined,
    })
    if (this.#history.length > MAX_HISTORY) this.#history.shift()
    if (fitted.cutFrom === undefined && fitted.sameTextAs === undefined)
      this.#remember(recorded.text, { command: number, sealed: isSealed })
    return number
  }

  /** The text, unless an earlier command has it, and the parameters. */
  #sayTexts(body: CommandBody, operation: Operation, recorded: Recorded, isSealed: boolean): void {
    const { seal, key } = this.#context.record
    const earlier = recorded.text.length > SHORT_TEXT ? this.#texts.get(recorded.text) : undefined
    const same = earlier !== undefined && (earlier.sealed || !isSealed) ? earlier.command : undefined
    if (same !== undefined) {
      body.text = ''
      body.sameTextAs = same
    } else if (recorded.isCut) Object.assign(body, cutMark(operation, recorded, key))
    const { parameters, parameterCount } = recorded
    if (parameters.length > 0) body.parameters = [...parameters]
    if (parameterCount > parameters.length) body.parametersCutFrom = parameterCount
    if (isSealed && seal !== undefined) Object.assign(body, sealed(operation, recorded, same !== undefined, seal))
  }

  /** The event as it fits; without texts when the bytes for them are used up, which is said once. */
  #limit(body: CommandBody, operation: Operation, recorded: Recorded): CommandBody {
    const { record } = this.#context
    const mark = (): ReturnType<typeof cutMark> => cutMark(operation, recorded, record.key)
    const fitted = fitCommand(body, record.limits, mark)
    return this.#take(textBytes(fitted)) ? fitted : withoutTexts(fitted, mark)
  }

  /** Takes bytes of those that may be recorded; that none are left is said once. */
  #take(bytes: number): boolean {
    const { recorder, session, clock } = this.#context
    const over = this.#bytes.take(bytes, clock.now())
    if (over === undefined) return true
    const { of, limitBytes, isNew } = over
    if (isNew) recorder.append({ type: 'limit', session, of, limitBytes })
    return false
  }

  #remember(text: string, command: { readonly command: number; readonly sealed: boolean }): void {
    if (text.length <= SHORT_TEXT || text.length > LARGEST_EVENT_BYTES) return
    if (this.#texts.size >= MAX_REMEMBERED_TEXTS) this.#texts.clear()
    this.#texts.set(text, command)
  }

  /** Begins to write down what a command shows on a terminal. */
  terminal(command: number, size: TerminalSize): Terminal {
    if (!this.#began.has(command) || this.#terminals.has(command))
      throw new GateError('ERR_GATE_INTERNAL', 'a terminal for a command that does not run, or has one')
    const { session, recorder, record } = this.#context
    const { limits, key, seal } = record
    const { eventBytes } = limits
    const take = (bytes: number): boolean => this.#take(bytes)
    const sealing = this.#inFull.has(command) ? seal : undefined
    const terminal = new TerminalRecord({ session, command, recorder, eventBytes, key, seal: sealing, take }, size)
    this.#terminals.set(command, terminal)
    return terminal
  }

  /** Writes what terminals have shown last. @throws {GateError} ERR_GATE_RECORD, when all of them have ended. */
  end(): void {
    const failures: unknown[] = []
    for (const terminal of this.#terminals.values()) {
      try {
        terminal.end()
      } catch (thrown) {
        failures.push(thrown)
      }
    }
    this.#terminals.clear()
    if (failures.length > 0) throw failures[0]
  }

  /** Writes down how a command ended. */
  observe(outcome: Outcome): void {
    const terminal = this.#terminals.get(outcome.command)
    if (terminal !== undefined) {
      this.#terminals.delete(outcome.command)
      terminal.end()
    }
    this.#inFull.delete(outcome.command)
    const began = this.#began.get(outcome.command)
    this.#began.delete(outcome.command)
    const past = this.#history.findLast(({ command }) => command === outcome.command)
    if (past !== undefined) past.status = outcome.status
    const body: OutcomeBody = {
      type: 'outcome',
      session: this.#context.session,
      command: outcome.command,
      bytes: outcome.bytes,
      status: outcome.status,
    }
    if (outcome.rows !== undefined) body.rows = outcome.rows
    if (began !== undefined) {
      if (outcome.firstByteAtMs !== undefined) body.firstByteMs = toMicroseconds(outcome.firstByteAtMs - began)
      body.durationMs = toMicroseconds(this.#context.clock.monotonic() - began)
    }
    this.#context.recorder.later(body)
  }
}

/** Milliseconds with three digits behind the point. */
function toMicroseconds(ms: number): number {
  return Math.round(ms * 1000) / 1000
}

type OutcomeBody = Extract<EventBody, { type: 'outcome' }>
