// Which digits make a telephone number: country codes (ITU-T E.164) and the forms in which countries write their own. Pure.

const twoDigitCodes = new Set(
  '20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 82 84 86 90 91 92 93 94 95 98'.split(
    ' ',
  ),
)
/** The first two digits of the codes of three. */
const threeDigitCodes = new Set('21 22 23 24 25 26 29 35 37 38 42 50 59 67 68 69 80 85 87 88 96 97 99'.split(' '))

const SHORTEST = 9
const LONGEST = 15

/** Whether the digits after a `+` can be a number: a country code that exists, and a length that it has. */
export function isInternational(digits: string): boolean {
  if (digits.startsWith('1')) return digits.length === 11 && isNorthAmerican(digits.slice(1))
  if (digits.startsWith('7')) return digits.length === 11
  const code = digits.slice(0, 2)
  if (!twoDigitCodes.has(code) && !threeDigitCodes.has(code)) return false
  return digits.length >= SHORTEST && digits.length <= LONGEST
}

/** Area code and exchange begin with 2 to 9. */
function isNorthAmerican(digits: string): boolean {
  return /^[2-9]\d{2}[2-9]\d{6}$/.test(digits)
}

/** A number as it stands: its digits, the lengths of its groups, and what stands between them. */
export interface Written {
  readonly digits: string
  readonly groups: readonly number[]
  readonly separators: readonly string[]
  /** The first group is in parentheses. */
  readonly parenthesis: boolean
}

const same = (texts: readonly string[]): boolean => texts.every(text => text === texts[0])

/** `(212) 555-0123`, `212-555-0123`, `1.212.555.0123`; with spaces alone it could be any three numbers. */
function northAmerican({ digits, groups, separators, parenthesis }: Written): boolean {
  const shape = groups.join('-')
  if (shape === '1-3-3-4') return digits.startsWith('1') && isNorthAmerican(digits.slice(1)) && separators[1] !== ' '
  if (shape !== '3-3-4' || !isNorthAmerican(digits)) return false
  const [first = '', second = ''] = separators
  if (parenthesis) return second === '-' || second === '.' || second === ' '
  return (first === second && first !== ' ' && first !== '/') || ((first === ' ' || first === '/') && second === '-')
}

/** `01 23 45 67 89`, `01.23.45.67.89` */
function french({ digits, groups, separators }: Written): boolean {
  return groups.join('') === '22222' && /^0[1-9]/.test(digits) && same(separators) && separators[0] !== '/'
}

/** `020 7946 0958`, `0151-23456789`, `089/1234567`, `(02) 9374 4000`, `090-1234-5678`: 0 and the rest of the number in groups. */
function withTrunkZero({ digits, groups, separators, parenthesis }: Written): boolean {
  // Twelve digits only mobile telephones in Germany have.
  if (!/^0[1-9]/.test(digits) || digits.length < 9 || digits.length > (/^01[567]/.test(digits) ? 12 : 11)) return false
  const [first = 0, second = 0] = groups
  const last = groups.at(-1) ?? 0
  if (first < 2 || first > 6 || groups.length < 2 || groups.length > 5 || groups.some(group => group < 2)) return false
  // 01/02/2023 and its like: only after the area code does a slash belong to a telephone number.
  if (separators.slice(1).includes('/') || !same(separators.slice(1)) || separators.includes('.')) return false
  if (groups.length === 2) return second >= 5 || (parenthesis && second >= 4)
  if (groups.length === 3 && second === 2 && first < 4) return false
  return last <= 4 && groups.slice(1).every(group => group <= 5)
}

/** `(11) 91234-5678` of Brazil, `138-1234-5678` of China. */
function others({ digits, groups, separators, parenthesis }: Written): boolean {
  const shape = groups.join('-')
  if (parenthesis) return (shape === '2-5-4' || shape === '2-4-4') && /^[1-9][1-9]/.test(digits)
  return (
    shape === '3-4-4' && /^1[3-9]/.test(digits) && same(separators) && separators[0] !== '/' && separators[0] !== '.'
  )
}

/** `0044 20 7946 0958`: in groups, since zeros before a number mean nothing by themselves. */
function withDoubleZero({ digits, groups }: Written): boolean {
  return digits.startsWith('00') && groups.length >= 3 && isInternational(digits.slice(2))
}

/** Whether it is written as telephone numbers are, whatever stands around it. */
export function isNational(written: Written): boolean {
  return (
    northAmerican(written) || french(written) || withTrunkZero(written) || others(written) || withDoubleZero(written)
  )
}

/** What can be a telephone number where a word says that it is one. */
export function isPlausible({ digits, groups }: Written): boolean {
  if (digits.length < 7 || digits.length > LONGEST || groups.length > 6) return false
  const shape = groups.join('-')
  const isDate = shape === '4-2-2' || shape === '2-2-4' || shape === '4-2-2-2' || shape === '4-2-2-2-2-2'
  return !isDate && !/^(\d)\1*$/.test(digits)
}
