// A session as frames: what stood on a screen, and when. Terminal output is frames as it is; of statements a terminal is made. Pure.
import type { EventView, SessionView } from './session-view.ts'
import { printable } from './text.ts'
import { heading, Texts, Timeline, valuesOf } from './timeline.ts'
import { utc, utcTime } from './when.ts'

/** In characters. */
export interface Size {
  readonly columns: number
  readonly rows: number
}

/** What is written to a terminal at a time, in milliseconds after the session's beginning. */
export interface Frame {
  readonly timeMs: number
  readonly text: string
  /** The size that it has from here on, where that changes. */
  readonly size?: Size
}

/** A statement is typed out before the moment it came, at this pace, and within this time. */
const TYPING_MS_PER_CHARACTER = 30
const MAX_TYPING_MS = 1_500
const CHARACTERS_PER_FRAME = 4
/** Of longer statements the rest appears at once. */
const MAX_TYPED_CHARACTERS = 2_000
const MAX_SHOWN_CHARACTERS = 16_000

const plain = (text: string): string => text
const noColour = { bold: plain, dim: plain, good: plain, bad: plain, wait: plain }

/** Lines end with CR and LF: on a terminal LF alone goes down and not back. */
const lines = (text: string): string => `${text.replace(/\r?\n/g, '\r\n')}\r\n`

/**
 * The frames of a session: one for each event, in a way that a person can step through.
 * Nothing recorded can do anything to a terminal but show itself.
 */
export function stepFrames(session: SessionView, events: readonly EventView[]): Frame[] {
  const timeline = new Timeline(noColour, utcTime)
  return [
    { timeMs: 0, text: lines(heading(session, noColour, utc)) },
    ...events.map(event => ({
      timeMs: Math.max(0, event.timeMs - session.startedMs),
      text: lines(timeline.line(event)),
    })),
  ]
}

/** The commands of a session that showed something on a terminal, in the order in which they began. */
export function terminalsOf(events: readonly EventView[]): number[] {
  const commands = events.flatMap(({ body: { type, command } }) =>
    type === 'terminal' && command !== undefined ? [command] : [],
  )
  return [...new Set(commands)]
}

/** The frames of a terminal, as it was. That not all of it was recorded is said once, where that begins. */
export function terminalFrames(session: SessionView, events: readonly EventView[], command: number): Frame[] {
  let lastMs = 0
  let isCut = false
  return events.flatMap((event): Frame[] => {
    if (event.body.command !== command) return []
    const frame = terminalFrame(event)
    if (frame === undefined) return []
    // Time never goes back, whatever the clock of the relay did.
    lastMs = Math.max(lastMs, event.timeMs - session.startedMs)
    const mark = event.body.cutFrom !== undefined && !isCut ? NOT_ALL : ''
    isCut ||= event.body.cutFrom !== undefined
    return [{ ...frame, text: `${frame.text}${mark}`, timeMs: lastMs }]
  })
}

/** Ends what has begun, so that nothing hides it. */
const NOT_ALL = '\u0018\u001b[0m\u001b(B\u000f\r\n[gate: from here on not all is recorded]\r\n'

/** What an event did to a terminal, at its own time; undefined when nothing. */
export function terminalFrame({ timeMs, body }: EventView): Frame | undefined {
  const { columns, rows, text = '' } = body
  if (body.type === 'terminal' && columns !== undefined && rows !== undefined)
    return { timeMs, text: '', size: { columns, rows } }
  return body.type === 'output' ? { timeMs, text } : undefined
}

/** The frames of a session as if somebody had typed it: prompt, statement, what came of it. */
export function typedFrames(session: SessionView, events: readonly EventView[]): Frame[] {
  const timeline = new Timeline(noColour, utcTime)
  const texts = new Texts()
  const frames: Frame[] = []
  const put = (timeMs: number, text: string): void => {
    // Time never goes back, whatever the clock of the relay did.
    frames.push({ timeMs: Math.max(timeMs, frames.at(-1)?.timeMs ?? 0), text })
  }
  put(0, lines(heading(session, noColour, utc)))
  for (const event of events) {
    const { body } = event
    const timeMs = Math.max(0, event.timeMs - session.startedMs)
    const line = timeline.line(event)
    if (body.type !== 'command') {
      put(timeMs, lines(line))
      continue
    }
    const text = printable(texts.of(body)).slice(0, MAX_SHOWN_CHARACTERS)
    const values = valuesOf(body)
    type(put, frames.at(-1)?.timeMs ?? 0, timeMs, `${session.target}=> `, `${text};`)
    const final = body.settled ?? body.decision
    put(timeMs, '\r\n')
    if (values !== '') put(timeMs, lines(`-- values: ${printable(values).slice(0, MAX_SHOWN_CHARACTERS)}`))
    if (final?.effect !== 'allow' || body.passedByBreakingGlass === true || body.grant !== undefined)
      put(timeMs, lines(line))
  }
  return frames
}

function type(
  put: (timeMs: number, text: string) => void,
  afterMs: number,
  untilMs: number,
  prompt: string,
  text: string,
): void {
  const characters = [...text.slice(0, MAX_TYPED_CHARACTERS)]
  const rest = text.slice(characters.join('').length)
  const takesMs = Math.min(MAX_TYPING_MS, characters.length * TYPING_MS_PER_CHARACTER, Math.max(0, untilMs - afterMs))
  const beganMs = untilMs - takesMs
  put(beganMs, prompt)
  for (let at = 0; at < characters.length; at += CHARACTERS_PER_FRAME) {
    const typed = characters.slice(at, at + CHARACTERS_PER_FRAME).join('')
    put(Math.round(beganMs + (takesMs * at) / characters.length), typed.replace(/\n/g, '\r\n'))
  }
  if (rest !== '') put(untilMs, rest.replace(/\n/g, '\r\n'))
}
