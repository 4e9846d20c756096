// A session in the forms of other programs: JSON lines, asciicast, plain text. Pure.
import type { Frame } from './frames.ts'
import { typedFrames } from './frames.ts'
import type { EventView, SessionView } from './session-view.ts'
import { heading, Timeline } from './timeline.ts'
import { utc } from './when.ts'

export const exportFormats = ['jsonl', 'asciicast', 'text'] as const
export type ExportFormat = (typeof exportFormats)[number]

const WIDTH = 120
const HEIGHT = 36

const plain = (text: string): string => text
const noColour = { bold: plain, dim: plain, good: plain, bad: plain, wait: plain }

/** The session in a format; what is empty there ends with a newline too. */
export function exported(format: ExportFormat, session: SessionView, events: readonly EventView[]): string {
  switch (format) {
    case 'jsonl':
      return [{ session }, ...events.map(event => ({ event }))].map(line => `${JSON.stringify(line)}\n`).join('')
    case 'asciicast':
      return asciicast(session, typedFrames(session, events))
    case 'text':
      return plainText(session, events)
  }
}

/** asciicast v2. @see https://docs.asciinema.org/manual/asciicast/v2/ */
export function asciicast(session: SessionView, frames: readonly Frame[]): string {
  const header = {
    version: 2,
    width: WIDTH,
    height: HEIGHT,
    timestamp: Math.floor(session.startedMs / 1000),
    title: heading(session, noColour, utc),
  }
  const output = frames.map(({ timeMs, text }) => JSON.stringify([timeMs / 1000, 'o', text]))
  return `${[JSON.stringify(header), ...output].join('\n')}\n`
}

function plainText(session: SessionView, events: readonly EventView[]): string {
  const timeline = new Timeline(noColour, utc)
  return `${[heading(session, noColour, utc), ...events.map(event => timeline.line(event))].join('\n')}\n`
}
