// Text for terminals: nothing that comes from elsewhere can move the cursor, change direction or hide.
import type { CliConfig } from './config.ts'

/** C0 and C1 controls, bidirectional overrides and isolates, zero-width and other invisible characters, also fillers and tags. */
const unsafe =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u115f\u1160\u3164\ufeff\uffa0\ufff9-\ufffb\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]|\u034f|\u17b4|\u17b5/gu

/** The text with every character that could deceive shown as its code point. Tabs and line feeds stay. */
export function printable(text: string): string {
  return text.replace(unsafe, character => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`)
}

/** JSON on one line; what terminals could take for a control or a change of direction is escaped in it. */
export function jsonLine(value: unknown): string {
  return JSON.stringify(value).replace(
    /[\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
    character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** The same on one line of at most `limit` characters. */
export function oneLine(text: string, limit: number): string {
  const line = printable(text).replace(/\s+/g, ' ').trim()
  return line.length <= limit ? line : `${line.slice(0, limit - 1)}…`
}

export interface Style {
  bold(text: string): string
  dim(text: string): string
  good(text: string): string
  bad(text: string): string
  wait(text: string): string
}

const plain = (text: string): string => text
const ansi =
  (code: number) =>
  (text: string): string =>
    `\u001b[${code}m${text}\u001b[0m`

export function createStyle({ color }: CliConfig): Style {
  if (!color) return { bold: plain, dim: plain, good: plain, bad: plain, wait: plain }
  return { bold: ansi(1), dim: ansi(2), good: ansi(32), bad: ansi(31), wait: ansi(33) }
}

/** Rows as columns of equal width; the last column is not padded. */
export function table(header: readonly string[], rows: readonly (readonly string[])[], style: Style): string {
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map(row => (row[column] ?? '').length)))
  const line = (cells: readonly string[], paint: (text: string) => string): string =>
    cells
      .map((cell, column) => (column === cells.length - 1 ? paint(cell) : paint(cell.padEnd(widths[column] ?? 0))))
      .join('  ')
      .trimEnd()
  return [line(header, style.dim), ...rows.map(row => line(row, plain))].join('\n')
}

/** How long ago or ahead, in the largest fitting unit: 40s, 12m, 3h, 5d. */
export function span(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 120) return `${seconds}s`
  if (seconds < 7_200) return `${Math.round(seconds / 60)}m`
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)}h`
  return `${Math.round(seconds / 86_400)}d`
}

/** East Asian wide and full-width characters, and emoji, take two columns. Approximate: a terminal may disagree. */
const wide =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u

/** The text in pieces of at most so many columns; never empty. */
export function wrapped(text: string, columns: number): string[] {
  const pieces: string[] = []
  let piece = ''
  let width = 0
  for (const character of text) {
    const size = wide.test(character) ? 2 : 1
    if (width + size > columns) {
      pieces.push(piece)
      piece = ''
      width = 0
    }
    piece += character
    width += size
  }
  return [...pieces, piece]
}
