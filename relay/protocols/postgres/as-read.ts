// What names of the catalog are in statements as gate reads them. Pure.

/** NAMEDATALEN - 1 */
const NAME_BYTES = 63
const BEYOND_ASCII = /[^\0-\x7f]/
const nameBytes = new TextEncoder()

/**
 * What a name has in common with those that gate may have read in a statement in its place. Where the database is in another
 * encoding than UTF8, the server cuts names beyond ASCII later than gate's parser does, and may fold their letters.
 */
export function asRead(name: string): string {
  if (!BEYOND_ASCII.test(name)) return name
  const folded = name.replace(/[^\0-\x7f]/gu, letter => {
    const small = letter.toLowerCase()
    return Buffer.byteLength(small) === Buffer.byteLength(letter) ? small : letter
  })
  const { read } = nameBytes.encodeInto(folded, new Uint8Array(NAME_BYTES))
  return folded.slice(0, read)
}
