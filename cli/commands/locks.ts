// gate lock, unlock and locks.
import { GateError } from '@gate/shared/errors'
import * as z from 'zod'
import { type App, connectApp } from '../app.ts'
import { nameOf } from '../session-view.ts'
import { oneLine, printable, span, table } from '../text.ts'
import { parseTime, utc } from '../when.ts'

const lockSchema = z.object({
  id: z.string(),
  kind: z.enum(['user', 'target', 'agent']),
  name: z.string(),
  reason: z.string(),
  by: z.object({ id: z.string(), email: z.string().optional() }),
  createdMs: z.number(),
  untilMs: z.number().optional(),
})
const made = lockSchema.extend({ known: z.boolean() })
const lockList = z.object({ locks: z.array(lockSchema) })

export interface LockOptions {
  readonly until?: string
  readonly reason: string
  readonly json?: boolean
}

/** @throws {GateError} ERR_GATE_USAGE for what cannot be locked, or for a time that is past. */
export async function lock(app: App, kind: string, name: string, options: LockOptions): Promise<void> {
  if (!['user', 'target', 'agent'].includes(kind))
    throw new GateError('ERR_GATE_USAGE', `expected user, target or agent, got "${oneLine(kind, 20)}"`)
  const now = app.clock.now()
  const untilMs = options.until === undefined ? undefined : parseTime('--until', options.until, now, 'after')
  if (untilMs !== undefined && untilMs <= now) throw new GateError('ERR_GATE_USAGE', '--until: that time is past')
  await using connected = await connectApp(app)
  const { client, credentials } = connected
  const body = { kind, name, reason: options.reason, ...(untilMs === undefined ? {} : { untilMs }) }
  const answer = await client.call({ method: 'POST', path: '/v1/locks', token: await credentials.token(), body }, made)
  if (options.json === true) return app.print(JSON.stringify(answer))
  const until = answer.untilMs === undefined ? '' : ` until ${utc(answer.untilMs)}`
  app.print(`${app.style.bad('✗ locked')} ${answer.kind} ${printable(answer.name)}${until} (${answer.id})`)
  if (!answer.known)
    app.note(app.style.wait('Nobody of that name has logged in lately: is it spelt as gate sessions has it?'))
  app.note(app.style.dim(`gate unlock ${answer.id}`))
}

export async function unlock(app: App, id: string, { json }: { readonly json?: boolean }): Promise<void> {
  await using connected = await connectApp(app)
  const { client, credentials } = connected
  const path = `/v1/locks/${encodeURIComponent(id)}`
  const answer = await client.call({ method: 'DELETE', path, token: await credentials.token() }, lockSchema)
  if (json === true) return app.print(JSON.stringify(answer))
  app.print(`${app.style.good('✓ unlocked')} ${answer.kind} ${printable(answer.name)} (${id})`)
}

export async function locks(app: App, { json }: { readonly json?: boolean }): Promise<void> {
  await using connected = await connectApp(app)
  const { client, credentials } = connected
  const { locks: found } = await client.call(
    { method: 'GET', path: '/v1/locks', token: await credentials.token() },
    lockList,
  )
  if (json === true) return app.print(JSON.stringify(found))
  if (found.length === 0) return app.note('There is no lock that you may take away.')
  const now = app.clock.now()
  const rows = found.map(each => [
    each.id,
    each.kind,
    oneLine(each.name, 40),
    `${span(now - each.createdMs)} ago`,
    each.untilMs === undefined ? '' : span(each.untilMs - now),
    oneLine(nameOf(each.by), 30),
    oneLine(each.reason, 60),
  ])
  app.print(table(['LOCK', 'KIND', 'NAME', 'MADE', 'LEFT', 'BY', 'REASON'], rows, app.style))
  app.note(app.style.dim('gate unlock LOCK'))
}

/** Ids for completion. */
export async function lockNames(app: App): Promise<readonly { name: string; detail: string }[]> {
  await using connected = await connectApp(app)
  const { client, credentials } = connected
  const { locks: found } = await client.call(
    { method: 'GET', path: '/v1/locks', token: await credentials.token() },
    lockList,
  )
  return found.map(({ id, kind, name }) => ({ name: id, detail: oneLine(`${kind} ${name}`, 60) }))
}
