// What changes in a list of requests that is watched: what is new, and what became of the others. Pure.
import { headline, saidBy } from './request-text.ts'
import type { RequestDetail, RequestView } from './request-view.ts'
import { oneLine } from './text.ts'

const MAX_WHO_LENGTH = 30
const MAX_TEXT_LENGTH = 120

export interface Change {
  /** As it was last listed. */
  readonly request: RequestView
  /** It is not in the list any more. */
  readonly isGone: boolean
  /** It was in the list before, with another state. */
  readonly wasKnown: boolean
}

/** What is new, what changed its state, and what is not there any more; `known` is brought up to date. */
export function changesOf(known: Map<string, RequestView>, found: readonly RequestView[]): Change[] {
  const changed = found
    .filter(request => known.get(request.id)?.state !== request.state)
    .map(request => ({ request, isGone: false, wasKnown: known.has(request.id) }))
  const there = new Set(found.map(({ id }) => id))
  const gone = [...known.values()].filter(({ id }) => !there.has(id))
  for (const { id } of gone) known.delete(id)
  for (const request of found) known.set(request.id, request)
  return [...changed, ...gone.map(request => ({ request, isGone: true, wasKnown: true }))]
}

/** One line for people. `end` is the request as it is now, where that is known. */
export function changeLine({ request, isGone }: Change, end: RequestDetail | undefined): string {
  const who = oneLine(request.subject.email ?? request.subject.id, MAX_WHO_LENGTH)
  const what = `${who} ${request.target} ${oneLine(headline(request), MAX_TEXT_LENGTH)}`
  return `${request.id} ${stateText(end ?? request, isGone)} ${what}`
}

/** One object for scripts: the request, or that it is gone, with what came of it where that is known. */
export function changeJson({ request, isGone }: Change, end: RequestDetail | undefined): object {
  const decisions = end === undefined ? {} : { decisions: end.decisions }
  if (!isGone) return { ...request, ...decisions }
  return { id: request.id, state: 'gone', ...(end === undefined ? {} : { became: end.state }), ...decisions }
}

/** Whether it waits, or what came of it, and by whom. */
function stateText(request: RequestView | RequestDetail, isGone: boolean): string {
  const by = 'decisions' in request ? saidBy(request) : undefined
  switch (request.state) {
    case 'waiting':
      if (!isGone) return 'waiting'
      // Of what nobody asked for any more, the relay notes the end a little later.
      return 'nowMs' in request && request.expiresMs <= request.nowMs
        ? 'expired, undecided:'
        : 'waits for you no longer:'
    // What was approved and then done was approved.
    case 'approved':
    case 'used':
      return `approved${by === undefined ? '' : ` by ${by}`}:`
    case 'denied':
      return `denied${by === undefined ? '' : ` by ${by}`}:`
    case 'expired':
      return 'expired, undecided:'
    case 'withdrawn':
      return 'withdrawn by who asked:'
  }
}
