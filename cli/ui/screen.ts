// What stands on a terminal after frames were written to it: enough of one to look back at a session, and nothing that acts. Pure.
import type { Frame } from '../frames.ts'
import { printable } from '../text.ts'

/** Lines that are kept; what scrolled further up is gone. */
const MAX_LINES = 2_000
const MAX_LINE_LENGTH = 2_000
const TAB = 8

/** Control sequences: CSI, OSC and other strings, and two-character ones (ECMA-48). */
const sequence = /\u001b\[([0-?]*)[ -/]*([@-~])|\u001b[\]PX^_][^\u0007\u001b]*(?:\u0007|\u001b\\)?|\u001b[ -/]*[0-~]?/g

/** The lines after these frames. Colours are left out; the cursor moves within its line, and the screen can be erased. */
export function screenAfter(frames: readonly Frame[]): string[] {
  const lines: string[][] = [[]]
  let column = 0
  const line = (): string[] => lines.at(-1) ?? []
  const put = (text: string): void => {
    for (const character of text) {
      if (character === '\n') {
        lines.push([])
        if (lines.length > MAX_LINES) lines.shift()
      } else if (character === '\r') column = 0
      else if (character === '\b') column = Math.max(0, column - 1)
      else if (character === '\t') column = Math.min(MAX_LINE_LENGTH, (Math.floor(column / TAB) + 1) * TAB)
      else if (column < MAX_LINE_LENGTH) {
        while (line().length < column) line().push(' ')
        line()[column] = printable(character)
        column += 1
      }
    }
  }
  for (const { text } of frames) {
    let at = 0
    for (const match of text.matchAll(sequence)) {
      put(text.slice(at, match.index).replaceAll('\u0007', ''))
      at = match.index + match[0].length
      const count = Number(match[1] === '' ? 0 : match[1])
      if (match[2] === 'K') line().splice(count === 0 ? column : 0, MAX_LINE_LENGTH)
      else if (match[2] === 'J' && count > 0) {
        lines.splice(0, lines.length, [])
        column = 0
      } else if (match[2] === 'G') column = Math.max(0, count - 1)
      else if (match[2] === 'C') column = Math.min(MAX_LINE_LENGTH, column + Math.max(1, count))
      else if (match[2] === 'D') column = Math.max(0, column - Math.max(1, count))
    }
    put(text.slice(at).replaceAll('\u0007', ''))
  }
  return lines.map(characters => characters.join('').trimEnd())
}
