// Where the index of sessions gets events from: the record, live and from a number on.
import type { StoredEvent } from '../record/events.ts'

/** What the index needs of the record. */
export interface EventSource {
  /** The number of the newest event. */
  readonly sequence: number
  watch(listener: (event: StoredEvent) => void): Disposable
  /** Every event from this number on, in the order in which each session has them. */
  readFrom(sequence: number): AsyncIterable<StoredEvent>
}
