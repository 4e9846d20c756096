// Sessions and their events as the relay's API shows them.
import { GateError } from '@gate/shared/errors'
import { parseRefusal } from '@gate/shared/messages'
import * as z from 'zod'
import type { Connected } from './app.ts'

export const sessionSchema = z.object({
  id: z.string(),
  subject: z.object({ id: z.string(), email: z.string().nullable(), groups: z.array(z.string()) }),
  target: z.string(),
  protocol: z.string(),
  agent: z.string().nullable(),
  relay: z.string(),
  task: z.string().nullable(),
  reason: z.string().nullable(),
  program: z.string().nullable(),
  /** Relays that do not write it down yet do not say it. */
  clientAddress: z.string().nullable().default(null),
  startedMs: z.number(),
  endedMs: z.number().nullable(),
  endCode: z.string().nullable(),
  commands: z.number(),
  refused: z.number(),
  held: z.number(),
})
export type SessionView = z.infer<typeof sessionSchema>

export const sessionList = z.object({ sessions: z.array(sessionSchema) })

const verdict = z.object({ effect: z.string(), rule: z.string(), reason: z.string().optional() })
const person = z.object({ id: z.string(), email: z.string().optional(), reason: z.string().optional() })

/** Loose: what an event has beyond this is kept for exports. */
export const eventSchema = z.object({
  sequence: z.number(),
  timeMs: z.number(),
  body: z.looseObject({
    type: z.string(),
    command: z.number().optional(),
    prepared: z.boolean().optional(),
    action: z.string().optional(),
    text: z.string().optional(),
    sameTextAs: z.number().optional(),
    cutFrom: z.number().optional(),
    columns: z.number().optional(),
    decision: verdict.optional(),
    settled: verdict.optional(),
    parameters: z.array(z.object({ text: z.string().nullable() })).optional(),
    rows: z.number().optional(),
    total: z.number().optional(),
    limit: z.number().optional(),
    rule: z.string().optional(),
    firstByteMs: z.number().optional(),
    durationMs: z.number().optional(),
    status: z.string().optional(),
    request: z.string().optional(),
    grant: z.string().optional(),
    passedByBreakingGlass: z.boolean().optional(),
    review: z.string().optional(),
    outcome: z.string().optional(),
    by: z.union([z.string(), z.array(person), person]).optional(),
    approvers: z.string().optional(),
    code: z.string().optional(),
    reason: z.string().optional(),
    agent: z.string().optional(),
    lock: z.string().optional(),
    from: z.number().optional(),
    first: z.number().optional(),
    last: z.number().optional(),
    of: z.string().optional(),
    limitBytes: z.number().optional(),
    kind: z.string().optional(),
    name: z.string().optional(),
    untilMs: z.number().optional(),
    subject: z.object({ id: z.string(), email: z.string().optional(), groups: z.array(z.string()) }).optional(),
    protocol: z.string().optional(),
    relay: z.string().optional(),
  }),
})
export type EventView = z.infer<typeof eventSchema>

const line = z.union([
  z.object({ session: sessionSchema }),
  z.object({ event: eventSchema }),
  z.object({ error: z.looseObject({}) }),
])

/** What the relay tells of one session: who it was, then its events. */
export type SessionLine = { readonly session: SessionView } | { readonly event: EventView }

/**
 * A session's events as they are read, or, with `follow`, until it ends.
 * @throws {GateError} what the relay says, also in mid-stream; ERR_GATE_PROTOCOL for what is not understood.
 */
export async function* sessionLines(
  { client, credentials }: Connected,
  id: string,
  follow = false,
  signal?: AbortSignal,
): AsyncGenerator<SessionLine> {
  const path = `/v1/sessions/${encodeURIComponent(id)}${follow ? '/watch' : ''}`
  for await (const value of client.lines({ method: 'GET', path, token: await credentials.token() }, signal)) {
    const parsed = line.safeParse(value)
    if (!parsed.success) throw new GateError('ERR_GATE_PROTOCOL', 'the record is of a newer version than this gate')
    if ('error' in parsed.data) throw saidError(parsed.data.error)
    yield parsed.data
  }
}

/** A session and all of its events. The relay's answers are bounded, so this is too. */
export async function readSession(
  connected: Connected,
  id: string,
): Promise<{ session: SessionView; events: readonly EventView[] }> {
  let session: SessionView | undefined
  const events: EventView[] = []
  for await (const each of sessionLines(connected, id)) {
    if ('session' in each) session = each.session
    else events.push(each.event)
  }
  if (session === undefined) throw new GateError('ERR_GATE_PROTOCOL', 'the relay did not say which session it is')
  return { session, events }
}

function saidError(body: object): GateError {
  return parseRefusal(body) ?? new GateError('ERR_GATE_PROTOCOL', 'the relay said an error that is not understood')
}

export function nameOf({ id, email }: { readonly id: string; readonly email?: string | null | undefined }): string {
  return email ?? id
}
