// Masks text that has no fields gate knows of: nothing but what detectors find, in all of it at once. Pure.
import { GateError } from '@gate/shared/errors'
import { type Searches, searchText } from './detecting.ts'
import { Held } from './held.ts'
import { type BodyMasker, NOTHING } from './masker.ts'

/** What is found may stand anywhere and be long, so the whole text is kept until its end. */
export const MAX_TEXT_BYTES = 4_194_304

/** XML says itself what it is written in, before anything else (XML 1.0, section 4.3.3). */
const declaration = /^[^<]*<\?xml\s[^>]*?encoding\s*=\s*["']([^"']*)["']/i
const DECLARATION_BYTES = 1024
/** What is ASCII in UTF-8 is the same in these; the rest would be no UTF-8. */
const likeAscii = /^(?:utf-?8|us-ascii|iso-8859-\d{1,2}|windows-125\d)$/i

export class TextMasker implements BodyMasker {
  readonly #searches: Searches
  readonly #held = new Held('a text', MAX_TEXT_BYTES)

  constructor(searches: Searches) {
    this.#searches = searches
  }

  push(bytes: Buffer): Buffer {
    this.#held.add(bytes)
    return NOTHING
  }

  /** @throws {GateError} ERR_GATE_TARGET_PROTOCOL for XML whose readers undo what its bytes say, as in UTF-7. */
  end(): Buffer {
    const text = this.#held.take()
    const [, encoding] = declaration.exec(text.toString('latin1', 0, DECLARATION_BYTES)) ?? []
    if (encoding !== undefined && !likeAscii.test(encoding))
      throw new GateError('ERR_GATE_TARGET_PROTOCOL', `the body is XML in ${encoding}`)
    return searchText(this.#searches, text)
  }
}
