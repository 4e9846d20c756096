// Social security numbers of the United States: written with dashes, or otherwise beside a word that says so. Pure.
import { type Bytes, byteAt, type Detector, DIGITS, digitRun, isAlphanumeric, isDigit, wordsBefore } from './bytes.ts'

const DASH = 0x2d

const number = (bytes: Bytes, at: number, count: number): number => {
  let value = 0
  for (let index = 0; index < count; index += 1) value = value * 10 + byteAt(bytes, at + index) - 0x30
  return value
}

/** Numbers that were never given out. @see https://www.ssa.gov/employer/randomizationfaqs.html */
function assigned(area: number, group: number, serial: number): boolean {
  return area !== 0 && area !== 666 && area < 900 && group !== 0 && serial !== 0
}

const names = new Set(['ssn', 'ssns', 'social', 'socialsecuritynumber', 'socialsecurity', 'taxid', 'tin', 'ss'])

function named(bytes: Bytes, at: number): boolean {
  return wordsBefore(bytes, at).some(word => names.has(word) || word.endsWith('ssn'))
}

/** Part of a longer number with dashes, or of a word. */
function embedded(bytes: Bytes, start: number, end: number): boolean {
  const before = byteAt(bytes, start - 1)
  const after = byteAt(bytes, end)
  if (isAlphanumeric(before) || isAlphanumeric(after)) return true
  if ((before === DASH || before === 0x2e) && isAlphanumeric(byteAt(bytes, start - 2))) return true
  return (after === DASH || after === 0x2e) && isDigit(byteAt(bytes, end + 1))
}

export const usSsn: Detector = {
  triggers: DIGITS,
  longNumbers: true,
  find(bytes, at) {
    const run = digitRun(bytes, at, 10)
    if (run !== 3 && run !== 9) return undefined
    if (run === 9) {
      const plausible = assigned(number(bytes, at, 3), number(bytes, at + 3, 2), number(bytes, at + 5, 4))
      return plausible && !embedded(bytes, at, at + 9) && named(bytes, at) ? { start: at, end: at + 9 } : undefined
    }
    const separator = byteAt(bytes, at + 3)
    if ((separator !== DASH && separator !== 0x20) || digitRun(bytes, at + 4, 3) !== 2) return undefined
    if (byteAt(bytes, at + 6) !== separator || digitRun(bytes, at + 7, 5) !== 4) return undefined
    if (!assigned(number(bytes, at, 3), number(bytes, at + 4, 2), number(bytes, at + 7, 4))) return undefined
    if (embedded(bytes, at, at + 11) || (separator !== DASH && !named(bytes, at))) return undefined
    return { start: at, end: at + 11 }
  },
}
