// What a client is told of the target's answer to its handshake. Pure.
import { isUtf8 } from 'node:buffer'
import type { FieldList } from './fields.ts'
import { phraseOf } from './phrase.ts'
import { hasBody, type Masking, planAnswer } from './plan.ts'
import { rawAnswer } from './raw-answer.ts'
import { respelled } from './spelling.ts'
import type { Refused } from './target-handshake.ts'
import type { AnswerHead } from './way.ts'

/** About a body that does not go on. */
const ofBodies: ReadonlySet<string> = new Set(['content-type', 'content-encoding', 'content-language'])

/** About what both sides go on in, which is made anew on each. A service that does not agree says with which versions it would. */
const ofAgreement: ReadonlySet<string> = new Set([
  ...['sec-websocket-accept', 'sec-websocket-extensions', 'sec-websocket-protocol', 'sec-websocket-key'],
])

/** What of the fields is for the client, masked where they are for this person. */
function clientFields({ status, fields }: AnswerHead, masking: Masking | undefined): FieldList {
  // That of HEAD: the head alone is looked at.
  const plan = planAnswer('HEAD', status, fields, masking, undefined)
  if (plan.do === 'refuse') return []
  return plan.fields.filter(([name]) => name !== 'content-length' && !ofAgreement.has(name))
}

/**
 * Lines that the answer to the client has beside those of every handshake.
 * @throws {GateError} ERR_GATE_TARGET_PROTOCOL
 */
export function acceptLines(said: AnswerHead, masking: Masking | undefined): string[] {
  return clientFields(said, masking).flatMap(([name, value]) => {
    // The library writes UTF-8: other bytes would become others.
    const bytes = Buffer.from(value, 'latin1')
    return isUtf8(bytes) ? [`${said.spelling.get(name) ?? name}: ${bytes.toString('utf8')}`] : []
  })
}

/**
 * The target's answer instead of a WebSocket, as a whole. Words and bodies are free text: neither goes on where something is
 * masked for the person.
 * @throws {GateError} ERR_GATE_TARGET_PROTOCOL
 */
export function refusalBytes(said: Refused, masking: Masking | undefined): Buffer {
  const fields = clientFields(said, masking)
  const phrase = phraseOf(said.status, masking === undefined ? said.phrase : undefined)
  const answer = (kept: FieldList, body: Buffer | undefined): Buffer =>
    rawAnswer(said.status, phrase, respelled(kept, said.spelling), body)
  if (!hasBody('GET', said.status, undefined)) return answer(fields, undefined)
  if (masking === undefined && said.body !== undefined) return answer(fields, said.body)
  const rest = fields.filter(([name]) => !ofBodies.has(name))
  return answer(rest, Buffer.alloc(0))
}
