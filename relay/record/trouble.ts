// What is said when the record cannot be written: to whoever wanted to write, and once to the log.
import { GateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'

export const codeOf = (cause: unknown): string => (cause as NodeJS.ErrnoException).code ?? 'unknown error'

export class Trouble {
  readonly #origin: string
  readonly #log: Log
  #failing = false

  /** `origin` names the record. */
  constructor(origin: string, log: Log) {
    this.#origin = origin
    this.#log = log
  }

  /** The error for an event that could not be written. */
  fail(cause: unknown): GateError {
    if (cause instanceof GateError) return cause
    if (!this.#failing) this.#log.error('record.failing', { error: cause, relay: this.#origin })
    this.#failing = true
    return new GateError(
      'ERR_GATE_RECORD',
      `the record cannot be written (${codeOf(cause)}), so the command was not run`,
      {
        cause,
        hint: 'Ask whoever runs the relay to look at its disk.',
      },
    )
  }

  recover(): void {
    if (!this.#failing) return
    this.#failing = false
    this.#log.info('record.writing-again', { relay: this.#origin })
  }
}

/** The error while too much of the record is not where it should be: in its storage, or in its tree. */
export function behindError(isStorageFull: boolean): GateError {
  if (isStorageFull)
    return new GateError(
      'ERR_GATE_RECORD',
      'too much of the record has not reached its storage yet, so the command was not run',
      { hint: 'Ask whoever runs the relay to look at record.storage; it goes on by itself.' },
    )
  return new GateError('ERR_GATE_RECORD', 'too much of the record is not in its tree yet, so the command was not run', {
    hint: 'Ask whoever runs the relay to look at its disk.',
  })
}
