// Names for things gate makes: short enough to type, random enough never to meet twice.
import { createHash, randomBytes } from 'node:crypto'

// Crockford's base 32: no i, l, o, u, so that an id read aloud or typed stays itself.
const alphabet = '0123456789abcdefghjkmnpqrstvwxyz'

function base32(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += alphabet[byte & 31]
  return text
}

/** An id such as `s_7k2m9x4q8w3v`: 12 characters of 5 random bits. */
export function newId(prefix: string): string {
  return `${prefix}_${base32(randomBytes(12))}`
}

/** A secret of 256 bits, safe in a URL or header. */
export function newSecret(): string {
  return randomBytes(32).toString('base64url')
}

/** What the store keeps of a secret. The secrets are 256 random bits, so a plain hash needs neither salt nor stretching. */
export function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}
