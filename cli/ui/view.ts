// Starts the live list of requests; apart from it, so that ink and react load only when somebody looks at it.
import { asGateError, GateError } from '@gate/shared/errors'
import type { Connected } from '../app.ts'
import { fetchRequest, sendDecision, watchedList } from '../request-view.ts'
import type { Shown } from './approvals.tsx'

export async function approvalsView(connected: Connected): Promise<void> {
  const { runApprovals } = await import('./approvals.tsx')
  const { client, credentials, app } = connected
  const stop = new AbortController()
  const follow = async (show: (shown: Shown) => void): Promise<void> => {
    const lines = client.lines(
      { method: 'GET', path: '/v1/requests/watch?which=decidable', token: await credentials.token() },
      stop.signal,
    )
    for await (const value of lines) {
      if (typeof value === 'object' && value !== null && 'error' in value)
        throw new GateError('ERR_GATE_UNAUTHENTICATED', 'the login has ended', { hint: 'Run gate login.' })
      const parsed = watchedList.safeParse(value)
      if (!parsed.success) throw new GateError('ERR_GATE_PROTOCOL', 'the relay is of another version')
      const { nowMs, requests, reviews } = parsed.data
      show({ requests, reviews, aheadMs: nowMs - app.clock.now() })
    }
  }
  try {
    await runApprovals({
      color: app.config.color,
      now: () => app.clock.now(),
      follow,
      open: id => fetchRequest(connected, id),
      decide: async (request, word) => {
        try {
          return (await sendDecision(connected, request, word)).state
        } catch (thrown) {
          return asGateError(thrown).message
        }
      },
    })
  } finally {
    stop.abort()
  }
}
