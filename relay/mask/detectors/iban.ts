// International bank account numbers: country, its length, and the check digits (ISO 13616, ISO 7064 mod 97-10). Pure.
import { type Bytes, byteAt, type Detector, DIGITS, isAlphanumeric, isDigit, isLetter, textOf } from './bytes.ts'

/** Characters of an IBAN by country, from SWIFT's registry. */
const lengths: ReadonlyMap<string, number> = new Map(
  (
    'AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 ' +
    'FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 ' +
    'LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 ' +
    'RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30'
  )
    .split(' ')
    .map(entry => [entry.slice(0, 2), Number(entry.slice(2))]),
)

/** The remainder by 97 of the number that the characters from `index` on make, letters counting 10 to 35. */
function remainder(characters: readonly number[]): number {
  return characters.reduce((rest, byte) => {
    const value = isDigit(byte) ? byte - 0x30 : (byte | 0x20) - 0x61 + 10
    return (rest * (value > 9 ? 100 : 10) + value) % 97
  }, 0)
}

/**
 * Reads `count` letters and digits: without anything between, or with one space or dash after each four as on paper.
 * Any other groups are those of something else: a UUID has the same letters, and mod 97 lets one of a hundred through.
 */
function read(bytes: Bytes, at: number, count: number): { characters: number[]; end: number } | undefined {
  const characters: number[] = []
  const first = byteAt(bytes, at + 4)
  const separator = isAlphanumeric(first) ? 0 : first
  if (separator !== 0 && separator !== 0x20 && separator !== 0x2d) return undefined
  let place = at
  while (characters.length < count) {
    if (separator !== 0 && characters.length > 0 && characters.length % 4 === 0) {
      if (byteAt(bytes, place) !== separator) return undefined
      place += 1
    }
    const byte = byteAt(bytes, place)
    if (!isAlphanumeric(byte)) return undefined
    characters.push(byte)
    place += 1
  }
  const goesOn = separator === 0x2d && byteAt(bytes, place) === separator && isAlphanumeric(byteAt(bytes, place + 1))
  return goesOn ? undefined : { characters, end: place }
}

export const iban: Detector = {
  triggers: DIGITS,
  find(bytes, at) {
    if (!isLetter(byteAt(bytes, at - 1)) || !isLetter(byteAt(bytes, at - 2)) || !isDigit(byteAt(bytes, at + 1))) {
      return undefined
    }
    if (isAlphanumeric(byteAt(bytes, at - 3))) return undefined
    const length = lengths.get(textOf(bytes, at - 2, at).toUpperCase())
    const account = length === undefined ? undefined : read(bytes, at - 2, length)
    if (account === undefined || isAlphanumeric(byteAt(bytes, account.end))) return undefined
    const { characters, end } = account
    return remainder([...characters.slice(4), ...characters.slice(0, 4)]) === 1 ? { start: at - 2, end } : undefined
  },
}
