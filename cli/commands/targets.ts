// gate targets: what this person may open.
import * as z from 'zod'
import { type App, connectApp } from '../app.ts'
import { printable, table } from '../text.ts'

const answer = z.object({
  targets: z.array(
    z.object({ name: z.string(), protocol: z.string(), labels: z.record(z.string(), z.string()), online: z.boolean() }),
  ),
})

export async function targets(app: App, { json }: { readonly json?: boolean }): Promise<void> {
  await using connected = await connectApp(app)
  const { client, credentials } = connected
  const { targets: found } = await client.call(
    { method: 'GET', path: '/v1/targets', token: await credentials.token() },
    answer,
  )
  if (json === true) return app.print(JSON.stringify(found))
  if (found.length === 0)
    return app.note(
      'There is no target that you may open: your groups decide (gate whoami shows them), or no agent has announced one yet.',
    )
  const rows = found.map(({ name, protocol, labels, online }) => [
    name,
    protocol,
    online ? 'online' : 'offline',
    printable(
      Object.entries(labels)
        .map(([key, value]) => `${key}=${value}`)
        .join(' '),
    ),
  ])
  app.print(table(['TARGET', 'PROTOCOL', 'AGENT', 'LABELS'], rows, app.style))
}

/** Names for completion; nothing when that cannot be asked quickly. */
export async function targetNames(app: App): Promise<readonly { name: string; protocol: string }[]> {
  await using connected = await connectApp(app)
  const { client, credentials } = connected
  return (await client.call({ method: 'GET', path: '/v1/targets', token: await credentials.token() }, answer)).targets
}
