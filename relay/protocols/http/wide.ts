// Texts in UTF-16 and UTF-32, which readers of JSON find out about by themselves (RFC 4627 section 3). Pure.

/** What a text says in one of them; undefined for any other. */
export function wideText(bytes: Buffer): string | undefined {
  const [a, b, c, d] = bytes
  if (a === 0xff && b === 0xfe && !(c === 0 && d === 0)) return utf16(bytes, 'utf-16le')
  if (a === 0xfe && b === 0xff) return utf16(bytes, 'utf-16be')
  if (bytes.length >= 4 && ((a === 0 && b === 0) || (c === 0 && d === 0))) return utf32(bytes, a === 0)
  if (bytes.length < 2 || (a !== 0 && b !== 0)) return undefined
  return utf16(bytes, a === 0 ? 'utf-16be' : 'utf-16le')
}

const utf16 = (bytes: Buffer, charset: 'utf-16le' | 'utf-16be'): string => new TextDecoder(charset).decode(bytes)

/** Undefined where it has what is no character. */
function utf32(bytes: Buffer, isBigEndian: boolean): string | undefined {
  const pieces: string[] = []
  for (let at = 0; at + 4 <= bytes.length; at += 4) {
    const code = isBigEndian ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at)
    if (code > 0x10_ff_ff) return undefined
    if (at > 0 || code !== 0xfeff) pieces.push(String.fromCodePoint(code))
  }
  return pieces.join('')
}

/** Without its byte order mark, and in another charset where it is in one: of what is none, as it was read without NULs. */
export function plainText(bytes: Buffer, text: string): string {
  const read = wideText(bytes) ?? (text.includes('\0') ? text.replaceAll('\0', '') : text)
  return read.replace(/^[\ufffd\ufeff]+/, '')
}
