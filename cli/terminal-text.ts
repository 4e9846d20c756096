// What a terminal was sent, made safe to show again: as plain lines, or as sequences that only draw. Pure.
import { printable } from './text.ts'

/**
 * Control sequences (ECMA-48): CSI; OSC, which BEL may end; other strings; and two-character ones. CAN and SUB end each of
 * them, wherever they stand.
 */
const sequence =
  /\u001b\[[0-?]*[ -/]*[@-~\u0018\u001a]|\u001b\][^\u0007\u0018\u001a\u001b]*(?:[\u0007\u0018\u001a]|\u001b\\)?|\u001b[PX^_][^\u0018\u001a\u001b]*(?:[\u0018\u001a]|\u001b\\)?|\u001b[ -/]*[0-~]?/g
/**
 * Those that only draw. Others set titles and clipboards, print, or ask the terminal, which then types the answer; or they
 * are not known.
 */
const drawing = [
  // Characters, lines, the cursor, tabs, colours, the part of the screen that scrolls, and how the cursor looks.
  /^\u001b\[[0-9;:]*[@-IK-MPSTXZ`abd-gmrsu]$/,
  /^\u001b\[[0-2]?J$/,
  /^\u001b\[[0-9]* q$/,
  // Modes of drawing: inserting, the cursor and its keys, wrapping, reversed colours, the other screen, redrawing at once.
  /^\u001b\[(?:4|\?(?:1|5|6|7|12|25|47|104[789]|2026)(?:;(?:1|5|6|7|12|25|47|104[789]|2026))*)[hl]$/,
  /^\u001b(?:[78DEHM=>]|[()*+][0AB])$/,
]
/** Of these: what a terminal does so many times over. */
const repeated = /^\u001b\[[0-9;:]*[@ILMPSTXZb]$/
/** The beginning of a sequence at the end of a text. */
const begun =
  /\u001b(?:\[[0-?]*[ -/]*|\][^\u0007\u0018\u001a\u001b]*\u001b?|[PX^_][^\u0018\u001a\u001b]*\u001b?|[ -/]*)$/
/** What is longer is none that draws, and of it only the beginning is kept, so that its end is found. */
const MAX_SEQUENCE = 4_096
const INTRODUCER = 2
/** Everything that moves nothing: answerbacks, ends of strings that are none, eight-bit controls. */
const controls = /[\u0000-\u0006\u0010-\u001a\u001c-\u001f\u007f-\u009f]/g
/** Larger counts do nothing more on any screen. */
const MAX_COUNT = 1_000

/** What a terminal is left in after a cast: the first screen, a cursor, plain letters and keys. */
export const RESTORED =
  '\u001b[?1049l\u001b[?25h\u001b[?1l\u001b[?5l\u001b[?7h\u001b[4l\u001b>\u001b(B\u000f\u001b[r\u001b[0m'

/** The lines that were shown, about: without sequences, and as they stood after they were written over. */
export function shownLines(text: string): string[] {
  return text
    .replace(sequence, '')
    .replace(/[\u0007\b]/g, '')
    .split('\n')
    .map(line => line.split('\r').reduce((shown, part) => part + shown.slice(part.length), ''))
    .filter(line => line.trim() !== '')
    .map(printable)
}

/** Takes what a terminal was sent, piece by piece, and gives what of it may be sent to another: text, colour, the cursor. */
export class DrawingOnly {
  #begun = ''

  take(text: string): string {
    const whole = this.#begun + text
    const from = begun.exec(whole)?.index ?? whole.length
    // It goes on in the next piece.
    const rest = whole.slice(from)
    this.#begun = rest.length <= MAX_SEQUENCE ? rest : rest.slice(0, INTRODUCER)
    return whole
      .slice(0, from)
      .replace(sequence, found => (drawing.some(each => each.test(found)) ? limited(found) : ''))
      .replace(controls, '')
  }
}

function limited(found: string): string {
  if (!repeated.test(found)) return found
  return found.replace(/\d+/g, count => String(Math.min(Number(count), MAX_COUNT)))
}
