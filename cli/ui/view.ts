// Starts the live list of requests; apart from it, so that ink and react load only when somebody looks at it.
import { asGateError, GateError } from '@gate/shared/errors'
import type { Connected } from '../app.ts'
import { requestList, sendDecision } from '../request-view.ts'

export async function approvalsView(connected: Connected): Promise<void> {
  const { runApprovals } = await import('./approvals.tsx')
  const { client, credentials, app } = connected
  const stop = new AbortController()
  const follow = async (show: (requests: ReturnType<typeof requestList.parse>['requests']) => void): Promise<void> => {
    const lines = client.lines(
      { method: 'GET', path: '/v1/requests/watch?which=decidable', token: await credentials.token() },
      stop.signal,
    )
    for await (const value of lines) {
      if (typeof value === 'object' && value !== null && 'error' in value)
        throw new GateError('ERR_GATE_UNAUTHENTICATED', 'the login has ended', { hint: 'Run gate login.' })
      const parsed = requestList.safeParse(value)
      if (!parsed.success) throw new GateError('ERR_GATE_PROTOCOL', 'the relay is of another version')
      show(parsed.data.requests)
    }
  }
  try {
    await runApprovals({
      color: app.config.color,
      now: () => app.clock.now(),
      follow,
      decide: async (id, verdict, reason) => {
        try {
          return (await sendDecision(connected, id, verdict, reason)).state
        } catch (thrown) {
          return asGateError(thrown).message
        }
      },
    })
  } finally {
    stop.abort()
  }
}
