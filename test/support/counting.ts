// Row limits without sockets: which commands are counted, what the server says of them, what was sent and what is shown.
import type { Answer, Question } from '@gate/relay/protocols/postgres/questions'
import { type Answerer, allowAll, clearPlan, type Harness, refusal } from './machine.ts'
import { messages, server, types } from './wire.ts'

/** What gate answers when it is asked about rows: they are too many, or may be committed. */
export const tooMany = refusal('gate: too many rows')
export const go: Answer = { kind: 'go', plans: [] }

/** Every statement that begins with `delete` or `copy` is counted under the number that its place in the message gives it. */
export function counting(rows: (question: Extract<Question, { kind: 'rows' }>) => Answer | 'later'): Answerer {
  let prepared = ''
  const plan = (text: string, number: number): typeof clearPlan => ({
    ...clearPlan,
    commands: [number],
    counted: /^\s*(delete|copy)/.test(text) ? number : undefined,
  })
  return question => {
    if (question.kind === 'rows') return rows(question)
    if (question.kind === 'query') {
      const texts = question.text
        .toString('utf8')
        .split(';')
        .filter(part => part.trim() !== '')
      return { kind: 'go', plans: texts.map((text, index) => plan(text, index + 1)) }
    }
    if (question.kind === 'parse') prepared = question.text.toString('utf8')
    if (question.kind === 'execute') return { kind: 'go', plans: [plan(prepared, 1)] }
    return allowAll(question)
  }
}

/** The simple queries among what was sent to the server. */
export const texts = (bytes: Buffer): string[] =>
  messages(bytes).flatMap(({ type, body }) => (type === 'Q' ? [body.toString('utf8', 0, body.length - 1)] : []))

/** What the client got since it was last asked for. */
export function seen(harness: Harness): string {
  const shown = types(harness.trace.toClient)
  harness.trace.toClient = Buffer.alloc(0)
  return shown
}

/** What the server says to BEGIN, and to a DELETE. */
export const begun = Buffer.concat([server.complete('BEGIN'), server.ready('T')])
export const deleted = (rows: number, status: 'T' | 'I' | 'E' = 'T'): Buffer =>
  Buffer.concat([server.complete(`DELETE ${rows}`), server.ready(status)])
