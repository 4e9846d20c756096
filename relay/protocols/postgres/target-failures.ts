// What fails along with an error of the server's: the rest of a simple query, or every message up to the next Sync. Pure.
import type { ClientHalf } from './client-half.ts'
import type { Counting } from './counting.ts'
import type { Entry, FunctionEntry, QueryEntry } from './pending.ts'
import type { Receiving } from './receiving.ts'

/** Errors with which commands that define or drop names fail themselves, and change nothing. Others can be those of the commit. */
const isOfNaming = /^(?:0A|25|26|34|42|54)/

export class TargetFailures {
  readonly #receiving: Receiving
  readonly #counting: Counting
  readonly #client: ClientHalf

  constructor(receiving: Receiving, counting: Counting, client: ClientHalf) {
    this.#receiving = receiving
    this.#counting = counting
    this.#client = client
  }

  /** The server answers the head of what is pending with an error. */
  failed(head: Entry | undefined, fields: ReadonlyMap<string, string>): void {
    const status = fields.get('C') ?? ''
    if (head?.kind === 'query' || head?.kind === 'function') return this.#simpleFailed(head, status)
    if (head !== undefined && head.kind !== 'sync' && head.kind !== 'injected') this.#segmentFailed(status)
  }

  /** The error of a simple command is followed by ReadyForQuery; statements after the failed one are not run. */
  #simpleFailed(head: QueryEntry | FunctionEntry, status: string): void {
    head.failed = true
    const naming = head.kind === 'query' ? head.plans[head.index]?.naming : undefined
    if (naming !== undefined && !isOfNaming.test(status)) this.#receiving.shared.names.failed(naming)
    if (head.kind === 'function') return this.#receiving.report(head, head.plan, '', status)
    for (const [index, plan] of head.plans.entries()) {
      if (index < head.index) continue
      for (const command of plan.commands) {
        const failed = index === head.index
        this.#receiving.effects.observe({
          command,
          rows: undefined,
          bytes: failed ? head.bytes : 0,
          firstByteAtMs: failed ? head.firstByteAtMs : undefined,
          status: failed ? status : 'SKIPPED',
        })
      }
    }
    head.copyIn = false
  }

  /** After an error in the extended protocol the server skips everything up to the next Sync. */
  #segmentFailed(status: string): void {
    let how: 'failed' | 'skipped' = 'failed'
    for (
      let entry = this.#receiving.shared.pending.head;
      entry !== undefined && entry.kind !== 'sync';
      entry = this.#receiving.shared.pending.head
    ) {
      if (entry.kind === 'query' || entry.kind === 'function') {
        // SocketBackend reads them too, and they are skipped: no answer comes for them.
        for (const command of this.#commandsOf(entry))
          this.#receiving.effects.observe({ command, rows: undefined, bytes: 0, status: 'SKIPPED' })
      }
      if (entry.kind === 'execute') {
        this.#receiving.report(entry, entry.plan, '', how === 'failed' ? status : 'SKIPPED')
        if (entry.portal !== undefined) entry.portal.suspended = false
        // It ran, and no FETCH runs it again.
        if (entry.portal !== undefined && how === 'failed' && entry.refusal === undefined) entry.portal.executed = true
        if (this.#receiving.shared.counted?.entry === entry) this.#counting.skipped()
      }
      this.#receiving.shift(how)
      how = 'skipped'
    }
    if (this.#receiving.shared.pending.head !== undefined) return
    this.#receiving.effects.forgetClientQuestion()
    this.#client.serverSkips()
  }

  #commandsOf(entry: QueryEntry | FunctionEntry): readonly number[] {
    return entry.kind === 'query' ? entry.plans.flatMap(plan => plan.commands) : (entry.plan?.commands ?? [])
  }
}
