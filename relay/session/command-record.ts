// Writes the commands of a session and their outcomes into the record.
import type { Decision, Operation, Settled } from '@gate/shared/model'
import type { EarlierCommand } from '../approval/requests.ts'
import { hideFound } from '../mask/recorded.ts'
import type { Policy } from '../policy/decide.ts'
import type { Outcome } from '../protocols/machine.ts'
import type { Recorded } from '../protocols/protocol.ts'
import type { Passage } from './holds.ts'
import type { GateContext, Judged } from './judge.ts'
import { type CommandBody, cutText, fitCommand, LARGEST_EVENT_BYTES, textBytes, withoutTexts } from './record-limits.ts'
import { cutMark, SessionBytes, sealed } from './recorded-text.ts'

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
  /** Numbers of the commands that texts were recorded with, and whether they were sealed as well. */
  readonly #texts = new Map<string, { readonly command: number; readonly sealed: boolean }>()
  readonly #bytes: SessionBytes
  /** When commands that are under way began, for their durations. */
  readonly #began = new Map<number, number>()

  constructor(context: GateContext) {
    this.#context = context
    this.#bytes = new SessionBytes(context.record, context.target, context.session, context.log)
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
    const { operation, recorded } = command
    const number = this.#commands + 1
    const final =
      settled !== undefined && (settled.effect !== decision.effect || settled.rule !== decision.rule)
        ? settled
        : undefined
    const { record } = this.#context
    const isSealed =
      record.seal !== undefined && (decision.record === 'full' || policy.recordsInFull(this.#context.target))
    const texts = this.#saidTexts(operation, recorded, isSealed)
    const body: CommandBody = {
      type: 'command',
      session: this.#context.session,
      command: number,
      ...(prepared ? { prepared: true as const } : {}),
      action: operation.action,
      ...texts,
      resources: operation.resources.map(resource => ({ ...resource, name: hideFound(resource.name, record.key) })),
      facts: saidFacts(operation, record.key),
      decision: verdictOf(decision, record.key),
      ...(final === undefined ? {} : { settled: verdictOf(final, record.key) }),
      ...(requests.length === 0 ? {} : { request: requests.at(-1) }),
      ...(grants.length === 0 ? {} : { grant: grants.at(-1) }),
      ...(brokeGlass ? { passedByBreakingGlass: true as const } : {}),
      policy: policy.version,
    }
    const fitted = this.#limit(body, operation, recorded)
    this.#context.recorder.append(fitted)
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
    if (fitted.cutFrom === undefined && fitted.sameTextAs === undefined)
      this.#remember(recorded.text, { command: number, sealed: isSealed })
    return number
  }

  /** The text, unless an earlier command has it, and the parameters. */
  #saidTexts(
    operation: Operation,
    recorded: Recorded,
    isSealed: boolean,
  ): Pick<CommandBody, 'text'> & Partial<CommandBody> {
    const { seal, key } = this.#context.record
    const earlier = recorded.text.length > SHORT_TEXT ? this.#texts.get(recorded.text) : undefined
    const same = earlier !== undefined && (earlier.sealed || !isSealed) ? earlier.command : undefined
    const { parameters, parameterCount } = recorded
    return {
      ...(same === undefined ? { text: recorded.text } : { text: '', sameTextAs: same }),
      ...(recorded.isCut && same === undefined ? cutMark(operation, recorded, key) : {}),
      ...(parameters.length === 0 ? {} : { parameters: [...parameters] }),
      ...(parameterCount > parameters.length ? { parametersCutFrom: parameterCount } : {}),
      ...(isSealed && seal !== undefined ? sealed(operation, recorded, same !== undefined, seal) : {}),
    }
  }

  /** The event as it fits; without texts when the bytes for them are used up, which is said once. */
  #limit(body: CommandBody, operation: Operation, recorded: Recorded): CommandBody {
    const { record, recorder, session, clock } = this.#context
    const mark = (): ReturnType<typeof cutMark> => cutMark(operation, recorded, record.key)
    const fitted = fitCommand(body, record.limits, mark)
    const over = this.#bytes.take(textBytes(fitted), clock.now())
    if (over === undefined) return fitted
    const { of, limitBytes, isNew } = over
    if (isNew) recorder.append({ type: 'limit', session, of, limitBytes })
    return withoutTexts(fitted, mark)
  }

  #remember(text: string, command: { readonly command: number; readonly sealed: boolean }): void {
    if (text.length <= SHORT_TEXT || text.length > LARGEST_EVENT_BYTES) return
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

/** Longer reasons say nothing more. */
const REASON_BYTES = 2_000

export function verdictOf(
  decision: Decision,
  key: Uint8Array,
): { effect: Decision['effect']; rule: string; reason?: string } {
  return {
    effect: decision.effect,
    rule: decision.rule,
    ...(decision.effect === 'deny' ? { reason: cutText(hideFound(decision.reason, key), REASON_BYTES) } : {}),
  }
}

type SaidFacts = Record<string, string | number | boolean | null | string[]>

/** Rooms that know a command from before give the same facts again. */
const saidBefore = new WeakMap<Operation['facts'], SaidFacts>()

/** Facts that say nothing are left out of the record: they are the same for every command. */
function saidFacts({ facts }: Operation, key: Uint8Array): SaidFacts {
  const known = saidBefore.get(facts)
  if (known !== undefined) return known
  const said: SaidFacts = {}
  for (const [name, value] of Object.entries(facts)) {
    if (value === '' || value === false || value === null || (Array.isArray(value) && value.length === 0)) continue
    if (Array.isArray(value)) said[name] = value.map(each => hideFound(each, key))
    else said[name] = typeof value === 'string' ? hideFound(value, key) : (value as number | boolean)
  }
  saidBefore.set(facts, said)
  return said
}
