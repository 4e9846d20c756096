// What is left of a request when it is over: hashes, and what the record has of its command. Nobody decides it any more.
import { type RawBuilder, sql } from 'kysely'
import { type RequestState, transitions } from './states.ts'

interface Forgotten {
  readonly exact: null
  readonly history: string
  readonly operation: RawBuilder<string>
}

/** States that nothing comes after. */
export const settledStates = (Object.keys(transitions) as RequestState[]).filter(
  state => Object.keys(transitions[state]).length === 0,
)

/** Columns that are set when a request comes into a state: in the last one, its command goes. */
export function forgetting(state: RequestState): Forgotten | Record<string, never> {
  return settledStates.includes(state) ? forgotten : {}
}

/** Requests of a release that kept their commands have nothing else to show. */
export const forgotten: Forgotten = {
  exact: null,
  history: '[]',
  operation: sql<string>`(operation - 'recorded' - 'document') || coalesce(operation->'recorded', '{"text":"","parameters":[]}'::jsonb)`,
}

/** Whether more than that is left of a request. */
export const isRemembered = sql<boolean>`(exact is not null or operation->'document' is not null)`
