// gate sessions watch and kill: following a running session, and ending it.
import { GateError } from '@gate/shared/errors'
import { z } from 'zod'
import { type App, connectApp, interruptible } from '../app.ts'
import { sessionLines } from '../session-view.ts'
import { heading, Timeline } from '../timeline.ts'

/** Ends with the session, or with Ctrl-C. @throws {GateError} what the relay says when it sends no more. */
export async function watchSession(app: App, id: string, { json }: { readonly json?: boolean }): Promise<void> {
  await using connected = await connectApp(app)
  const timeline = new Timeline(app.style, ms => new Date(ms).toLocaleTimeString())
  await interruptible(async signal => {
    for await (const each of sessionLines(connected, id, true, signal)) {
      if (json === true) app.print(JSON.stringify(each))
      else if ('session' in each) app.print(heading(each.session, app.style, ms => new Date(ms).toLocaleString()))
      else app.print(timeline.line(each.event))
    }
  })
}

const killed = z.object({ id: z.string(), state: z.enum(['ended', 'asked']), relay: z.string() })

/** @throws {GateError} ERR_GATE_TIMEOUT when the session's relay does not end it: it may be down, and the session with it. */
export async function killSession(
  app: App,
  id: string,
  { reason, json }: { readonly reason: string; readonly json?: boolean },
): Promise<void> {
  await using connected = await connectApp(app)
  const { client, credentials } = connected
  const path = `/v1/sessions/${encodeURIComponent(id)}/kill`
  const answer = await client.call({ method: 'POST', path, token: await credentials.token(), body: { reason } }, killed)
  if (answer.state === 'asked')
    throw new GateError('ERR_GATE_TIMEOUT', `${id} runs on relay ${answer.relay}, which has not ended it yet`, {
      hint: 'It ends it as soon as it looks. A relay that is down has no sessions.',
    })
  if (json === true) return app.print(JSON.stringify(answer))
  app.print(`${app.style.good('✓ ended')} ${id}`)
}
