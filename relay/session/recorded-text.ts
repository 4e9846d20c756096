// The texts of a command as they are written down: within limits, and sealed where policy says so.
import { createHash, createHmac } from 'node:crypto'
import type { Log } from '@gate/shared/log'
import type { Operation, Target } from '@gate/shared/model'
import type { Recorded } from '../protocols/protocol.ts'
import type { Durability } from './durability.ts'
import { type CommandBody, type CutMark, cutText, type RecordLimits, type TargetBytes } from './record-limits.ts'

/** How commands are written down, the same for all sessions of a relay. */
export interface RecordTerms {
  readonly limits: RecordLimits
  /** The key of placeholders. */
  readonly key: Uint8Array
  readonly targetBytes: TargetBytes
  /** Undefined where the relay has no recipients; policy then asks for nothing to be sealed. */
  readonly seal: ((text: string) => string) | undefined
  /** Undefined where the configuration leaves it to what each command does. */
  readonly durability: Durability | undefined
}

/** Bytes of JSON that are sealed; in base64, with age's header, they stay below SEALED_BYTES. */
const SEALED_TEXT_BYTES = 13_000
const SEALED_PARAMETERS_BYTES = 6_000

/** The text's length and hash, for what is cut. The hash of a text that has secrets is keyed, so that nobody can try them out. */
export function cutMark({ text }: Operation, recorded: Recorded, key: Uint8Array): CutMark {
  const cutFrom = recorded.wholeBytes ?? Buffer.byteLength(text)
  // Of this text there is only the beginning: its hash would be that of something else.
  if (recorded.wholeBytes !== undefined) return { cutFrom }
  return recorded.text === text
    ? { cutFrom, sha256: createHash('sha256').update(text).digest('hex') }
    : { cutFrom, keyedSha256: createHmac('sha256', key).update(text).digest('hex') }
}

/** The text and parameters as they were sent, sealed. `repeated` texts are those of an earlier command. */
export function sealed(
  { text, parameters }: Operation,
  recorded: Recorded,
  repeated: boolean,
  seal: (text: string) => string,
): Pick<CommandBody, 'sealed' | 'sealedCut'> {
  const kept = repeated ? '' : cutText(text, SEALED_TEXT_BYTES)
  let left = SEALED_PARAMETERS_BYTES
  const values = parameters.filter(each => {
    left -= Buffer.byteLength(JSON.stringify(each))
    return left >= 0
  })
  const isCut =
    (!repeated && (kept !== text || recorded.wholeBytes !== undefined)) || values.length < recorded.parameterCount
  const content = JSON.stringify({ ...(repeated ? {} : { text: kept }), parameters: values })
  return { sealed: seal(content), ...(isCut ? { sealedCut: true } : {}) }
}

/** Bytes that are left for the texts of one session, and of its target today. */
export class SessionBytes {
  readonly #terms: RecordTerms
  readonly #target: Target
  readonly #log: Log
  readonly #session: string
  #used = 0
  /** Each limit is told of once. */
  readonly #told = new Set<'session' | 'target'>()

  constructor(terms: RecordTerms, target: Target, session: string, log: Log) {
    this.#terms = terms
    this.#target = target
    this.#session = session
    this.#log = log
  }

  /** Takes bytes; gives the limit that leaves none, and whether it has been told of. */
  take(bytes: number, nowMs: number): { of: 'session' | 'target'; limitBytes: number; isNew: boolean } | undefined {
    const { limits, targetBytes } = this.#terms
    if (this.#used + bytes > limits.sessionBytes) {
      // Nothing smaller comes after a text that was too much.
      this.#used = limits.sessionBytes
      return this.#over('session', limits.sessionBytes)
    }
    if (!targetBytes.take(this.#target.name, bytes, limits.targetBytesPerDay, nowMs))
      return this.#over('target', limits.targetBytesPerDay)
    this.#used += bytes
    return undefined
  }

  #over(
    of: 'session' | 'target',
    limitBytes: number,
  ): { of: 'session' | 'target'; limitBytes: number; isNew: boolean } {
    const isNew = !this.#told.has(of)
    this.#told.add(of)
    if (isNew) this.#log.warn('record.limit', { session: this.#session, target: this.#target.name, kind: of })
    return { of, limitBytes, isNew }
  }
}
