// What a terminal was sent, made safe to show again: as plain lines, or as sequences that only draw. Pure.
import { printable } from './text.ts'

/** Control sequences: CSI, OSC and other strings, and two-character ones (ECMA-48). */
const sequence = /\u001b\[[0-?]*[ -/]*[@-~]|\u001b[\]PX^_][^\u0007\u001b]*(?:\u0007|\u001b\\)?|\u001b[ -/]*[0-~]?/g
/**
 * Those that only draw. Others set titles and clipboards, print, or ask the terminal, which then types the answer; or they
 * are not known.
 */
const drawing = [
  // Characters, lines, the cursor, tabs, colours, the part of the screen that scrolls, and how the cursor looks.
  /^\u001b\[[0-9;:]*[@A-MPSTXZ`abd-gmrsu]$/,
  /^\u001b\[[0-9]* q$/,
  // Modes of drawing: inserting, the cursor and its keys, wrapping, reversed colours, the other screen, redrawing at once.
  /^\u001b\[(?:4|\?(?:1|5|6|7|12|25|47|104[789]|2026)(?:;(?:1|5|6|7|12|25|47|104[789]|2026))*)[hl]$/,
  /^\u001b(?:[78DEHM=>]|[()*+][0AB])$/,
]
/** The beginning of a sequence at the end of a text. */
const begun = /\u001b(?:\[[0-?]*[ -/]*|[\]PX^_][^\u0007\u001b]*\u001b?|[ -/]*)$/
/** A sequence that is longer is none that draws. */
const MAX_SEQUENCE = 4_096
const c1 = /[\u0080-\u009f]/g

/** The lines that were shown, about: without sequences, and of what was written over only the last. */
export function shownLines(text: string): string[] {
  return text
    .replace(sequence, '')
    .replace(/[\u0007\b]/g, '')
    .split(/\r*\n/)
    .map(line => line.split('\r').findLast(part => part !== '') ?? '')
    .filter(line => line.trim() !== '')
    .map(printable)
}

/** Takes what a terminal was sent, piece by piece, and gives what of it may be sent to another: text, colour, the cursor. */
export class DrawingOnly {
  #begun = ''

  take(text: string): string {
    const whole = (this.#begun + text).replace(c1, '')
    const from = begun.exec(whole)?.index ?? whole.length
    const isCut = whole.length - from <= MAX_SEQUENCE
    this.#begun = isCut ? whole.slice(from) : ''
    return whole.slice(0, from).replace(sequence, found => (drawing.some(each => each.test(found)) ? found : ''))
  }
}
