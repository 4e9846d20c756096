// Masks the data of server-sent events, which are JSON, and what detectors find in all of their lines. Pure.
import { GateError } from '@gate/shared/errors'
import { type Searches, searchText } from './detecting.ts'
import { JsonMasker } from './json-masker.ts'
import { JsonSearch } from './json-search.ts'
import type { BodyMasker } from './masker.ts'
import type { FieldMasks } from './paths.ts'
import { Pieces } from './pieces.ts'
import { isBare, isJson } from './whole-text.ts'

/** One event: all lines up to an empty one. */
export const MAX_EVENT_BYTES = 4_194_304

const [CR, LF] = [0x0d, 0x0a]

export interface EventMasks {
  readonly fields: FieldMasks | undefined
  readonly searches: Searches
}

interface Line {
  /** The name of the field, empty for comments; undefined for names that readers ignore. */
  readonly field: string | undefined
  readonly value: string
  /** All of it, its ending included. */
  readonly raw: string
  readonly ending: string
}

/** @see https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream */
export class EventStreamMasker implements BodyMasker {
  readonly #masks: EventMasks
  readonly #events = new Pieces(
    'an event',
    MAX_EVENT_BYTES,
    byte => this.#endsEvent(byte),
    event => this.#masked(event),
  )
  /** Whether the line that is being read has no bytes yet, and whether a carriage return came last. */
  #isEmptyLine = true
  #isBehindCr = false

  constructor(masks: EventMasks) {
    this.#masks = masks
  }

  push(bytes: Buffer): Buffer {
    return this.#events.push(bytes)
  }

  /** What is left is no event for its reader, but it would be bytes for everybody. */
  end(): Buffer {
    return this.#events.end()
  }

  #endsEvent(byte: number): boolean {
    // The second half of a line ending: the line ended before.
    const isSecondHalf = byte === LF && this.#isBehindCr
    this.#isBehindCr = byte === CR
    if (isSecondHalf) return false
    if (byte !== CR && byte !== LF) {
      this.#isEmptyLine = false
      return false
    }
    const ends = this.#isEmptyLine
    this.#isEmptyLine = true
    return ends
  }

  #masked(event: Buffer): Buffer {
    const lines =
      event
        .toString('utf8')
        .match(/[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+$/g)
        ?.map(lineOf) ?? []
    const data = lines.filter(({ field }) => field === 'data').map(({ value }) => value)
    const clear = data.join('\n')
    const shown = data.length === 0 ? clear : this.#data(clear)
    const out: string[] = []
    let isWritten = shown === clear
    for (const line of lines) {
      if (line.field === 'data') {
        if (shown === clear) out.push(line.raw)
        else if (!isWritten) {
          const ending = line.ending || '\n'
          for (const part of shown.split(/\r\n|\r|\n/)) out.push(`data: ${part}${ending}`)
          isWritten = true
        }
      } else out.push(this.#other(line))
    }
    return Buffer.from(out.join(''))
  }

  #data(clear: string): string {
    const { fields, searches } = this.#masks
    if (isBare(clear)) return clear
    if (fields === undefined && !isJson(clear)) return searchText(searches, Buffer.from(clear)).toString('utf8')
    const search = searches.length === 0 ? undefined : new JsonSearch(searches)
    const masker = new JsonMasker(fields, 'one', search)
    const bytes = Buffer.from(clear)
    return Buffer.concat([masker.push(bytes), masker.end()]).toString('utf8')
  }

  /** Fields without a meaning could hold anything in any form. */
  #other({ field, raw }: Line): string {
    if (field === undefined && this.#masks.fields !== undefined)
      throw new GateError('ERR_GATE_TARGET_PROTOCOL', 'an event with a field that has no meaning')
    return searchText(this.#masks.searches, Buffer.from(raw)).toString('utf8')
  }
}

function lineOf(raw: string): Line {
  const [ending = ''] = /[\r\n]*$/.exec(raw) ?? []
  const line = raw.slice(0, raw.length - ending.length)
  const colon = line.indexOf(':')
  const name = colon < 0 ? line : line.slice(0, colon)
  const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
  return { field: knownFields.has(name) ? name : undefined, value, raw, ending }
}

/** A comment has no name; an empty line has neither. */
const knownFields = new Set(['', 'data', 'event', 'id', 'retry'])
