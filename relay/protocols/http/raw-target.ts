// Addresses with letters beyond ASCII, as curl sends them: escaped before node's parser sees them, which takes none. Pure.
import { isAscii, isUtf8 } from 'node:buffer'

/** The first line of a request, one character for each byte. */
const firstLine = /^([A-Z-]{1,32} )([!-~\x80-\xff]+)( HTTP\/1\.[01]\r?)$/

/**
 * The bytes with which a request begins; its target in UTF-8, if it is, as browsers write it (URL Standard, percent-encode). Other
 * bytes mean nothing to anybody, and are left to be refused.
 */
export function withEscapedTarget(bytes: Buffer): Buffer {
  if (isAscii(bytes)) return bytes
  const end = bytes.indexOf('\n')
  const [, method = '', target = '', version = ''] = firstLine.exec(bytes.toString('latin1', 0, Math.max(0, end))) ?? []
  if (!/[\x80-\xff]/.test(target) || !isUtf8(Buffer.from(target, 'latin1'))) return bytes
  const escaped = target.replace(/[\x80-\xff]/g, sign => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`)
  return Buffer.concat([Buffer.from(`${method}${escaped}${version}`), bytes.subarray(end)])
}
