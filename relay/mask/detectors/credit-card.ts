// Card numbers: known prefixes and lengths, Luhn's check digit, in one run or in groups. Pure.
import {
  type Bytes,
  byteAt,
  code,
  type Detector,
  DIGITS,
  digitRun,
  isAlphanumeric,
  isDigit,
  type Span,
} from './bytes.ts'

const SHORTEST = 13
const LONGEST = 19
const DOT = code('.')

/**
 * The first six digits from and to, and the lengths that are issued. Not Visa's old 13: those are the article numbers (EAN)
 * of Germany and Japan today. @see ISO/IEC 7812-1
 */
const brands: readonly (readonly [from: number, to: number, lengths: readonly number[]])[] = [
  [400_000, 499_999, [16, 19]], // Visa
  [510_000, 559_999, [16]], // Mastercard
  [222_100, 272_099, [16]], // Mastercard
  [340_000, 349_999, [15]], // American Express
  [370_000, 379_999, [15]], // American Express
  [601_100, 601_199, [16, 17, 18, 19]], // Discover
  [644_000, 659_999, [16, 17, 18, 19]], // Discover
  [620_000, 629_999, [16, 17, 18, 19]], // UnionPay
  [352_800, 358_999, [16, 17, 18, 19]], // JCB
  [300_000, 305_999, [14, 16, 19]], // Diners Club
  [309_500, 309_599, [14, 16, 19]], // Diners Club
  [360_000, 369_999, [14, 16, 19]], // Diners Club
  [380_000, 399_999, [14, 16, 19]], // Diners Club
  [220_000, 220_499, [16, 17, 18, 19]], // Mir
  [501_800, 501_899, [13, 14, 15, 16, 17, 18, 19]], // Maestro
  [502_000, 502_099, [13, 14, 15, 16, 17, 18, 19]], // Maestro
  [503_800, 503_899, [13, 14, 15, 16, 17, 18, 19]], // Maestro
  [589_300, 589_399, [13, 14, 15, 16, 17, 18, 19]], // Maestro
  [630_400, 630_499, [13, 14, 15, 16, 17, 18, 19]], // Maestro
  [675_900, 676_399, [13, 14, 15, 16, 17, 18, 19]], // Maestro
]

function luhn(digits: readonly number[]): boolean {
  let sum = 0
  for (let index = 0; index < digits.length; index += 1) {
    const digit = digits[digits.length - 1 - index] ?? 0
    const counted = index % 2 === 0 ? digit : digit * 2
    sum += counted > 9 ? counted - 9 : counted
  }
  return sum % 10 === 0
}

function isCard(digits: readonly number[]): boolean {
  const prefix = digits.slice(0, 6).reduce((number, digit) => number * 10 + digit, 0)
  const issued = brands.some(([from, to, lengths]) => prefix >= from && prefix <= to && lengths.includes(digits.length))
  return issued && luhn(digits)
}

function digitsOf(bytes: Bytes, start: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => byteAt(bytes, start + index) - 0x30)
}

/** All zeros after the point, if there are any: a card in a column of floating-point numbers. */
function wholeNumber(bytes: Bytes, point: number): boolean {
  if (byteAt(bytes, point) !== DOT || !isDigit(byteAt(bytes, point + 1))) return true
  let at = point + 1
  while (at < point + 4 && byteAt(bytes, at) === 0x30) at += 1
  return !isDigit(byteAt(bytes, at))
}

/** `4111111111111111` */
function inOneRun(bytes: Bytes, at: number, run: number): Span | undefined {
  const end = at + run
  if (run > LONGEST || isAlphanumeric(byteAt(bytes, end)) || !wholeNumber(bytes, end)) return undefined
  return isCard(digitsOf(bytes, at, run)) ? { start: at, end } : undefined
}

/** After two groups of four the digits are the middle of a longer number, as of an account; after one it may be a year. */
function inRow(bytes: Bytes, at: number): boolean {
  for (let back = 1; back <= 10; back += 1) {
    const byte = byteAt(bytes, at - back)
    if (back === 1 || back === 6 ? byte !== 0x20 : !isDigit(byte)) return false
  }
  return true
}

/** Whether groups with this separator add up to a card's length; most are dates and the like, and nothing is made of them. */
function enough(bytes: Bytes, at: number, first: number, separator: number): boolean {
  let digits = first
  let end = at + first
  for (let whole = true; whole && digits < SHORTEST && byteAt(bytes, end) === separator; ) {
    const run = digitRun(bytes, end + 1, 8)
    if (run > 7) return false
    digits += run
    end += 1 + run
    whole = run >= 3
  }
  return digits >= SHORTEST
}

/** `4111 1111 1111 1111`, `3782-822463-10005`: groups of three and more, the last of any length, one separator. */
function inGroups(bytes: Bytes, at: number, first: number): Span | undefined {
  const separator = byteAt(bytes, at + first)
  if (!enough(bytes, at, first, separator)) return undefined
  const digits = digitsOf(bytes, at, first)
  // With a space the neighbour may be a security code or a quantity; a dash or a dot makes one longer number of all.
  const joins = separator !== 0x20
  if (joins ? byteAt(bytes, at - 1) === separator && isDigit(byteAt(bytes, at - 2)) : inRow(bytes, at)) return undefined
  let end = at + first
  let found: Span | undefined
  for (let whole = true; whole && byteAt(bytes, end) === separator; ) {
    const run = digitRun(bytes, end + 1, 8)
    if (run === 0 || run > 7 || digits.length + run > LONGEST) break
    digits.push(...digitsOf(bytes, end + 1, run))
    end += 1 + run
    whole = run >= 3
    const continues = joins && byteAt(bytes, end) === separator && isDigit(byteAt(bytes, end + 1))
    if (digits.length >= SHORTEST && !continues && !isAlphanumeric(byteAt(bytes, end)) && isCard(digits)) {
      found = { start: at, end }
    }
  }
  return found
}

/** `4.111111111111111e15`, as numbers are written by some JSON libraries and spreadsheets. */
function inScience(bytes: Bytes, at: number): Span | undefined {
  const fraction = digitRun(bytes, at + 2, LONGEST)
  let end = at + 2 + fraction
  if (fraction < 6 || fraction === LONGEST || (byteAt(bytes, end) | 0x20) !== code('e')) return undefined
  end += byteAt(bytes, end + 1) === code('+') ? 2 : 1
  const run = digitRun(bytes, end, 3)
  const exponent = digitsOf(bytes, end, run).reduce((number, digit) => number * 10 + digit, 0)
  if (run === 0 || exponent < fraction || exponent >= LONGEST) return undefined
  const zeros = Array.from({ length: exponent - fraction }, () => 0)
  const digits = [...digitsOf(bytes, at, 1), ...digitsOf(bytes, at + 2, fraction), ...zeros]
  return isCard(digits) ? { start: at, end: end + run } : undefined
}

export const creditCard: Detector = {
  triggers: DIGITS,
  longNumbers: true,
  find(bytes, at) {
    const before = byteAt(bytes, at - 1)
    if (isAlphanumeric(before) || (before === DOT && isDigit(byteAt(bytes, at - 2)))) return undefined
    const run = digitRun(bytes, at, LONGEST + 1)
    if (run >= SHORTEST) return inOneRun(bytes, at, run)
    const separator = byteAt(bytes, at + run)
    if (run === 1 && separator === DOT) return inScience(bytes, at)
    const groups = run >= 3 && (separator === 0x20 || separator === 0x2d || separator === DOT)
    return groups ? inGroups(bytes, at, run) : undefined
  },
}
