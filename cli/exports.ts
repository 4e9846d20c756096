// A session in the forms of other programs: JSON lines, asciicast, plain text. Pure.
import { type Frame, terminalFrames, typedFrames } from './frames.ts'
import type { EventView, SessionView } from './session-view.ts'
import { DrawingOnly, RESTORED } from './terminal-text.ts'
import { jsonLine } from './text.ts'
import { heading, Timeline } from './timeline.ts'
import { utc } from './when.ts'

export const exportFormats = ['jsonl', 'asciicast', 'text'] as const
export type ExportFormat = (typeof exportFormats)[number]

const WIDTH = 120
const HEIGHT = 36

const plain = (text: string): string => text
const noColour = { bold: plain, dim: plain, good: plain, bad: plain, wait: plain }

/** The session in a format; what is empty there ends with a newline too. A cast is of the terminal of `command`, if one is given. */
export function exported(
  format: ExportFormat,
  session: SessionView,
  events: readonly EventView[],
  command?: number,
): string {
  switch (format) {
    case 'jsonl':
      return [{ session }, ...events.map(event => ({ event }))].map(line => `${jsonLine(line)}\n`).join('')
    case 'asciicast':
      if (command === undefined) return asciicast(session, typedFrames(session, events))
      return asciicast(session, drawingOnly(terminalFrames(session, events, command)))
    case 'text':
      return plainText(session, events)
  }
}

/** Players write a cast to the terminal as it is. */
function drawingOnly(frames: readonly Frame[]): Frame[] {
  const drawing = new DrawingOnly()
  const drawn = frames.map(frame => ({ ...frame, text: drawing.take(frame.text).replace(directions, '') }))
  const last = drawn.at(-1)
  return last === undefined ? [] : [...drawn, { timeMs: last.timeMs, text: RESTORED }]
}

/** Marks that make text run the other way. */
const directions = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g

/** asciicast v2. @see https://docs.asciinema.org/manual/asciicast/v2/ */
export function asciicast(session: SessionView, frames: readonly Frame[]): string {
  const [first] = frames
  const header = {
    version: 2,
    width: first?.size?.columns ?? WIDTH,
    height: first?.size?.rows ?? HEIGHT,
    timestamp: Math.floor(session.startedMs / 1000),
    title: heading(session, noColour, utc),
  }
  const output = frames.flatMap(({ timeMs, text, size }, index) => [
    ...(size === undefined || index === 0 ? [] : [[timeMs / 1000, 'r', `${size.columns}x${size.rows}`]]),
    ...(text === '' ? [] : [[timeMs / 1000, 'o', text]]),
  ])
  return `${[header, ...output].map(line => JSON.stringify(line)).join('\n')}\n`
}

function plainText(session: SessionView, events: readonly EventView[]): string {
  const timeline = new Timeline(noColour, utc)
  return `${[heading(session, noColour, utc), ...events.map(event => timeline.line(event))].join('\n')}\n`
}
