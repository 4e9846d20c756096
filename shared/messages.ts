// What the three programs say to each other beside the target's own bytes.
import { Packr } from 'msgpackr'
import * as z from 'zod'
import { signedDecision } from './approval.ts'
import { errorFromBody, GateError } from './errors.ts'

/** Raised when an older peer could misunderstand; peers of another version are refused with a clear text. */
export const PROTOCOL_VERSION = 4

/** A control message is small; anything above is an attack or a defect. */
export const MAX_CONTROL_BYTES = 64 * 1024

/** Longest text in a message, in UTF-16 code units. */
export const MAX_TEXT_LENGTH = 4096

const shortText = z.string().max(MAX_TEXT_LENGTH)
const name = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'expected lower-case letters, digits, dot, dash, underscore')
const texts = z.record(z.string().max(128), shortText)

export const targetName = name

export const targetSchema = z.strictObject({
  name,
  protocol: z.string().max(32),
  labels: texts,
  options: texts,
})

const errorBody = z.strictObject({
  code: z.string().max(64),
  message: shortText,
  hint: shortText.optional(),
  detail: shortText.optional(),
  fields: texts.optional(),
})

/** The error in an HTTP answer of a relay, which may be newer and say more; undefined when the answer is something else. */
export function parseRefusal(value: unknown): GateError | undefined {
  const parsed = z.object(errorBody.shape).safeParse(value)
  return parsed.success ? errorFromBody(parsed.data) : undefined
}

/** Messages on a stream (one channel per forwarded connection), beside the target's own bytes. */
export const streamMessage = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('end') }),
  z.strictObject({ type: z.literal('error'), error: errorBody }),
  z.strictObject({ type: z.literal('notice'), text: shortText }),
  /** From `gate connect` to the relay: what a person wants to reach, and what for. */
  z.strictObject({
    type: z.literal('connect'),
    token: shortText,
    target: name,
    task: shortText.optional(),
    reason: shortText.optional(),
    breakGlass: z.boolean(),
    isPeerGone: z.boolean(),
  }),
  /** The relay knows who asks, and serves the connection from here on. */
  z.strictObject({ type: z.literal('accepted') }),
  /** From the relay to an agent. */
  z.strictObject({ type: z.literal('open'), stream: shortText, target: name, parameters: texts }),
  z.strictObject({ type: z.literal('opened'), detail: texts }),
  /** To agents that check approvals: what the next command on this stream is, and who approved it. */
  z.strictObject({
    type: z.literal('command'),
    actions: z.array(z.string().max(64)).max(100),
    approvals: z.array(signedDecision).max(20),
  }),
])
export type StreamMessage = z.infer<typeof streamMessage>

/** Messages on the agent's control socket. */
export const controlMessage = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('challenge'), version: z.int(), relay: shortText, nonce: shortText }),
  z.strictObject({
    type: z.literal('hello'),
    version: z.int(),
    agent: name,
    signature: shortText,
    targets: z.array(targetSchema).max(1000),
  }),
  z.strictObject({
    type: z.literal('welcome'),
    dataToken: shortText,
    /** Those that the agent's enrolment does not cover. */
    refusedTargets: z.array(name).max(1000),
    /** Those that another agent serves as something else. */
    contestedTargets: z.array(name).max(1000),
  }),
  z.strictObject({ type: z.literal('refused'), error: errorBody }),
  z.strictObject({ type: z.literal('cancel'), stream: shortText }),
  /** The target has taken a cancel request, or there was nothing to cancel: the answer to `cancel`. */
  z.strictObject({ type: z.literal('cancelled'), stream: shortText }),
  /** What the agent has seen of relays' records; the relay answers with its own newest checkpoint. */
  z.strictObject({
    type: z.literal('held'),
    trees: z.array(z.strictObject({ origin: shortText, size: z.int().nonnegative() })).max(20),
  }),
  z.strictObject({
    type: z.literal('checkpoint'),
    checkpoint: shortText,
    verifier: shortText,
    proof: z.array(shortText).max(64),
  }),
])
export type ControlMessage = z.infer<typeof controlMessage>

const packr = new Packr({ useRecords: false, mapsAsObjects: true })

export function packControl(message: ControlMessage): Buffer {
  return packr.pack(message)
}

/** @throws {GateError} ERR_GATE_PROTOCOL for anything that is not exactly one of the control messages. */
export function unpackControl(bytes: Uint8Array): ControlMessage {
  let value: unknown
  try {
    value = packr.unpack(bytes)
  } catch (cause) {
    throw new GateError('ERR_GATE_PROTOCOL', 'a control message cannot be decoded', { cause })
  }
  const parsed = controlMessage.safeParse(value)
  if (!parsed.success) throw new GateError('ERR_GATE_PROTOCOL', 'a control message has an unknown form')
  return parsed.data
}

/** @throws {GateError} ERR_GATE_PROTOCOL for anything that is not exactly one of the stream messages. */
export function parseStreamMessage(text: string): StreamMessage {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new GateError('ERR_GATE_PROTOCOL', 'a stream message is not JSON', { cause })
  }
  const parsed = streamMessage.safeParse(value)
  if (!parsed.success) throw new GateError('ERR_GATE_PROTOCOL', 'a stream message has an unknown form')
  return parsed.data
}

/**
 * The text of a message that the other side will take: what people give can be longer than it may be.
 * @throws {GateError} ERR_GATE_LIMIT with what of it is too long.
 */
export function packStreamMessage(message: StreamMessage): string {
  const parsed = streamMessage.safeParse(message)
  const [issue] = parsed.success ? [] : parsed.error.issues
  if (issue !== undefined) throw new GateError('ERR_GATE_LIMIT', `${issue.path.join('.')}: ${issue.message}`)
  const text = JSON.stringify(message)
  if (Buffer.byteLength(text) > MAX_CONTROL_BYTES)
    throw new GateError('ERR_GATE_LIMIT', `a message of more than ${MAX_CONTROL_BYTES} bytes on a stream`)
  return text
}

/** What an agent signs to prove that it has its key: the relay it talks to, the fresh nonce, its name and what it announces. */
export function helloBytes(relay: string, nonce: string, agent: string, targets: readonly unknown[]): Buffer {
  return Buffer.from(
    JSON.stringify(['gate agent hello', PROTOCOL_VERSION, new URL(relay).origin, nonce, agent, targets]),
  )
}

/** What an agent signs when it joins, so that nobody can enrol a key they do not have. */
export function enrolBytes(relay: string, token: string, agent: string): Buffer {
  return Buffer.from(JSON.stringify(['gate agent enrol', PROTOCOL_VERSION, new URL(relay).origin, token, agent]))
}
