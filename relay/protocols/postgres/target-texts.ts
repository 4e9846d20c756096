// Errors, notices, notifications and settings from the server: what in them the person may not see is withheld. Pure.
import { GateError } from '@gate/shared/errors'
import { readErrorFields, readFirstErrorFields } from './bodies.ts'
import { E, type ErrorFields, errorMessage, N, Reader } from './codec.ts'
import type { Counting } from './counting.ts'
import type { Entry } from './pending.ts'
import type { Receiving } from './receiving.ts'
import { cutTexts, isFatal } from './refuse.ts'
import { LOGIN_SEGMENT } from './sending.ts'
import { guardNotification, guardParameterStatus, searchTexts, type TextGuard } from './texts.ts'
import { ownError } from './unreadable.ts'
import { isLogged, withholdTexts } from './withheld-texts.ts'

/** Of a longer error or notice only so much is read: what it is comes first, and a text that quotes a value has no limit. */
export const READ_ERROR_BYTES = 64 * 1024

export class TargetTexts {
  readonly #receiving: Receiving
  readonly #counting: Counting
  readonly #failed: (head: Entry | undefined, fields: ReadonlyMap<string, string>) => void
  /** A statement whose texts are withheld ran in this transaction: errors can come as late as its commit. */
  sensitiveTransaction = false
  /** The server has said why it ends the connection: whoever was told twice would take the second for another answer. */
  saidFatal = false
  /** The newest that was met: texts come between the answers to commands as well. */
  #guard: TextGuard | undefined

  /** `failed` is told of every error of a command of the client, after it was sent. */
  constructor(
    receiving: Receiving,
    counting: Counting,
    failed: (head: Entry | undefined, fields: ReadonlyMap<string, string>) => void,
  ) {
    this.#receiving = receiving
    this.#counting = counting
    this.#failed = failed
  }

  /** One that makes gate and server read the same bytes differently, and that nobody is known to have changed, ends the session. */
  parameterStatus(head: Entry | undefined, total: number): void {
    const reader = new Reader(this.#receiving.inbound.body(total))
    const name = reader.cstring().toString('utf8')
    const value = reader.cstring().toString('utf8')
    const { reading } = this.#receiving.shared
    if (!reading.reported(name, value, head?.kind === 'sync' && head.segment === LOGIN_SEGMENT))
      throw new GateError('ERR_GATE_REFUSED', `${name} became ${value} without a command that gate could follow`)
    if (name === 'search_path') this.#receiving.shared.searchPath = value
    if (name === 'server_encoding') this.#receiving.shared.names.asciiOnly = value !== 'UTF8'
    const guard = this.guardOf(head)
    this.#passOrReplace(total, guard === undefined ? undefined : guardParameterStatus(name, value, guard))
  }

  notification(head: Entry | undefined, total: number): void {
    const guard = this.guardOf(head)
    this.#passOrReplace(
      total,
      guard === undefined ? undefined : guardNotification(this.#receiving.inbound.body(total), guard),
    )
  }

  /** Beside the answers: also while those are withheld. */
  #passOrReplace(total: number, instead: Buffer | undefined): void {
    if (instead === undefined) return this.#receiving.withheld.passNow(total)
    this.#receiving.inbound.drop(total)
    this.#receiving.withheld.putNow(instead)
  }

  notice(head: Entry | undefined, total: number): void {
    const fields = (): ErrorFields => readErrorFields(this.#receiving.inbound.body(total))
    if (this.#withholds(head) && isLogged(fields())) return this.#receiving.inbound.drop(total)
    this.#passOrReplace(total, this.#textsInstead(N, head, fields))
  }

  /** An error or notice in place of one whose texts the person may not see; undefined when they may. */
  #textsInstead(type: typeof E | typeof N, head: Entry | undefined, fields: () => ErrorFields): Buffer | undefined {
    if (this.#withholds(head)) {
      const looksUp = this.#receiving.plan(head)?.looksUp === true
      return errorMessage(type, withholdTexts(fields(), looksUp))
    }
    const guard = this.guardOf(head)
    const searched = guard?.search === undefined ? undefined : searchTexts(fields(), guard)
    return searched === undefined ? undefined : errorMessage(type, searched)
  }

  guardOf(head: Entry | undefined): TextGuard | undefined {
    const plan = this.#receiving.plan(head)
    if (plan !== undefined) this.#guard = plan.masking?.guard
    else if (head?.kind === 'bind') this.#guard = head.portal.prepared?.guard ?? this.#guard
    else if (head?.kind === 'parse') this.#guard = head.prepared?.guard ?? this.#guard
    return this.#guard
  }

  /** Passes or goes away as it comes. False when its first fields are not there yet. */
  longError(type: typeof E | typeof N, head: Entry | undefined, total: number): boolean {
    if (this.#receiving.inbound.available < READ_ERROR_BYTES) return false
    if (head !== undefined && 'bytes' in head) head.bytes += total
    const fields = readFirstErrorFields(this.#receiving.inbound.partialBody.subarray(0, READ_ERROR_BYTES))
    if (type === E && this.#isOwn(head, fields)) {
      this.#receiving.inbound.stream(total, false)
      return true
    }
    if (type === N && this.#withholds(head) && isLogged(fields)) {
      this.#receiving.inbound.stream(total, true)
      return true
    }
    const read = cutTexts(fields)
    const found = type === N ? this.#textsInstead(N, head, () => read) : this.#errorInstead(head, read, false)
    // What is not read is not searched either.
    const instead = found ?? (this.guardOf(head)?.search && errorMessage(type, read))
    if (instead !== undefined) this.#receiving.inbound.put(instead)
    this.#receiving.inbound.stream(total, instead === undefined)
    if (type === E) this.#told(head, fields)
    return true
  }

  /** Binding plans the statement and runs input functions: an error there is the statement's. */
  #withholds(head: Entry | undefined): boolean {
    if (this.sensitiveTransaction) return true
    // An array of a domain is checked when it is parsed.
    if (head?.kind === 'parse') return head.prepared?.sensitive === true
    if (head?.kind === 'bind' || head?.kind === 'describe') return head.portal?.prepared?.sensitive === true
    return this.#receiving.plan(head)?.sensitive === true
  }

  error(head: Entry | undefined, total: number): void {
    const fields = readErrorFields(this.#receiving.inbound.body(total))
    if (this.#isOwn(head, fields)) return this.#receiving.inbound.drop(total)
    const instead = this.#errorInstead(head, fields)
    if (instead === undefined) this.#receiving.inbound.pass(total)
    else {
      this.#receiving.inbound.drop(total)
      this.#receiving.inbound.put(instead)
    }
    this.#told(head, fields)
  }

  #told(head: Entry | undefined, fields: ErrorFields): void {
    this.saidFatal ||= isFatal(fields)
    this.#failed(head, fields)
  }

  /** The error of a statement that gate added for a counted command: the client sees something else. */
  #isOwn(head: Entry | undefined, fields: ReadonlyMap<string, string>): boolean {
    if (head?.kind !== 'injected' && this.#receiving.shared.counted === undefined) return false
    return !this.#counting.fail(head, fields)
  }

  /** What the client sees in place of the server's error: a refusal, or the error without its texts. */
  #errorInstead(head: Entry | undefined, fields: ReadonlyMap<string, string>, whole = true): Buffer | undefined {
    if (head !== undefined && 'refusal' in head && head.refusal !== undefined) {
      const own = head.failing === undefined || !whole ? undefined : ownError(fields, head.failing)
      return errorMessage(E, own ?? head.refusal)
    }
    return this.#textsInstead(E, head, () => fields)
  }
}
