// Telephone numbers: international, in the common national forms, and any plausible digits after a word such as "tel". Pure.
import {
  type Bytes,
  byteAt,
  characterTable,
  code,
  type Detector,
  DIGITS,
  digitRun,
  isAlphanumeric,
  isDigit,
  isIn,
  type Span,
  textOf,
  wordsBefore,
} from './bytes.ts'
import { isInternational, isNational, isPlausible, type Written } from './dialling.ts'

const PLUS = code('+')
const OPEN = code('(')
const CLOSE = code(')')
const MOST_DIGITS = 17
const MOST_GROUPS = 8

interface Read extends Written {
  /** Where each group ends. */
  readonly ends: readonly number[]
}

const separators = characterTable(' -./')

/** The characters between two groups of one number: a separator, a parenthesis, or both. Gives where they end. */
function separatorEnd(bytes: Bytes, at: number): number {
  let end = at
  if (byteAt(bytes, end) === CLOSE) end += 1
  if (isIn(separators, byteAt(bytes, end))) end += 1
  if (byteAt(bytes, end) === OPEN && isDigit(byteAt(bytes, end + 1))) end += 1
  return end > at && isDigit(byteAt(bytes, end)) ? end : at
}

/** Reads groups of digits; stops before the group that would be too much. */
function read(bytes: Bytes, start: number): Read {
  const parenthesis = byteAt(bytes, start) === OPEN
  let digits = ''
  const groups: number[] = []
  const between: string[] = []
  const ends: number[] = []
  for (let at = parenthesis ? start + 1 : start; groups.length < MOST_GROUPS; ) {
    const run = digitRun(bytes, at, MOST_DIGITS + 1)
    if (run === 0 || digits.length + run > MOST_DIGITS) break
    digits += textOf(bytes, at, at + run)
    groups.push(run)
    ends.push(at + run)
    const next = separatorEnd(bytes, at + run)
    if (next === at + run) break
    between.push(
      textOf(bytes, at + run, next)
        .replace(')', '')
        .replace('(', ''),
    )
    at = next
  }
  return { digits, groups, separators: between.slice(0, Math.max(0, groups.length - 1)), parenthesis, ends }
}

/** The first `count` groups only. */
function shorter({ digits, groups, separators: between, parenthesis }: Read, count: number): Written {
  const kept = groups.slice(0, count)
  const length = kept.reduce((sum, group) => sum + group, 0)
  return { digits: digits.slice(0, length), groups: kept, separators: between.slice(0, count - 1), parenthesis }
}

/** Where something longer goes on: a word, a decimal, a time, a number with dashes. An extension (`x12`) may follow. */
function goesOn(bytes: Bytes, end: number): boolean {
  const byte = byteAt(bytes, end)
  const next = byteAt(bytes, end + 1)
  if (byte === code('x') && isDigit(next)) return false
  if (isAlphanumeric(byte) || byte === code('_')) return true
  if (byte === code('.') || byte === code(':')) return isDigit(next)
  return (byte === code('-') || byte === code('/')) && isAlphanumeric(next)
}

/** The longest number that begins as read and is one by `accepts`. */
function longest(bytes: Bytes, start: number, groups: Read, accepts: (written: Written) => boolean): Span | undefined {
  for (let count = groups.groups.length; count > 0; count -= 1) {
    const end = groups.ends[count - 1] ?? start
    if (!goesOn(bytes, end) && accepts(shorter(groups, count))) return { start, end }
  }
  return undefined
}

/** What says that digits are something else, however near a telephone is: "phone order 1234567". */
const otherThings = new Set(
  'id ids order orders invoice ticket case ref reference serial sku imei account code version build port extension ext at on uid pid'.split(
    ' ',
  ),
)
const telephoneWords = new Set(
  'tel telephone telephones telefon telefono telefone phones mobile mobil mobiltelefon mob cell cellular fax whatsapp msisdn sms handy tlf tlfn gsm call dial ph landline hotline portable'.split(
    ' ',
  ),
)
const saysTelephone = (word: string): boolean =>
  telephoneWords.has(word) ||
  (word.includes('phone') && word !== 'iphone') ||
  (word.length < 12 && /(?:mobile|tel|fax)$/.test(word) && !/(?:hotel|motel|intel|cartel)$/.test(word))

function besideTelephone(bytes: Bytes, at: number): boolean {
  for (const word of wordsBefore(bytes, at)) {
    if (otherThings.has(word)) return false
    if (saysTelephone(word)) return true
  }
  return false
}

/** Whether a number can begin here: not in the middle of a word, a decimal, a time, a date, a longer number, or a price. */
function begins(bytes: Bytes, at: number): boolean {
  const before = byteAt(bytes, at - 1)
  if (isAlphanumeric(before) || before === PLUS || before === code('_')) return false
  if (before === code('$') || before === code('#')) return false
  const joined = before === code('-') || before === code('.') || before === code('/') || before === code(':')
  return !(joined && isDigit(byteAt(bytes, at - 2))) && !(before === code('-') && isAlphanumeric(byteAt(bytes, at - 2)))
}

/** After another group of four the digits are one of many, as in an account's number, not the beginning of something. */
function inRow(bytes: Bytes, at: number): boolean {
  if (byteAt(bytes, at - 1) !== 0x20) return false
  return [2, 3, 4, 5].every(back => isDigit(byteAt(bytes, at - back)))
}

function findInternational(bytes: Bytes, at: number): Span | undefined {
  const before = byteAt(bytes, at - 1)
  if (isAlphanumeric(before) || before === PLUS) return undefined
  const first = at + 1
  const open = byteAt(bytes, first) === OPEN
  if (!isDigit(byteAt(bytes, open ? first + 1 : first))) return undefined
  const groups = read(bytes, first)
  return longest(bytes, at, groups, ({ digits }) => isInternational(digits))
}

/**
 * Shorter than any number, or a date: most digits in a text are, and are given up here. So are those in one run, or with
 * a first group that no country writes, unless a word may speak for them.
 */
function firstLook(bytes: Bytes, at: number): 'nothing' | 'national' | 'named' {
  const open = byteAt(bytes, at) === OPEN
  const from = open ? at + 1 : at
  const run = digitRun(bytes, from, MOST_DIGITS + 1)
  const end = from + run
  const first = byteAt(bytes, from)
  if (run > MOST_DIGITS || (open && byteAt(bytes, end) !== CLOSE)) return 'nothing'
  if (run === 4 && first !== 0x30 && digitRun(bytes, end + 1, 3) === 2 && byteAt(bytes, end) !== 0x20) return 'nothing'
  let digits = run
  let next = separatorEnd(bytes, end)
  if (next === end) return run < 7 ? 'nothing' : 'named'
  for (let group = end; digits < 7; group = next, next = separatorEnd(bytes, group)) {
    if (next === group) return 'nothing'
    const more = digitRun(bytes, next, 7)
    digits += more
    next += more
  }
  return open || first === 0x30 || run === 3 || (run === 1 && first === 0x31) ? 'national' : 'named'
}

function findNational(bytes: Bytes, at: number): Span | undefined {
  const look = firstLook(bytes, at)
  if (look === 'nothing' || !begins(bytes, at)) return undefined
  const named = besideTelephone(bytes, at)
  if (!named && (look === 'named' || inRow(bytes, at))) return undefined
  const groups = read(bytes, at)
  const found = look === 'named' || inRow(bytes, at) ? undefined : longest(bytes, at, groups, isNational)
  return found === undefined && named ? longest(bytes, at, groups, isPlausible) : found
}

export const phone: Detector = {
  triggers: `+(${DIGITS}`,
  longNumbers: true,
  find: (bytes, at) => (byteAt(bytes, at) === PLUS ? findInternational(bytes, at) : findNational(bytes, at)),
}
