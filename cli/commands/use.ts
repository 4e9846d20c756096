// gate sessions watch and kill: following a running session, and ending it.
import { GateError } from '@gate/shared/errors'
import * as z from 'zod'
import { type App, connectApp, interruptible } from '../app.ts'
import { sessionLines } from '../session-view.ts'
import { jsonLine } from '../text.ts'
import { heading, Timeline } from '../timeline.ts'
import type { Live } from '../ui/live.tsx'
import { utc, utcTime } from '../when.ts'

/** ink and react take most of a second to load, and only terminals need them. */
const showLive = (title: string, colour: boolean): Promise<Live> =>
  import('../ui/live.tsx').then(({ openLive }) => openLive(title, colour))

/** Ends with the session, or with Ctrl-C. @throws {GateError} what the relay says when it sends no more. */
export async function watchSession(app: App, id: string, { json }: { readonly json?: boolean }): Promise<void> {
  await using connected = await connectApp(app)
  const timeline = new Timeline(app.style, utcTime)
  let title = ''
  let live: Live | undefined
  await interruptible(async signal => {
    try {
      for await (const each of sessionLines(connected, id, true, signal)) {
        if (json === true) app.print(jsonLine(each))
        else if ('session' in each) {
          title = heading(each.session, app.style, utc)
          app.print(title)
        } else {
          // What is shown on a terminal is looked at on one; where there is none, it is lines like everything else.
          if (each.event.body.type === 'terminal' && app.config.interactive)
            live ??= await showLive(title, app.config.color)
          const line = timeline.line(each.event)
          if (live === undefined) app.print(line)
          else await live.put(each.event, line)
        }
      }
    } finally {
      await live?.close()
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
