// gate approve, deny, request and requests, for people who type an id and for scripts. The live list is in ui/approvals.tsx.
import type { Word } from '@gate/shared/approval'
import { duration, formatDuration } from '@gate/shared/duration'
import { GateError } from '@gate/shared/errors'
import { type App, type Connected, connectApp, interruptible } from '../app.ts'
import { changeJson, changeLine, changesOf } from '../request-changes.ts'
import { boundValue, earlier, factsOf, headline } from '../request-text.ts'
import {
  fetchRequest,
  type RequestDetail,
  type RequestView,
  requestList,
  requestSchema,
  sendDecision,
  watchedList,
} from '../request-view.ts'
import { oneLine, printable, span, table } from '../text.ts'
import { utcTime } from '../when.ts'

const DAY_MS = 86_400_000
const grantDuration = duration(1_000, 30 * DAY_MS)

/** @throws {GateError} ERR_GATE_USAGE for what is no duration. */
export function parseGrant(text: string): number {
  const parsed = grantDuration.safeParse(text)
  if (parsed.success) return parsed.data
  throw new GateError('ERR_GATE_USAGE', `--for: ${parsed.error.issues[0]?.message ?? 'not a duration'}`)
}

export interface DecideOptions {
  readonly reason?: string
  readonly for?: string
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

async function decide(app: App, id: string, verdict: Word['verdict'], options: DecideOptions): Promise<void> {
  const asked = options.for === undefined ? undefined : parseGrant(options.for)
  await using connected = await connectApp(app)
  const request = await fetchRequest(connected, id)
  if (options.json !== true) app.note(describe(app, request))
  // Whoever approves a wish for a grant grants what was asked for, unless they say less.
  const grantMs = asked ?? (verdict === 'approve' && request.kind === 'grant' ? request.grantMs : undefined)
  const { state } = await sendDecision(connected, request, { verdict, reason: options.reason, grantMs })
  if (options.json === true) return app.print(JSON.stringify({ id, verdict, state, grantMs }))
  const mark = verdict === 'approve' ? app.style.good('✓ approved') : app.style.bad('✗ denied')
  const granted = grantMs === undefined ? '' : ` for ${formatDuration(grantMs)}`
  const more = state === 'waiting' ? ` — ${request.approvers} are needed, so it still waits` : ''
  app.print(`${mark} ${id}${granted}${more}`)
}

/** Everything an approver has to know, so that nothing in it can deceive. */
export function describe(app: App, request: RequestDetail): string {
  const facts = factsOf(request).map(([label, value]) => `  ${app.style.dim(label.padEnd(9))} ${value}`)
  const statement =
    request.kind === 'grant'
      ? []
      : printable(request.text)
          .split('\n')
          .map(line => `  │ ${line}`)
  const values = request.parameters.map((value, index) => `  ${boundValue(value, index)}`)
  const before = request.history.length === 0 ? [] : [`  ${app.style.dim('before')}`, ...earlier(request)]
  return [app.style.bold(request.id), ...facts, ...statement, ...values, ...before].join('\n')
}

export interface RequestsOptions {
  readonly mine?: boolean
  readonly watch?: boolean
  readonly json?: boolean
}

export async function requests(app: App, options: RequestsOptions): Promise<void> {
  await using connected = await connectApp(app)
  if (options.watch === true) return await watch(connected, options)
  const { client, credentials } = connected
  const path = `/v1/requests?which=${options.mine === true ? 'mine' : 'decidable'}`
  const found = await client.call({ method: 'GET', path, token: await credentials.token() }, requestList)
  if (options.json === true) return app.print(JSON.stringify(found.requests))
  if (found.requests.length === 0)
    return app.note(options.mine === true ? 'You have asked for nothing.' : 'Nothing waits for your decision.')
  app.print(asTable(app, found.requests, found.nowMs))
  if (options.mine !== true) app.note(app.style.dim('gate approve ID, or gate deny ID --reason TEXT'))
}

function asTable(app: App, found: readonly RequestView[], nowMs: number): string {
  const rows = found.map(request => [
    request.id,
    request.state,
    oneLine(request.subject.email ?? request.subject.id, 30),
    request.target,
    request.state === 'waiting' ? span(request.expiresMs - nowMs) : '',
    oneLine(headline(request), Math.max(20, app.config.columns - 80)),
  ])
  return table(['REQUEST', 'STATE', 'WHO', 'TARGET', 'LEFT', 'COMMAND'], rows, app.style)
}

/** One line for each change, until Ctrl-C: for scripts that react, and for logs. */
async function watch(connected: Connected, { mine, json }: RequestsOptions): Promise<void> {
  const { app, client, credentials } = connected
  const path = `/v1/requests/watch?which=${mine === true ? 'all' : 'decidable'}`
  await interruptible(async signal => {
    const known = new Map<string, RequestView>()
    for await (const value of client.lines({ method: 'GET', path, token: await credentials.token() }, signal)) {
      if (typeof value === 'object' && value !== null && 'error' in value)
        throw new GateError('ERR_GATE_UNAUTHENTICATED', 'the login has ended', { hint: 'Run gate login.' })
      const parsed = watchedList.safeParse(value)
      if (!parsed.success) throw new GateError('ERR_GATE_PROTOCOL', 'the relay is of another version')
      for (const change of changesOf(known, parsed.data.requests)) {
        const end = change.wasKnown ? await endOf(connected, change.request.id) : undefined
        if (json === true) app.print(JSON.stringify(changeJson(change, end)))
        else app.print(`${utcTime(app.clock.now())} ${changeLine(change, end)}`)
      }
    }
  })
}

/** What came of a request that was listed; undefined when this person may not see that, or cannot now. */
async function endOf(connected: Connected, id: string): Promise<RequestDetail | undefined> {
  return fetchRequest(connected, id).catch(() => undefined)
}

export interface WishOptions {
  readonly rule: string
  readonly for: string
  readonly reason: string
  readonly json?: boolean
}

/** gate request: asks ahead for a grant. */
export async function wish(app: App, target: string, options: WishOptions): Promise<void> {
  const grantMs = parseGrant(options.for)
  await using connected = await connectApp(app)
  const { client, credentials } = connected
  const body = { target, rule: options.rule, grantMs, reason: options.reason }
  const made = await client.call(
    { method: 'POST', path: '/v1/requests', token: await credentials.token(), body },
    requestSchema,
  )
  if (options.json === true) return app.print(JSON.stringify(made))
  app.print(`${app.style.wait('…')} ${made.id} waits for ${made.approvers}`)
  app.note(app.style.dim(`They can run: gate approve ${made.id}. gate grants shows it once it is given.`))
}

/** Ids for completion. */
export async function requestNames(app: App): Promise<readonly { name: string; detail: string }[]> {
  await using connected = await connectApp(app)
  const { client, credentials } = connected
  const path = '/v1/requests?which=decidable'
  const found = await client.call({ method: 'GET', path, token: await credentials.token() }, requestList)
  return found.requests.map(request => ({ name: request.id, detail: oneLine(headline(request), 60) }))
}
