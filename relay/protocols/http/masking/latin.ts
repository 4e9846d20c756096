// Bodies in ISO-8859-1 or windows-1252, as some frameworks write JSON: in UTF-8 for the masker, and for the client. Pure.
import { isAscii } from 'node:buffer'
import { GateError } from '@gate/shared/errors'
import { type BodyMasker, NOTHING } from './masker.ts'
import { formOf, readMediaType } from './media-type.ts'

/** To browsers all of these are windows-1252 (Encoding Standard, section 4.2). */
const latin = /^(?:iso-?8859-1|latin-?1|windows-1252|cp1252)$/i
/** What windows-1252 has from 0x80 on; nothing is an unassigned one, which stays as it is. */
const own = '€ ‚ƒ„…†‡ˆ‰Š‹Œ Ž  ‘’“”•–—˜™š›œ žŸ'
const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

/** The type of the body when it is in UTF-8; undefined where it is in neither of the two, or says itself in what it is, as XML. */
export function typeInUtf8(contentType: string | undefined): string | undefined {
  // Nearly all say something else.
  const type = contentType !== undefined && /1/.test(contentType) ? readMediaType(contentType) : undefined
  if (type === undefined || !latin.test(type.parameters.get('charset') ?? '')) return undefined
  const parameters = new Map([...type.parameters, ['charset', 'utf-8']])
  const form = formOf({ ...type, parameters })
  const isText = form === 'text' && type.name.startsWith('text/') && type.name !== 'text/xml'
  if (form !== 'json' && form !== 'json-lines' && form !== 'csv' && !isText) return undefined
  const written = [...parameters].map(([name, value]) => `; ${name}=${token.test(value) ? value : quoted(value)}`)
  return `${type.name}${written.join('')}`
}

const quoted = (value: string): string => `"${value.replace(/["\\]/g, '\\$&')}"`

/**
 * Gives a masker the body in UTF-8. Not all that is called ISO-8859-1 is: what begins as UTF-8 beyond ASCII could have other names
 * to its reader than to the masker, and is refused.
 */
export class LatinMasker implements BodyMasker {
  readonly #masker: BodyMasker
  /** Bytes have come that are no UTF-8. */
  #isLatin = false
  /** Bytes that may begin a character in UTF-8. */
  #rest: Buffer = NOTHING
  #failure: GateError | undefined

  constructor(masker: BodyMasker) {
    this.#masker = masker
  }

  push(bytes: Buffer): Buffer {
    return this.#masker.push(this.#read(this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]), false))
  }

  end(): Buffer {
    const rest = this.#read(this.#rest, true)
    if (rest.length === 0) return this.#masker.end()
    return Buffer.concat([this.#masker.push(rest), this.#masker.end()])
  }

  #read(bytes: Buffer, isEnd: boolean): Buffer {
    if (this.#failure !== undefined) throw this.#failure
    this.#rest = NOTHING
    if (isAscii(bytes)) return bytes
    if (this.#isLatin) return inUtf8(bytes)
    const at = bytes.findIndex(byte => byte >= 0x80)
    const character = bytes.subarray(at, at + lengthOf(bytes[at] ?? 0))
    const isUtf8 = character.length > 0 && character.subarray(1).every(byte => byte >= 0x80 && byte < 0xc0)
    if (!isUtf8) this.#isLatin = true
    else if (character.length === lengthOf(bytes[at] ?? 0)) throw this.#fail()
    else if (isEnd) this.#isLatin = true
    if (this.#isLatin) return inUtf8(bytes)
    this.#rest = Buffer.from(bytes.subarray(at))
    return bytes.subarray(0, at)
  }

  #fail(): GateError {
    this.#failure = new GateError(
      'ERR_GATE_TARGET_PROTOCOL',
      'the body says that it is in ISO-8859-1, and may be in UTF-8',
    )
    return this.#failure
  }
}

/** Of a character in UTF-8, by its first byte; nothing where none begins with it. */
function lengthOf(byte: number): number {
  if (byte < 0xc2 || byte > 0xf4) return 0
  return byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4
}

function inUtf8(bytes: Buffer): Buffer {
  const text = bytes.toString('latin1').replace(/[\x80-\x9f]/g, sign => {
    const known = own[sign.charCodeAt(0) - 0x80]
    return known === undefined || known === ' ' ? sign : known
  })
  return Buffer.from(text)
}
