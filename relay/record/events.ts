// What is written down: one schema, versioned, for every protocol.
import { signedDecision } from '@gate/shared/approval'
import * as z from 'zod'

export const EVENT_VERSION = 1

const fact = z.union([z.string(), z.number(), z.boolean(), z.null(), z.array(z.string())])
const verdict = z.strictObject({
  effect: z.enum(['allow', 'deny', 'hold']),
  rule: z.string(),
  reason: z.string().optional(),
})

const person = z.strictObject({ id: z.string(), email: z.string().optional() })

/** Of every event of a session. */
const ofSession = {
  session: z.string(),
  /** The person had broken the glass when the session began. */
  brokeGlass: z.literal(true).optional(),
}

/** The body of an event; the recorder adds sequence and time. */
export const eventBody = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('log.start'), version: z.int(), relay: z.string() }),
  z.strictObject({
    type: z.literal('session.start'),
    ...ofSession,
    subject: z.strictObject({ id: z.string(), email: z.string().optional(), groups: z.array(z.string()) }),
    target: z.string(),
    protocol: z.string(),
    task: z.string().optional(),
    reason: z.string().optional(),
    policy: z.string(),
    /** What the client says of itself: its program, and what its protocol names beside that. */
    client: z.record(z.string(), z.string()),
    /** The address that the connection came to the relay from; records made before it was written down have none. */
    clientAddress: z.string().optional(),
  }),
  z.strictObject({
    type: z.literal('session.open'),
    ...ofSession,
    agent: z.string(),
    target: z.record(z.string(), z.string()),
  }),
  z.strictObject({
    type: z.literal('command'),
    ...ofSession,
    /** Counts the commands of a session from 1. */
    command: z.int(),
    /** Set when the command was only prepared; what runs later is recorded then. */
    prepared: z.literal(true).optional(),
    action: z.string(),
    text: z.string(),
    /** The number of an earlier command of this session whose text this is; `text` is then empty. */
    sameTextAs: z.int().optional(),
    /** Bytes of the whole text as it was sent, when `text` was cut. */
    cutFrom: z.int().optional(),
    /** SHA-256 of the whole text, when `text` was cut and nothing in it had to be replaced. */
    sha256: z.string().optional(),
    /** HMAC-SHA256 of the whole text by the relay's key of placeholders, when something had to be. */
    keyedSha256: z.string().optional(),
    parameters: z
      .array(
        z.strictObject({
          text: z.string().nullable(),
          /** Left out where the value is masked for somebody. */
          bytes: z.int().optional(),
          format: z.enum(['text', 'binary']),
        }),
      )
      .optional(),
    /** How many parameters, resources there were, when not all are listed. */
    parametersCutFrom: z.int().optional(),
    resources: z.array(z.strictObject({ kind: z.string(), name: z.string(), mode: z.enum(['read', 'write']) })),
    resourcesCutFrom: z.int().optional(),
    facts: z.record(z.string(), fact),
    /** Names of the facts that were cut. */
    factsCut: z.array(z.string()).optional(),
    /** With `record: full`: the text and the parameters as they were sent, an age file in base64. */
    sealed: z.string().optional(),
    /** What is sealed is not the whole, or was left out. */
    sealedCut: z.literal(true).optional(),
    decision: verdict,
    /** What came of it after people were asked, or after another statement of the same message was refused. */
    settled: verdict.optional(),
    request: z.string().optional(),
    /** The grant that let it pass a hold. */
    grant: z.string().optional(),
    passedByBreakingGlass: z.literal(true).optional(),
    policy: z.string(),
  }),
  z.strictObject({
    type: z.literal('hold'),
    ...ofSession,
    request: z.string(),
    action: z.string(),
    rule: z.string(),
    approvers: z.string(),
    commandHash: z.string(),
    expiresMs: z.number(),
    /** Rows that are written and not committed, when they are what people are asked about. */
    rows: z.int().optional(),
  }),
  z.strictObject({
    type: z.literal('rows'),
    ...ofSession,
    command: z.int(),
    /** Rows that the command wrote, as the target counted them, before they were committed or rolled back. */
    rows: z.int(),
    /** Every row that counted, of this message and this task, when it is more than that. */
    total: z.int().optional(),
    limit: z.int(),
    rule: z.string(),
    decision: verdict,
    request: z.string().optional(),
  }),
  z.strictObject({
    type: z.literal('approval'),
    ...ofSession,
    request: z.string(),
    outcome: z.enum(['approved', 'denied', 'expired', 'withdrawn']),
    by: z.array(
      z.strictObject({
        id: z.string(),
        email: z.string().optional(),
        verdict: z.string(),
        reason: z.string().optional(),
        /** What the approver signed, and the signature. */
        signed: signedDecision.optional(),
      }),
    ),
  }),
  z.strictObject({
    type: z.literal('outcome'),
    ...ofSession,
    command: z.int(),
    rows: z.int().optional(),
    bytes: z.int().optional(),
    /** From when the command went on until the first of its answer was at the relay; what came to nothing has none. */
    firstByteMs: z.number().optional(),
    /** The same until the last of it was. */
    durationMs: z.number().optional(),
    /** The target's own word: a command tag, an SQLSTATE, a status. */
    status: z.string(),
  }),
  /** A command shows something on a terminal of this size, from here on. */
  z.strictObject({
    type: z.literal('terminal'),
    ...ofSession,
    command: z.int(),
    columns: z.int(),
    rows: z.int(),
  }),
  /** What it showed, soon after it did. */
  z.strictObject({
    type: z.literal('output'),
    ...ofSession,
    command: z.int(),
    /** As a terminal takes it, control sequences and all; bytes that are no UTF-8 are U+FFFD. */
    text: z.string(),
    /** Bytes that it was, when not all of it is here. */
    cutFrom: z.int().optional(),
    /** With `record: full`: what it was before something in it was replaced, in parts of its own, each an age file in base64. */
    sealed: z.string().optional(),
  }),
  z.strictObject({ type: z.literal('cancel'), ...ofSession, by: z.string() }),
  /** From here on, texts of a session are recorded by their hash and length only. */
  z.strictObject({
    type: z.literal('limit'),
    ...ofSession,
    /** Whose bytes are used up: those of the session, or those of the target for the day. */
    of: z.enum(['session', 'target']),
    limitBytes: z.int(),
  }),
  /** The glass was broken: somebody else has to look at the session. */
  z.strictObject({ type: z.literal('review'), ...ofSession, review: z.string(), reason: z.string() }),
  z.strictObject({ type: z.literal('view'), session: z.string(), by: z.string() }),
  /** Somebody reads the whole record, from this number on. */
  z.strictObject({ type: z.literal('audit'), by: z.string(), from: z.int() }),
  /** Events became older than they are kept: those up to `last` are deleted once this is signed. */
  z.strictObject({
    type: z.literal('retention'),
    /** Numbers of the first and last event that are deleted now; those before them were earlier. */
    first: z.int(),
    last: z.int(),
    count: z.int(),
    /** When the oldest and the newest of them were recorded. */
    firstMs: z.number(),
    lastMs: z.number(),
    /** How long events are kept. */
    ageMs: z.number(),
    /** Records of a signed tree that covers them, and its root in base64. */
    size: z.int(),
    root: z.string(),
  }),
  /** Somebody ended the session, by itself or with a lock. */
  z.strictObject({
    type: z.literal('kill'),
    ...ofSession,
    by: person,
    reason: z.string(),
    lock: z.string().optional(),
  }),
  z.strictObject({
    type: z.literal('lock'),
    lock: z.string(),
    kind: z.enum(['user', 'target', 'agent']),
    name: z.string(),
    by: person,
    reason: z.string(),
    untilMs: z.number().optional(),
  }),
  z.strictObject({ type: z.literal('unlock'), lock: z.string(), by: person }),
  z.strictObject({
    type: z.literal('session.end'),
    ...ofSession,
    code: z.string(),
    reason: z.string().optional(),
    /** How many events the session had before this one, and SHA-256 over their lines, each with its newline. */
    events: z.int().optional(),
    sha256: z.string().optional(),
  }),
])

export type EventBody = z.infer<typeof eventBody>

/** An event that a session itself brings about. */
export type SessionEvent = Exclude<Extract<EventBody, { session: string }>, { type: 'view' }>

/** Whether a session itself brings the event about, unlike `view`: that is of a session, and others cause it. */
export function isSessionEvent(body: EventBody): body is SessionEvent {
  return 'session' in body && body.type !== 'view'
}

export interface StoredEvent {
  /** Counts the events of a relay from 1. */
  readonly sequence: number
  readonly timeMs: number
  readonly body: EventBody
}
