// Where the index of sessions gets events from: the record, live and from a number on. The only file here that knows the recorder.
import type { StoredEvent } from '../record/events.ts'
import type { Recorder } from '../record/recorder.ts'
import type { Store } from '../store/store.ts'

/** What the index needs of the record. */
export interface EventSource {
  /** The number of the newest event. */
  readonly sequence: number
  watch(listener: (event: StoredEvent) => void): Disposable
  /** Every event from this number on, in the order in which each session has them. */
  readFrom(sequence: number): AsyncIterable<StoredEvent>
}

/** A record that can be read from a number on. */
interface ReadableFrom {
  readFrom(sequence: number): AsyncIterable<StoredEvent>
}

/**
 * The record as a source. While it cannot be read from a number on by itself, the sessions that the store knows are read
 * one after the other: enough after a crash of the relay, but a store that was lost is not filled again.
 */
export function recordSource(recorder: Recorder & Partial<ReadableFrom>, store: Store, relay: string): EventSource {
  return {
    get sequence() {
      return recorder.sequence
    },
    watch: listener => recorder.watch(listener),
    readFrom: sequence => recorder.readFrom?.(sequence) ?? readSessions(recorder, store, relay, sequence),
  }
}

async function* readSessions(
  recorder: Recorder,
  store: Store,
  relay: string,
  sequence: number,
): AsyncGenerator<StoredEvent> {
  const sessions = await store.db
    .selectFrom('sessions')
    .select(['id', 'first_event', 'last_event'])
    .where('relay', '=', relay)
    .where(({ or, eb }) => or([eb('last_event', 'is', null), eb('last_event', '>=', sequence)]))
    .orderBy('first_event')
    .execute()
  for (const { id, first_event, last_event } of sessions)
    yield* recorder.read(id, Math.max(first_event, sequence), last_event ?? recorder.sequence)
}
