// Masks text that has no fields gate knows of: nothing but what detectors find, in all of it at once. Pure.
import { type Searches, searchText } from './detecting.ts'
import { Held } from './held.ts'
import { type BodyMasker, NOTHING } from './masker.ts'

/** What is found may stand anywhere and be long, so the whole text is kept until its end. */
export const MAX_TEXT_BYTES = 4_194_304

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

  end(): Buffer {
    return searchText(this.#searches, this.#held.take())
  }
}
