// What names of the catalog are in statements as gate reads them. Pure.

/** NAMEDATALEN - 1: of a longer word the server takes the beginning. */
export const NAME_BYTES = 63
const BEYOND_ASCII = /[^\0-\x7f]/
const nameBytes = new TextEncoder()

/**
 * What a name has in common with those that gate may have read in a statement in its place. Where the database is in another
 * encoding than UTF8, the server cuts names beyond ASCII later than gate's parser does, and may fold their letters.
 */
export function asRead(name: string): string {
  return BEYOND_ASCII.test(name) ? cut(fold(name)) : name
}

/** The name as gate's parser cuts it. */
export function cut(name: string): string {
  const { read } = nameBytes.encodeInto(name, new Uint8Array(NAME_BYTES))
  return name.slice(0, read)
}

/** The name as a server folds it at most, beyond ASCII. */
export function fold(name: string): string {
  return name.replace(/[^\0-\x7f]/gu, letter => {
    const small = letter.toLowerCase()
    return Buffer.byteLength(small) === Buffer.byteLength(letter) ? small : letter
  })
}

/** Names of what values of a type can be, or hold: that of an array is made of that of what is in it. */
export const withElement = (type: string): readonly string[] => {
  const element = type.replace(/^_+/, '')
  return element === type ? [type] : [type, element]
}
