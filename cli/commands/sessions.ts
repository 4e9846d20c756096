// gate sessions: who did what, where, and what came of it.
import { GateError } from '@gate/shared/errors'
import { z } from 'zod'
import { type App, connectApp } from '../app.ts'
import { oneLine, printable, span, table } from '../text.ts'

const session = z.object({
  id: z.string(),
  subject: z.object({ id: z.string(), email: z.string().nullable(), groups: z.array(z.string()) }),
  target: z.string(),
  protocol: z.string(),
  agent: z.string().nullable(),
  task: z.string().nullable(),
  reason: z.string().nullable(),
  program: z.string().nullable(),
  startedMs: z.number(),
  endedMs: z.number().nullable(),
  endCode: z.string().nullable(),
  commands: z.number(),
  refused: z.number(),
  held: z.number(),
})

const sessionList = z.object({ sessions: z.array(session) })
const verdict = z.object({ effect: z.string(), rule: z.string(), reason: z.string().optional() })

const event = z.object({
  sequence: z.number(),
  timeMs: z.number(),
  body: z.looseObject({
    type: z.string(),
    command: z.number().optional(),
    prepared: z.boolean().optional(),
    text: z.string().optional(),
    sameTextAs: z.number().optional(),
    decision: verdict.optional(),
    settled: verdict.optional(),
    parameters: z.array(z.object({ text: z.string().nullable() })).optional(),
    rows: z.number().optional(),
    limit: z.number().optional(),
    rule: z.string().optional(),
    durationMs: z.number().optional(),
    status: z.string().optional(),
    request: z.string().optional(),
    grant: z.string().optional(),
    passedByBreakingGlass: z.boolean().optional(),
    review: z.string().optional(),
    outcome: z.string().optional(),
    by: z
      .union([
        z.string(),
        z.array(z.object({ id: z.string(), email: z.string().optional(), reason: z.string().optional() })),
      ])
      .optional(),
    approvers: z.string().optional(),
    code: z.string().optional(),
    reason: z.string().optional(),
    agent: z.string().optional(),
  }),
})
type EventView = z.infer<typeof event>

const line = z.union([z.object({ session }), z.object({ event })])

export interface SessionsOptions {
  readonly target?: string
  readonly task?: string
  readonly user?: string
  readonly limit?: string
  readonly json?: boolean
}

export async function sessions(app: App, options: SessionsOptions): Promise<void> {
  await using connected = await connectApp(app)
  const { client, credentials } = connected
  const query = new URLSearchParams()
  for (const name of ['target', 'task', 'user', 'limit'] as const) {
    const value = options[name]
    if (value !== undefined) query.set(name, value)
  }
  const { sessions: found } = await client.call(
    { method: 'GET', path: `/v1/sessions?${query}`, token: await credentials.token() },
    sessionList,
  )
  if (options.json === true) return app.print(JSON.stringify(found))
  if (found.length === 0) return app.note('There is no such session that you may see.')
  const now = app.clock.now()
  const rows = found.map(each => [
    each.id,
    `${span(now - each.startedMs)} ago`,
    each.endedMs === null ? 'open' : span(each.endedMs - each.startedMs),
    oneLine(each.subject.email ?? each.subject.id, 30),
    each.target,
    each.endedMs === null ? '' : String(each.commands),
    each.endedMs === null ? '' : String(each.refused),
    oneLine([each.task, each.program].filter(Boolean).join(' '), 40),
  ])
  app.print(table(['SESSION', 'STARTED', 'LASTED', 'WHO', 'TARGET', 'COMMANDS', 'REFUSED', 'TASK'], rows, app.style))
  app.note(app.style.dim('gate sessions show ID'))
}

export async function showSession(app: App, id: string, { json }: { readonly json?: boolean }): Promise<void> {
  await using connected = await connectApp(app)
  const { client, credentials } = connected
  const texts = new Map<number, string>()
  const path = `/v1/sessions/${encodeURIComponent(id)}`
  for await (const value of client.lines({ method: 'GET', path, token: await credentials.token() })) {
    if (json === true) {
      app.print(JSON.stringify(value))
      continue
    }
    const parsed = line.safeParse(value)
    if (!parsed.success) throw new GateError('ERR_GATE_PROTOCOL', 'the record is of a newer version than this gate')
    if ('session' in parsed.data) app.print(heading(app, parsed.data.session))
    else for (const text of timeline(app, parsed.data.event, texts)) app.print(text)
  }
}

function heading(
  app: App,
  { id, subject, target, program, task, reason, agent, startedMs }: z.infer<typeof session>,
): string {
  const who = printable(subject.email ?? subject.id)
  const more = [
    agent === null ? '' : `agent ${agent}`,
    program ?? '',
    task === null ? '' : `task ${task}`,
    reason ?? '',
  ].filter(Boolean)
  return `${app.style.bold(id)} ${who} on ${target}, ${new Date(startedMs).toLocaleString()}${more.length === 0 ? '' : ` (${printable(more.join(', '))})`}`
}

/** One event as lines a person can read. */
function timeline(app: App, { timeMs, body }: EventView, texts: Map<number, string>): string[] {
  const { style } = app
  const time = style.dim(new Date(timeMs).toLocaleTimeString())
  switch (body.type) {
    case 'command': {
      const text = body.sameTextAs === undefined ? (body.text ?? '') : (texts.get(body.sameTextAs) ?? '')
      if (body.command !== undefined && body.sameTextAs === undefined) texts.set(body.command, text)
      const final = body.settled ?? body.decision
      const mark =
        final?.effect === 'allow' ? style.good('✓') : final?.effect === 'hold' ? style.wait('…') : style.bad('✗')
      const values = (body.parameters ?? [])
        .map(({ text: value }) => (value === null ? 'NULL' : `'${value}'`))
        .join(', ')
      const why =
        final?.effect === 'deny' ? style.bad(` — refused by ${final.rule}: ${printable(final.reason ?? '')}`) : ''
      const prepared = body.prepared === true ? style.dim(' (prepared)') : ''
      const granted = body.grant === undefined ? '' : style.dim(` (grant ${body.grant})`)
      const glass = body.passedByBreakingGlass === true ? style.bad(' (not approved: the glass was broken)') : ''
      return [
        `${time} ${mark} ${String(body.command).padStart(3)}  ${oneLine(text, 2000)}${values === '' ? '' : style.dim(` [${oneLine(values, 300)}]`)}${prepared}${granted}${glass}${why}`,
      ]
    }
    case 'outcome': {
      const rows = body.rows === undefined ? '' : `, ${body.rows} rows`
      const duration = body.durationMs === undefined ? '' : `, ${body.durationMs} ms`
      return [
        `${time}   ${String(body.command).padStart(3)}  ${style.dim(`→ ${printable(body.status ?? '')}${rows}${duration}`)}`,
      ]
    }
    case 'hold': {
      const rows = body.rows === undefined ? '' : `, with ${body.rows} rows written before commit`
      return [`${time} ${style.wait('…')}      held for ${body.approvers}${rows} (${body.request})`]
    }
    case 'approval': {
      const by = Array.isArray(body.by)
        ? body.by
            .map(({ email, id, reason }) => `${email ?? id}${reason === undefined ? '' : `: ${reason}`}`)
            .join(', ')
        : ''
      return [
        `${time} ${body.outcome === 'approved' ? style.good('✓') : style.bad('✗')}      ${body.request} ${body.outcome}${by === '' ? '' : ` by ${printable(by)}`}`,
      ]
    }
    case 'rows': {
      const mark = body.decision?.effect === 'allow' ? style.good('✓') : style.bad('✗')
      const why = body.decision?.effect === 'deny' ? `: ${printable(body.decision.reason ?? '')}` : ''
      return [
        `${time} ${mark} ${String(body.command).padStart(3)}  ${body.rows} rows written before commit, limit ${body.limit} of ${body.rule}${why}`,
      ]
    }
    case 'review':
      return [
        `${time} ${style.bad('!')}      the glass was broken: ${printable(body.reason ?? '')} (review ${body.review})`,
      ]
    case 'cancel':
      return [`${time}        cancelled`]
    case 'view':
      return [`${time}        ${style.dim(`looked at by ${printable(String(body.by))}`)}`]
    case 'session.end':
      return [
        `${time}        ended${body.code === 'ended' ? '' : `: ${body.code}`}${body.reason === undefined ? '' : ` (${printable(body.reason)})`}`,
      ]
    default:
      return []
  }
}
