// A log that a test can read and wait for.
import type { Log, LogFields } from '@gate/shared/log'

export interface Entry {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly event: string
  readonly fields: LogFields
}

export interface CollectedLog extends Log {
  readonly entries: readonly Entry[]
  /** Resolves with the next entry of this name that is written after the call. */
  next(event: string): Promise<Entry>
}

export function collectLog(): CollectedLog {
  const entries: Entry[] = []
  const waiting = new Map<string, ((entry: Entry) => void)[]>()
  const writer =
    (level: Entry['level']) =>
    (event: string, fields: LogFields = {}): void => {
      const entry = { level, event, fields }
      entries.push(entry)
      const told = waiting.get(event) ?? []
      waiting.delete(event)
      for (const tell of told) tell(entry)
    }
  return {
    entries,
    next: event =>
      new Promise(resolve => {
        waiting.set(event, [...(waiting.get(event) ?? []), resolve])
      }),
    debug: writer('debug'),
    info: writer('info'),
    warn: writer('warn'),
    error: writer('error'),
  }
}
