// What was done in sessions, step by step: each command with what was decided, who approved it, and what came of it. Pure.
import { counted } from '@gate/shared/counted'
import type { EventView, SessionView } from './session-view.ts'
import { nameOf } from './session-view.ts'
import { oneLine, printable, type Style } from './text.ts'
import { peopleOf, Texts, tookText, valuesOf } from './timeline.ts'

const MAX_TEXT_LENGTH = 2_000
const MAX_VALUES_LENGTH = 300

export interface Step {
  readonly timeMs: number
  readonly session: string
  readonly task: string | null
  readonly who: string
  readonly target: string
  readonly command: number
  readonly text: string
  readonly values: string
  readonly prepared: boolean
  /** What it came to: `allow`, `deny` or `hold`. */
  readonly effect: string
  readonly rule: string
  readonly refusedBecause: string | undefined
  /** How it passed a hold, or did not. */
  readonly request: string | undefined
  readonly people: string | undefined
  readonly grant: string | undefined
  readonly brokeGlass: boolean
  readonly rows: number | undefined
  /** Until the first byte of the answer, and until its last. */
  readonly firstByteMs: number | undefined
  readonly durationMs: number | undefined
  /** The target's own word; undefined when none came. */
  readonly status: string | undefined
  readonly failed: boolean
}

type Changing = { -readonly [Key in keyof Step]: Step[Key] }

/** The steps of one session, in order. */
export function stepsOf(session: SessionView, events: readonly EventView[]): Step[] {
  const texts = new Texts()
  const steps = new Map<number, Changing>()
  const approvals = new Map<string, string>()
  for (const { timeMs, body } of events) {
    const step = body.command === undefined ? undefined : steps.get(body.command)
    if (body.type === 'command' && body.command !== undefined) {
      const final = body.settled ?? body.decision
      steps.set(body.command, {
        timeMs,
        session: session.id,
        task: session.task,
        who: nameOf(session.subject),
        target: session.target,
        command: body.command,
        text: texts.of(body),
        values: valuesOf(body),
        prepared: body.prepared === true,
        effect: final?.effect ?? 'deny',
        rule: final?.rule ?? '',
        refusedBecause: final?.effect === 'deny' ? final.reason : undefined,
        request: body.request,
        people: body.request === undefined ? undefined : approvals.get(body.request),
        grant: body.grant,
        brokeGlass: body.passedByBreakingGlass === true,
        rows: undefined,
        firstByteMs: undefined,
        durationMs: undefined,
        status: undefined,
        failed: false,
      })
    } else if (body.type === 'approval' && body.request !== undefined) {
      const by = peopleOf(body)
      const said = `${body.outcome}${by === '' ? '' : ` by ${by}`}`
      approvals.set(body.request, said)
      // People were asked about rows that a command had written: its event came before.
      for (const each of steps.values()) if (each.request === body.request) each.people = said
    } else if (step !== undefined && body.type === 'rows') {
      step.request = body.request ?? step.request
      if (body.request !== undefined) step.people = approvals.get(body.request) ?? step.people
      if (body.decision?.effect === 'deny') {
        step.effect = 'deny'
        step.rule = body.rule ?? step.rule
        step.refusedBecause = body.decision.reason
      }
    } else if (step !== undefined && body.type === 'outcome') {
      step.status = body.status
      step.rows = body.rows
      step.firstByteMs = body.firstByteMs
      step.durationMs = body.durationMs
      step.failed = isSqlState(body.status ?? '')
    }
  }
  return [...steps.values()]
}

/** Five letters and digits are an SQLSTATE; of command tags none has five with a digit. */
function isSqlState(status: string): boolean {
  return /^(?=.*\d)[0-9A-Z]{5}$/.test(status)
}

export function byTime(steps: readonly Step[]): Step[] {
  return [...steps].sort((a, b) => a.timeMs - b.timeMs)
}

/** What came of a step, in a few words. */
export function result(step: Step): string {
  const parts = [
    step.prepared ? 'prepared only' : '',
    step.effect === 'deny' ? `refused by ${step.rule}: ${step.refusedBecause ?? ''}` : '',
    step.people === undefined ? '' : `${step.people}${step.request === undefined ? '' : ` (${step.request})`}`,
    step.grant === undefined ? '' : `passed with grant ${step.grant}`,
    step.brokeGlass ? 'not approved: the glass was broken' : '',
    step.failed ? `error ${step.status}` : (step.status ?? ''),
    step.rows === undefined ? '' : counted(step.rows, 'row'),
    tookText(step),
  ]
  const said = parts.filter(Boolean).join(', ')
  return said === '' ? 'no outcome is recorded' : said
}

/** One step in two lines for a terminal. */
export function stepText(step: Step, number: number, style: Style, time: (ms: number) => string): string {
  const good = step.effect === 'allow' && !step.failed
  const mark = good ? style.good('✓') : step.effect === 'hold' ? style.wait('…') : style.bad('✗')
  const where = [step.task ?? '', step.target, step.who, `${step.session}#${step.command}`].filter(Boolean).join(' ')
  const values = step.values === '' ? '' : style.dim(` [${oneLine(step.values, MAX_VALUES_LENGTH)}]`)
  return [
    `${String(number).padStart(3)} ${style.dim(`${time(step.timeMs)} ${printable(where)}`)}`,
    `    ${mark} ${oneLine(step.text, MAX_TEXT_LENGTH)}${values}`,
    `      ${style.dim(`→ ${oneLine(result(step), MAX_TEXT_LENGTH)}`)}`,
  ].join('\n')
}
