// gate sessions: who did what, where, and what came of it.
import { GateError } from '@gate/shared/errors'
import { type App, type Connected, connectApp } from '../app.ts'
import { report } from '../report.ts'
import { nameOf, readSession, type SessionView, sessionLines, sessionList } from '../session-view.ts'
import { byTime, type Step, stepsOf, stepText } from '../steps.ts'
import { jsonLine, oneLine, span, table } from '../text.ts'
import { heading, Timeline } from '../timeline.ts'
import { parseTime, utc, utcTime } from '../when.ts'

/** Sessions of a task whose steps are shown together, unless --limit says otherwise. */
const TASK_LIMIT = '200'
/** The relay lists no more. */
const MAX_LIMIT = 1_000

export interface SessionsOptions {
  readonly target?: string
  readonly task?: string
  readonly user?: string
  readonly action?: string
  readonly rule?: string
  readonly since?: string
  readonly until?: string
  readonly text?: string
  readonly limit?: string
  readonly format?: string
  readonly json?: boolean
}

export async function sessions(app: App, options: SessionsOptions): Promise<void> {
  const markdown = isMarkdown(options.format)
  if (markdown && options.task === undefined)
    throw new GateError('ERR_GATE_USAGE', 'a report is of a task or of a session', {
      hint: 'Add --task ID, or run: gate sessions show SESSION --format markdown.',
    })
  const query = queryOf(options, app.clock.now())
  await using connected = await connectApp(app)
  const { client, credentials } = connected
  const { sessions: found } = await client.call(
    { method: 'GET', path: `/v1/sessions?${query}`, token: await credentials.token() },
    sessionList,
  )
  if (options.task !== undefined) return await task(connected, options.task, [...found].reverse(), options, markdown)
  if (options.json === true) return app.print(JSON.stringify(found))
  if (found.length === 0) return app.note('There is no such session that you may see.')
  app.print(list(app, found))
  app.note(app.style.dim('gate sessions show ID'))
}

/** The question to the relay. @throws {GateError} ERR_GATE_USAGE for times that are none. */
function queryOf(options: SessionsOptions, nowMs: number): URLSearchParams {
  const query = new URLSearchParams()
  for (const name of ['target', 'task', 'user', 'action', 'rule', 'text', 'limit'] as const) {
    const value = options[name]
    if (value !== undefined) query.set(name, value)
  }
  if (options.limit !== undefined && !isLimit(options.limit))
    throw new GateError('ERR_GATE_USAGE', `--limit: expected 1 to ${MAX_LIMIT}, got "${oneLine(options.limit, 20)}"`)
  if (options.task !== undefined && options.limit === undefined) query.set('limit', TASK_LIMIT)
  const { since, until } = options
  if (since !== undefined) query.set('sinceMs', String(parseTime('--since', since, nowMs, 'before')))
  if (until !== undefined) query.set('untilMs', String(parseTime('--until', until, nowMs, 'before')))
  return query
}

function isLimit(text: string): boolean {
  return /^[1-9]\d{0,3}$/.test(text) && Number(text) <= MAX_LIMIT
}

function list(app: App, found: readonly SessionView[]): string {
  const now = app.clock.now()
  const rows = found.map(each => [
    each.id,
    `${span(now - each.startedMs)} ago`,
    each.endedMs === null ? 'open' : span(each.endedMs - each.startedMs),
    oneLine(nameOf(each.subject), 30),
    each.target,
    String(each.commands),
    String(each.refused),
    String(each.held),
    oneLine(each.program ?? '-', 20),
    oneLine(each.task ?? '-', 40),
  ])
  const header = ['SESSION', 'STARTED', 'LASTED', 'WHO', 'TARGET', 'COMMANDS', 'REFUSED', 'HELD', 'PROGRAM', 'TASK']
  return table(header, rows, app.style)
}

/** What was done for a task, in all of its sessions, step by step. */
async function task(
  connected: Connected,
  name: string,
  found: readonly SessionView[],
  { json }: SessionsOptions,
  markdown: boolean,
): Promise<void> {
  const { app } = connected
  const parts: { session: SessionView; steps: Step[] }[] = []
  for (const { id } of found) {
    const { session, events } = await readSession(connected, id)
    parts.push({ session, steps: stepsOf(session, events) })
  }
  if (json === true) return app.print(JSON.stringify(parts.map(({ session, steps }) => ({ ...session, steps }))))
  if (parts.length === 0) return app.note(`There is no session of ${oneLine(name, 60)} that you may see.`)
  const steps = byTime(parts.flatMap(part => part.steps))
  const all = parts.map(({ session }) => session)
  if (markdown) return app.print(report(`Incident report: task ${name}`, all, steps, app.clock.now()))
  app.print(list(app, all))
  app.print('')
  for (const [index, step] of steps.entries()) app.print(stepText(step, index + 1, app.style, utc))
}

export interface ShowOptions {
  readonly format?: string
  readonly json?: boolean
}

export async function showSession(app: App, id: string, { json, format }: ShowOptions): Promise<void> {
  const markdown = isMarkdown(format)
  await using connected = await connectApp(app)
  if (markdown) {
    const { session, events } = await readSession(connected, id)
    return app.print(report(`Incident report: session ${id}`, [session], stepsOf(session, events), app.clock.now()))
  }
  const timeline = new Timeline(app.style, utcTime)
  for await (const each of sessionLines(connected, id)) {
    if (json === true) app.print(jsonLine(each))
    else if ('session' in each) app.print(heading(each.session, app.style, utc))
    else app.print(timeline.line(each.event))
  }
}

/** @throws {GateError} ERR_GATE_USAGE. */
function isMarkdown(format: string | undefined): boolean {
  if (format === undefined || format === 'text') return false
  if (format === 'markdown') return true
  throw new GateError('ERR_GATE_USAGE', `--format: expected text or markdown, got "${oneLine(format, 20)}"`)
}

/** Ids for completion, of open sessions or of all. */
export async function sessionNames(app: App, open: boolean): Promise<readonly { name: string; detail: string }[]> {
  await using connected = await connectApp(app)
  const { client, credentials } = connected
  const { sessions: found } = await client.call(
    { method: 'GET', path: '/v1/sessions', token: await credentials.token() },
    sessionList,
  )
  return found
    .filter(({ endedMs }) => !open || endedMs === null)
    .map(({ id, subject, target }) => ({ name: id, detail: oneLine(`${nameOf(subject)} on ${target}`, 60) }))
}
