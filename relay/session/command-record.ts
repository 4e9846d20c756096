// Writes the commands of a session and their outcomes into the record.
import type { Decision, Operation, Settled } from '@gate/shared/model'
import type { EarlierCommand } from '../approval/requests.ts'
import type { Policy } from '../policy/decide.ts'
import type { Outcome } from '../protocols/machine.ts'
import type { Passage } from './holds.ts'
import type { GateContext, Judged } from './judge.ts'

/** Longer texts are cut in the record and marked. */
const MAX_RECORDED_TEXT = 8 * 1024
/** Texts of a session that later commands can refer to instead of repeating them. */
const MAX_REMEMBERED_TEXTS = 1_000
const SHORT_TEXT = 64
/** Earlier commands that approvers are shown, and how much of each. */
const MAX_HISTORY = 10
const HISTORY_TEXT_LENGTH = 200

export class CommandRecord {
  readonly #context: GateContext
  #commands = 0
  readonly #history: EarlierCommand[] = []
  readonly #texts = new Map<string, number>()
  /** When commands that are under way began, for their durations. */
  readonly #began = new Map<number, number>()

  constructor(context: GateContext) {
    this.#context = context
  }

  get commands(): number {
    return this.#commands
  }

  /** What was done last in this session, oldest first: approvers want to know. */
  get history(): readonly EarlierCommand[] {
    return [...this.#history]
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
    const { operation } = command
    const number = this.#commands + 1
    const { text, ...how } = this.#shorten(operation.text)
    const final =
      settled !== undefined && (settled.effect !== decision.effect || settled.rule !== decision.rule)
        ? settled
        : undefined
    this.#context.recorder.append({
      type: 'command',
      session: this.#context.session,
      command: number,
      ...(prepared ? { prepared: true as const } : {}),
      action: operation.action,
      text,
      ...how,
      ...(operation.parameters.length === 0 ? {} : { parameters: [...operation.parameters] }),
      resources: [...operation.resources],
      facts: saidFacts(operation),
      decision: verdictOf(decision),
      ...(final === undefined ? {} : { settled: verdictOf(final) }),
      ...(requests.length === 0 ? {} : { request: requests.at(-1) }),
      ...(grants.length === 0 ? {} : { grant: grants.at(-1) }),
      ...(brokeGlass ? { passedByBreakingGlass: true as const } : {}),
      policy: policy.version,
    })
    // Counted only when it is written: a number that is not in the record would look like a lost event.
    this.#commands = number
    this.#history.push({
      command: number,
      action: operation.action,
      text: operation.text.slice(0, HISTORY_TEXT_LENGTH),
      effect: (settled ?? decision).effect,
      status: undefined,
    })
    if (this.#history.length > MAX_HISTORY) this.#history.shift()
    if (how.sameTextAs === undefined) this.#remember(operation.text, number)
    return number
  }

  #shorten(text: string): { text: string; sameTextAs?: number; cutFrom?: number } {
    const earlier = text.length > SHORT_TEXT ? this.#texts.get(text) : undefined
    if (earlier !== undefined) return { text: '', sameTextAs: earlier }
    if (text.length <= MAX_RECORDED_TEXT) return { text }
    return { text: text.slice(0, MAX_RECORDED_TEXT), cutFrom: Buffer.byteLength(text) }
  }

  #remember(text: string, command: number): void {
    if (text.length <= SHORT_TEXT || text.length > MAX_RECORDED_TEXT) return
    if (this.#texts.size >= MAX_REMEMBERED_TEXTS) this.#texts.clear()
    this.#texts.set(text, command)
  }

  /** Writes down how a command ended. */
  observe(outcome: Outcome): void {
    const began = this.#began.get(outcome.command)
    this.#began.delete(outcome.command)
    const past = this.#history.findIndex(({ command }) => command === outcome.command)
    const known = this.#history[past]
    if (known !== undefined) this.#history[past] = { ...known, status: outcome.status }
    this.#context.recorder.later({
      type: 'outcome',
      session: this.#context.session,
      command: outcome.command,
      ...(outcome.rows === undefined ? {} : { rows: outcome.rows }),
      bytes: outcome.bytes,
      ...(began === undefined
        ? {}
        : { durationMs: Math.round((this.#context.clock.monotonic() - began) * 1000) / 1000 }),
      status: outcome.status,
    })
  }
}

export function verdictOf(decision: Decision): { effect: Decision['effect']; rule: string; reason?: string } {
  return {
    effect: decision.effect,
    rule: decision.rule,
    ...(decision.effect === 'deny' ? { reason: decision.reason } : {}),
  }
}

type SaidFacts = Record<string, string | number | boolean | null | string[]>

/** Rooms that know a command from before give the same facts again. */
const saidBefore = new WeakMap<Operation['facts'], SaidFacts>()

/** Facts that say nothing are left out of the record: they are the same for every command. */
function saidFacts({ facts }: Operation): SaidFacts {
  const known = saidBefore.get(facts)
  if (known !== undefined) return known
  const said: SaidFacts = {}
  for (const [name, value] of Object.entries(facts)) {
    if (value === '' || value === false || value === null || (Array.isArray(value) && value.length === 0)) continue
    said[name] = Array.isArray(value) ? [...value] : (value as string | number | boolean)
  }
  saidBefore.set(facts, said)
  return said
}
