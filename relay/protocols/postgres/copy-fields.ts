// Values in the text and CSV forms of COPY: where each ends, and what stands in its place when it is masked. Pure.
import type { CopyForm } from './analysis/copy.ts'
import type { ValueMask } from './mask-values.ts'

export interface FieldForm {
  readonly delimiterByte: number
  /** Where this byte is nowhere, every delimiter ends a field. */
  readonly specialByte: number
  /** Where the field that begins at `begin` ends: at a delimiter, or at `end`; undefined when it does not. */
  end(row: Buffer, begin: number, end: number): number | undefined
  /** What stands in place of the field between `begin` and `end`, of the column of that name; undefined when it stays. */
  instead(row: Buffer, begin: number, end: number, mask: ValueMask, name: string | undefined): Buffer | undefined
}

type Text = Extract<CopyForm, { kind: 'text' }>
type Csv = Extract<CopyForm, { kind: 'csv' }>

const BACKSLASH = 0x5c
const CAPITAL_N = 0x4e
const NEWLINE = 0x0a
const CARRIAGE_RETURN = 0x0d
/** The end of data, when it stands alone in a row. */
const END_OF_DATA = Buffer.from('\\.')

/** What a value becomes; the value itself when nothing of it is hidden. */
function masked(value: Buffer, mask: ValueMask): Buffer | null {
  return 'constant' in mask ? mask.constant : mask.compute(value)
}

/** Letters after a backslash: CopyAttributeOutText in src/backend/commands/copyto.c. */
const letters: ReadonlyMap<number, number> = new Map(
  Object.entries({ b: 0x08, f: 0x0c, n: NEWLINE, r: CARRIAGE_RETURN, t: 0x09, v: 0x0b }).map(
    ([letter, byte]) => [letter.charCodeAt(0), byte] as const,
  ),
)
const escapes: ReadonlyMap<number, number> = new Map([...letters].map(([letter, byte]) => [byte, letter]))

/** The default; also for the binary form, which has no fields. */
export function textForm(form: CopyForm): FieldForm {
  const { delimiterByte, null: word } =
    form.kind === 'text' ? form : ({ delimiterByte: 0x09, null: '\\N' } satisfies Partial<Text>)
  const nothing = Buffer.from(word)
  // Only `\N` is no value's own text. With another word for NULL, what is left as it is would tell which value it is.
  const isCertain = word === '\\N'
  /** What takes the place of every value of a column, by its mask: a COPY has as many as it has columns. */
  const constants = new Map<ValueMask, Buffer>()
  const constant = (mask: ValueMask, value: Buffer | null): Buffer => {
    const field = value === null ? nothing : escaped(value, delimiterByte)
    constants.set(mask, field)
    return field
  }
  return {
    delimiterByte,
    specialByte: BACKSLASH,
    end: (row, begin, end) => {
      for (let at = begin; at < end; at += 1) {
        if (row[at] === delimiterByte) return at
        if (row[at] === BACKSLASH) at += 1
      }
      return end
    },
    instead: (row, begin, end, mask) => {
      if (isCertain && end - begin === 2 && row[begin] === BACKSLASH && row[begin + 1] === CAPITAL_N) return undefined
      if ('constant' in mask) return constants.get(mask) ?? constant(mask, mask.constant)
      const field = row.subarray(begin, end)
      const value = field.includes(BACKSLASH) ? unescaped(field) : field
      const instead = mask.compute(value)
      if (instead === value) return undefined
      return instead === null ? nothing : escaped(instead, delimiterByte)
    },
  }
}

function unescaped(field: Buffer): Buffer {
  const value = Buffer.allocUnsafe(field.length)
  let length = 0
  for (let at = 0; at < field.length; at += 1) {
    const byte = field[at] ?? 0
    const escapedByte = byte === BACKSLASH ? field[at + 1] : undefined
    if (escapedByte !== undefined) at += 1
    value[length] = escapedByte === undefined ? byte : (letters.get(escapedByte) ?? escapedByte)
    length += 1
  }
  return value.subarray(0, length)
}

function escaped(value: Buffer, delimiterByte: number): Buffer {
  const field = Buffer.allocUnsafe(value.length * 2)
  let length = 0
  for (const byte of value) {
    const letter = escapes.get(byte) ?? (byte === BACKSLASH || byte === delimiterByte ? byte : undefined)
    if (letter !== undefined) {
      field[length] = BACKSLASH
      length += 1
    }
    field[length] = letter ?? byte
    length += 1
  }
  return field.subarray(0, length)
}

export function csvForm(form: Csv): FieldForm {
  const nothing = Buffer.from(form.null)
  return {
    delimiterByte: form.delimiterByte,
    specialByte: form.quoteByte,
    end: (row, begin, end) => csvEnd(row, begin, end, form),
    instead: (row, begin, end, mask, name) => {
      const field = row.subarray(begin, end)
      const quoted = field.length > 1 && field[0] === form.quoteByte
      // The server quotes values that look like the word for NULL.
      if (!quoted && field.equals(nothing)) return undefined
      const value = quoted ? unquoted(field, form) : field
      const instead = masked(value, mask)
      if (instead === value) return undefined
      if (instead === null) return nothing
      // As the server would: to keep the quotes of the clear value would tell that it needed them.
      const isForced = form.forceQuote === 'all' || (name !== undefined && form.forceQuote.includes(name))
      return isForced || needsQuotes(instead, nothing, form) ? quotedValue(instead, form) : instead
    },
  }
}

function csvEnd(row: Buffer, begin: number, end: number, form: Csv): number | undefined {
  let at = begin
  if (at < end && row[at] === form.quoteByte) {
    for (at += 1; ; at += 1) {
      if (at >= end) return undefined
      if (isEscape(row, at, end, form)) at += 1
      else if (row[at] === form.quoteByte) break
    }
    at += 1
    return at === end || row[at] === form.delimiterByte ? at : undefined
  }
  return plainEnd(row, at, end, form.delimiterByte)
}

/** Where a field ends at the next delimiter, or at `end`. */
export function plainEnd(row: Buffer, begin: number, end: number, delimiterByte: number): number {
  let at = begin
  while (at < end && row[at] !== delimiterByte) at += 1
  return at
}

/** An escape in front of a quote or of an escape: CopyAttributeOutCSV in src/backend/commands/copyto.c. */
function isEscape(row: Buffer, at: number, end: number, { quoteByte, escapeByte }: Csv): boolean {
  return row[at] === escapeByte && at + 1 < end && (row[at + 1] === quoteByte || row[at + 1] === escapeByte)
}

function unquoted(field: Buffer, form: Csv): Buffer {
  const value = Buffer.allocUnsafe(field.length)
  const end = field.length - 1
  let length = 0
  for (let at = 1; at < end; at += 1) {
    if (isEscape(field, at, end, form)) at += 1
    value[length] = field[at] ?? 0
    length += 1
  }
  return value.subarray(0, length)
}

function needsQuotes(value: Buffer, nothing: Buffer, { delimiterByte, quoteByte }: Csv): boolean {
  const isSpecial = [delimiterByte, quoteByte, NEWLINE, CARRIAGE_RETURN].some(byte => value.includes(byte))
  return isSpecial || value.equals(nothing) || value.equals(END_OF_DATA)
}

function quotedValue(value: Buffer, { quoteByte, escapeByte }: Csv): Buffer {
  const field = Buffer.allocUnsafe(value.length * 2 + 2)
  field[0] = quoteByte
  let length = 1
  for (const byte of value) {
    if (byte === quoteByte || byte === escapeByte) {
      field[length] = escapeByte
      length += 1
    }
    field[length] = byte
    length += 1
  }
  field[length] = quoteByte
  return field.subarray(0, length + 1)
}
