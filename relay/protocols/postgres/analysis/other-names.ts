// Names of a statement that are one for gate and several for a database in another encoding than UTF8. Pure.
import { asRead, cut, fold } from '../as-read.ts'
import { readTokens, type Token } from './lexer.ts'

const escaped = /u&"/i
/** ASCII capitals are folded everywhere. */
const capitals = /[A-Z]/g

/**
 * Whether a name in it can be another one for such a server: it cuts names later, so that two can be one for gate, and may fold
 * what is not quoted. What U&"" spells is not looked at.
 */
export function hasOtherNames(bytes: Uint8Array): boolean {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  if (text.includes('&"') && escaped.test(text.toString('latin1'))) return true
  if (!bytes.some(byte => byte > 0x7f)) return false
  const known = new Map<string, string>()
  for (const token of readTokens(bytes).tokens) {
    if (token.kind !== 'name' && token.kind !== 'word') continue
    const name = nameOf(bytes, token)
    if (token.kind === 'word' && fold(name) !== name) return true
    const read = asRead(cut(name))
    const other = known.get(read)
    if (other !== undefined && other !== name) return true
    known.set(read, name)
  }
  return false
}

/** Of ASCII, both cut it alike. */
function nameOf(bytes: Uint8Array, { kind, start, end }: Token): string {
  const source = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8')
  const name =
    kind === 'name'
      ? source.slice(1, -1).replaceAll('""', '"')
      : source.replace(capitals, letter => letter.toLowerCase())
  return Buffer.byteLength(name) === name.length ? cut(name) : name
}
