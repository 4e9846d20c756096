// Masks columns of comma-separated values by the names in their first row (RFC 4180). Pure.
import { GateError } from '@gate/shared/errors'
import { type Searches, searchValue } from './detecting.ts'
import { maskDocumentsIn, maskIn, placeOfColumn } from './field-paths.ts'
import { maskedText } from './json-values.ts'
import type { BodyMasker } from './masker.ts'
import type { FieldMasks, PathState } from './paths.ts'
import { Pieces } from './pieces.ts'

/** One row, line breaks in quotes included. */
export const MAX_ROW_BYTES = 1_048_576

const [QUOTE, COMMA, CR, LF] = [0x22, 0x2c, 0x0d, 0x0a]
/** Words, or nothing. */
const title = /^(?:[\p{L}_][\p{L}\p{N} _./()-]*)?$/u
/** What values have as well, which must not pass for names: `email:ada@example.com`. */
const ofAddresses = /[:/#@]/
/** What others put between columns: in names they say that this is not what it claims to be. */
const otherSeparators = /[;\t|]/

function brokenCsv(what: string): GateError {
  return new GateError('ERR_GATE_TARGET_PROTOCOL', `the body is not CSV as in RFC 4180: ${what}`)
}

export interface CsvMasks {
  readonly fields: FieldMasks | undefined
  readonly searches: Searches
  /** Whether the type says that the first row names the columns; undefined when it says nothing. */
  readonly header: boolean | undefined
}

interface Cell {
  /** As it came, quotes included. */
  readonly raw: string
  readonly text: string
}

// Where in a row one is.
const START_OF_CELL = 0
const IN_BARE = 1
const IN_QUOTES = 2
const BEHIND_QUOTE = 3
const BEHIND_CR = 4

export class CsvMasker implements BodyMasker {
  readonly #masks: CsvMasks
  readonly #rows = new Pieces(
    'a row of CSV',
    MAX_ROW_BYTES,
    byte => this.#endsRow(byte),
    row => this.#masked(row),
  )
  #state = START_OF_CELL
  /** The places of the columns, once their names are known. */
  #columns: readonly PathState[] | undefined
  #names: ReadonlySet<string> = new Set()
  #isBehindEmpty = false
  #isSecond = true

  constructor(masks: CsvMasks) {
    this.#masks = masks
  }

  push(bytes: Buffer): Buffer {
    return this.#rows.push(bytes)
  }

  #endsRow(byte: number): boolean {
    this.#state = after(this.#state, byte)
    return byte === LF && this.#state === START_OF_CELL
  }

  end(): Buffer {
    if (this.#state === IN_QUOTES) throw brokenCsv('quotes that are not closed')
    if (this.#state === BEHIND_CR) throw brokenCsv('a carriage return without a line feed')
    return this.#rows.end()
  }

  #masked(row: Buffer): Buffer {
    const line = row.toString('utf8')
    const ending = /\r?\n$/.exec(line)?.[0] ?? ''
    const cells = cellsOf(line.slice(0, line.length - ending.length))
    const { fields } = this.#masks
    if (fields !== undefined && this.#columns === undefined) this.#columns = this.#namesOf(cells, fields)
    else if (fields !== undefined) {
      const isEmpty = cells.length === 1 && cells[0]?.raw === ''
      if (this.#isNames(cells, fields)) throw brokenCsv('a second row of names')
      this.#isBehindEmpty = isEmpty
      this.#isSecond = false
      if (!isEmpty && cells.length !== this.#columns?.length) throw brokenCsv('a row with other columns than the first')
      return this.#shown(row, cells, ending, isEmpty ? [] : this.#columns)
    }
    return this.#shown(row, cells, ending, [])
  }

  /**
   * Whether a row names columns anew: a second table behind an empty row, a second line of titles, or the names of the first row
   * in another order. A value that is no more than called like something masked has others beside it.
   */
  #isNames(cells: readonly Cell[], fields: FieldMasks): boolean {
    const isMasked = ({ text }: Cell): boolean => placeOfColumn(fields, text.trim()).mask >= 0
    if (this.#isBehindEmpty) return cells.some(isMasked)
    const isName = this.#isSecond
      ? ({ text }: Cell): boolean => title.test(text)
      : ({ text }: Cell): boolean => this.#names.has(text.trim().toLowerCase())
    return cells.every(isName) && cells.some((cell, at) => (this.#columns?.[at]?.mask ?? -1) < 0 && isMasked(cell))
  }

  #namesOf(cells: readonly Cell[], fields: FieldMasks): PathState[] {
    this.#names = new Set(cells.map(({ text }) => text.trim().toLowerCase()))
    // Many readers take the blanks around a name away.
    const columns = cells.map(({ text }) => placeOfColumn(fields, text.trim()))
    // Some readers take such a row for something else, and the next one for the names.
    const [{ text: first = '' } = {}] = cells
    if ((cells.length === 1 && first === '') || /^(?:#|sep=)/i.test(first)) throw brokenCsv('a first row without names')
    if (cells.some(({ text }) => otherSeparators.test(text))) throw brokenCsv('columns that no comma separates')
    // A first row of values would pass for names, and all that is to be masked for something else.
    const isName = (at: number): boolean => !ofAddresses.test(cells[at]?.text ?? '')
    if (this.#masks.header !== true && !columns.some(({ mask }, at) => mask >= 0 && isName(at)))
      throw brokenCsv('nothing says whether the first row names the columns, and it names none that is masked')
    return columns
  }

  #shown(row: Buffer, cells: readonly Cell[], ending: string, columns: readonly PathState[] | undefined): Buffer {
    const shown = cells.map((cell, index) => this.#cell(cell, columns?.[index]))
    if (shown.every((text, index) => text === cells[index]?.raw)) return row
    return Buffer.from(shown.join(',') + ending)
  }

  #cell({ raw, text }: Cell, place: PathState | undefined): string {
    const { fields, searches } = this.#masks
    const mask = fields && place && maskIn(fields, place)
    if (mask !== undefined) return quoted(maskedText(mask, text))
    const shown = (fields && place && maskDocumentsIn(fields, place, text)) ?? text
    const bytes = Buffer.from(shown)
    const masked = searchValue(searches, bytes)
    return shown === text && masked === bytes ? raw : quoted(masked.toString('utf8'))
  }
}

/** @throws {GateError} ERR_GATE_TARGET_PROTOCOL where readers could differ about the ends of cells and rows. */
function after(state: number, byte: number): number {
  switch (state) {
    case IN_QUOTES:
      return byte === QUOTE ? BEHIND_QUOTE : IN_QUOTES
    case BEHIND_CR:
      if (byte !== LF) throw brokenCsv('a carriage return without a line feed')
      return START_OF_CELL
    default:
      break
  }
  if (byte === COMMA || byte === LF) return START_OF_CELL
  if (byte === CR) return BEHIND_CR
  if (byte === QUOTE) {
    if (state === IN_BARE) throw brokenCsv('a quote in a cell without quotes')
    return IN_QUOTES
  }
  if (state === BEHIND_QUOTE) throw brokenCsv('something behind closing quotes')
  return IN_BARE
}

/** The cells of a row that `after` let through. */
function cellsOf(line: string): Cell[] {
  const cells: Cell[] = []
  for (let at = 0; at <= line.length; ) {
    if (line[at] !== '"') {
      const comma = line.indexOf(',', at)
      const raw = line.slice(at, comma < 0 ? line.length : comma)
      cells.push({ raw, text: raw })
      at += raw.length + 1
      continue
    }
    let end = line.indexOf('"', at + 1)
    while (line[end + 1] === '"') end = line.indexOf('"', end + 2)
    const raw = line.slice(at, end + 1)
    cells.push({ raw, text: raw.slice(1, -1).replaceAll('""', '"') })
    at = end + 2
  }
  return cells
}

/** Not as the cell was: quotes would tell of commas in what is masked. */
function quoted(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
