// gate approve, deny and requests, for people who type an id and for scripts. The live list is in ui/approvals.tsx.
import { GateError } from '@gate/shared/errors'
import { z } from 'zod'
import { type App, type Connected, connectApp } from '../app.ts'
import { type RequestView, requestList, requestSchema, sendDecision } from '../request-view.ts'
import { oneLine, printable, span, table } from '../text.ts'

const requestDetail = requestSchema.extend({
  decisions: z.array(
    z.object({
      by: z.object({ id: z.string(), email: z.string().optional() }),
      verdict: z.string(),
      reason: z.string().optional(),
      decidedMs: z.number(),
    }),
  ),
})

export interface DecideOptions {
  readonly reason?: string
  readonly json?: boolean
}

export async function approve(app: App, id: string | undefined, options: DecideOptions): Promise<void> {
  if (id !== undefined) return decide(app, id, 'approve', options)
  if (options.json === true || !app.config.interactive) return requests(app, { ...options, mine: false })
  await using connected = await connectApp(app)
  await showLive(connected)
}

/** ink and react take most of a second to load, and only the list needs them. */
const showLive = (connected: Connected): Promise<void> =>
  import('../ui/view.ts').then(({ approvalsView }) => approvalsView(connected))

export async function deny(app: App, id: string, options: DecideOptions): Promise<void> {
  if (options.reason === undefined)
    throw new GateError('ERR_GATE_USAGE', 'why not? whoever asked will read it', { hint: 'Add --reason TEXT.' })
  return decide(app, id, 'deny', options)
}

async function decide(
  app: App,
  id: string,
  verdict: 'approve' | 'deny',
  { reason, json }: DecideOptions,
): Promise<void> {
  await using connected = await connectApp(app)
  const token = await connected.credentials.token()
  const path = `/v1/requests/${encodeURIComponent(id)}`
  const request = await connected.client.call({ method: 'GET', path, token }, requestDetail)
  if (json !== true) app.note(describe(app, request))
  const { state } = await sendDecision(connected, id, verdict, reason)
  if (json === true) return app.print(JSON.stringify({ id, verdict, state }))
  const mark = verdict === 'approve' ? app.style.good('✓ approved') : app.style.bad('✗ denied')
  const more = state === 'waiting' ? ` — ${request.approvers} are needed, so it still waits` : ''
  app.print(`${mark} ${id}${more}`)
}

/** Everything an approver has to know, so that nothing in it can deceive. */
export function describe(app: App, request: RequestView): string {
  const who = request.subject.email ?? request.subject.id
  const lines = [
    ['who', `${printable(who)} (${printable(request.subject.groups.join(', '))})`],
    ['target', `${request.target} (${request.protocol})`],
    ['task', request.task === undefined ? undefined : oneLine(request.task, 200)],
    ['reason', request.reason === undefined ? undefined : oneLine(request.reason, 200)],
    ['does', `${request.action} ${printable(request.resources.map(({ name }) => name).join(', '))}`],
    ['rows', request.rows === undefined ? undefined : writtenRows(request.rows)],
    ['rule', `${request.rule}: needs ${request.approvers}`],
    ['until', `${new Date(request.expiresMs).toLocaleTimeString()} (${span(request.expiresMs - app.clock.now())})`],
  ]
  const facts = lines.flatMap(([label, value]) =>
    value === undefined ? [] : [`  ${app.style.dim((label ?? '').padEnd(7))} ${value}`],
  )
  const statement = printable(request.text)
    .split('\n')
    .map(line => `  │ ${line}`)
  const values = request.parameters.map(
    (value, index) => `  $${index + 1} = ${value.text === null ? 'NULL' : `'${oneLine(value.text, 200)}'`}`,
  )
  return [app.style.bold(request.id), ...facts, ...statement, ...values].join('\n')
}

/** Whoever decides over written rows holds up everybody who wants to change them. */
function writtenRows(rows: number): string {
  return `${rows} written and not committed: they stay locked until you decide`
}

export interface RequestsOptions {
  readonly mine?: boolean
  readonly json?: boolean
}

export async function requests(app: App, { mine, json }: RequestsOptions): Promise<void> {
  await using connected = await connectApp(app)
  const { client, credentials } = connected
  const path = `/v1/requests?which=${mine === true ? 'mine' : 'decidable'}`
  const { requests: found } = await client.call({ method: 'GET', path, token: await credentials.token() }, requestList)
  if (json === true) return app.print(JSON.stringify(found))
  if (found.length === 0)
    return app.note(mine === true ? 'You have asked for nothing.' : 'Nothing waits for your decision.')
  const rows = found.map(request => [
    request.id,
    request.state,
    oneLine(request.subject.email ?? request.subject.id, 30),
    request.target,
    request.state === 'waiting' ? span(request.expiresMs - app.clock.now()) : '',
    oneLine(request.text, Math.max(20, app.config.columns - 80)),
  ])
  app.print(table(['REQUEST', 'STATE', 'WHO', 'TARGET', 'LEFT', 'COMMAND'], rows, app.style))
  if (mine !== true) app.note(app.style.dim('gate approve ID, or gate deny ID --reason TEXT'))
}
