// Addresses of the Internet Protocol, version 4 (dotted) and 6 (RFC 4291, 2.2). Pure.
import {
  type Bytes,
  byteAt,
  code,
  type Detector,
  DIGITS,
  digitRun,
  isAlphanumeric,
  isDigit,
  isHex,
  isLetter,
  textOf,
  wordsBefore,
} from './bytes.ts'

const DOT = code('.')
const COLON = code(':')
const V6_BYTES = 45

/** The end of four decimal numbers below 256 with dots between; 0 when there are none. */
function dottedEnd(bytes: Bytes, at: number): number {
  let end = at
  for (let part = 0; part < 4; part += 1) {
    if (part > 0) {
      if (byteAt(bytes, end) !== DOT) return 0
      end += 1
    }
    const run = digitRun(bytes, end, 4)
    if (run === 0 || run > 3 || (run > 1 && byteAt(bytes, end) === 0x30)) return 0
    if (Number(textOf(bytes, end, end + run)) > 255) return 0
    end += run
  }
  const after = byteAt(bytes, end)
  if (isAlphanumeric(after) || after === 0x5f) return 0
  return after === DOT && isDigit(byteAt(bytes, end + 1)) ? 0 : end
}

/** `Safari/1.2.3.4`, `version 1.2.3.4`: four numbers that are no address. */
function isVersion(bytes: Bytes, at: number): boolean {
  if (byteAt(bytes, at - 1) === code('/') && isLetter(byteAt(bytes, at - 2))) return true
  const [nearest = ''] = wordsBefore(bytes, at)
  return ['version', 'versions', 'ver', 'release', 'build', 'v', 'oid', 'section'].includes(nearest)
}

function findV4(bytes: Bytes, at: number): { start: number; end: number } | undefined {
  const before = byteAt(bytes, at - 1)
  if (isAlphanumeric(before) || before === DOT || before === 0x5f) return undefined
  const end = dottedEnd(bytes, at)
  return end === 0 || isVersion(bytes, at) ? undefined : { start: at, end }
}

const isGroup = (text: string): boolean => text.length >= 1 && text.length <= 4

/** Eight groups of hexadecimal digits, or fewer and one `::`; the last two may be written as version 4. */
function isV6(text: string): boolean {
  const halves = text.split('::')
  if (halves.length > 2) return false
  const groups = halves.map(half => (half === '' ? [] : half.split(':')))
  const all = groups.flat()
  const last = all.at(-1) ?? ''
  const dotted = last.includes('.')
  const hexadecimal = dotted ? all.slice(0, -1) : all
  if (!hexadecimal.every(isGroup) || hexadecimal.some(group => group.includes('.'))) return false
  if (dotted && dottedEnd(Buffer.from(last), 0) !== last.length) return false
  const count = hexadecimal.length + (dotted ? 2 : 0)
  // Without a digit it is more likely a name in C++ or Rust, such as `ab::cd`.
  return halves.length === 1 ? count === 8 : count >= 1 && count < 8 && /\d/.test(text)
}

function findV6(bytes: Bytes, at: number): { start: number; end: number } | undefined {
  let start = at
  while (at - start < 5 && isHex(byteAt(bytes, start - 1))) start -= 1
  const before = byteAt(bytes, start - 1)
  if (isAlphanumeric(before) || before === COLON || before === DOT || before === 0x5f) return undefined
  let end = at
  while (end - start <= V6_BYTES) {
    const byte = byteAt(bytes, end)
    if (!isHex(byte) && byte !== COLON && byte !== DOT) break
    end += 1
  }
  const after = byteAt(bytes, end)
  if (isAlphanumeric(after) || after === 0x5f) return undefined
  // What ends a sentence or a key is not part of the address.
  while (byteAt(bytes, end - 1) === DOT || (byteAt(bytes, end - 1) === COLON && byteAt(bytes, end - 2) !== COLON))
    end -= 1
  if (end - start < 3 || end - start > V6_BYTES) return undefined
  return isV6(textOf(bytes, start, end)) ? { start, end } : undefined
}

export const ip: Detector = {
  triggers: `:${DIGITS}`,
  find: (bytes, at) => (byteAt(bytes, at) === COLON ? findV6(bytes, at) : findV4(bytes, at)),
}
