// Runs the PostgreSQL machine without sockets: what goes in, what comes out, and every question answered as the test says.

import type { Declaration } from '@gate/relay/protocols/machine'
import { LongQueries } from '@gate/relay/protocols/postgres/long-queries'
import { PostgresMachine } from '@gate/relay/protocols/postgres/machine'
import type { MaskedColumns } from '@gate/relay/protocols/postgres/masked-columns'
import type { StatementPlan } from '@gate/relay/protocols/postgres/pending'
import type { Answer, Question } from '@gate/relay/protocols/postgres/questions'
import { textGuard } from '@gate/relay/protocols/postgres/texts'
import { server } from './wire.ts'

export const greeting = Buffer.from('K\0\0\0\x0c\0\0\0\x01\0\0\0\x02', 'latin1')
const MAX_STATEMENT_BYTES = 64 * 1024

export const clearPlan: StatementPlan = {
  basis: undefined,
  commands: [1],
  masking: undefined,
  sensitive: false,
  naming: undefined,
  defines: undefined,
  endsTransaction: false,
  counted: undefined,
  declaration: { actions: [], approvals: [] },
}

const obligation = {
  ...{ kind: 'mask' as const, columns: ['*.*'], detect: [], with: 'redact' as const, fixed: undefined },
  ...{ computed: 'deny' as const, predicates: 'equality' as const },
}

/** Every column of a table is masked, and nothing else. */
export const maskedPlan: StatementPlan = {
  ...clearPlan,
  masking: {
    columns: {
      mask: () => ({ mask: obligation, keepsNull: true }),
      knows: () => true,
      obligations: [obligation],
    } as unknown as MaskedColumns,
    computed: 'clear',
    detecting: undefined,
    copyOut: undefined,
    guard: textGuard(undefined, true),
    key: Buffer.alloc(32),
  },
}

export interface Trace {
  toTarget: Buffer
  toClient: Buffer
  questions: Question[]
  declared: Declaration[]
  outcomes: { command: number; status: string; rows: number | undefined }[]
  forgotten: number[]
  ended: ('client' | 'target')[]
  /** How often a transaction was said to be over. */
  overs: number
  sends: number
}

export type Answerer = (question: Question) => Answer | 'later'

/** Allows everything; a Query has as many plans as it has semicolon-separated statements. */
export const allowAll: Answerer = question => {
  if (question.kind === 'query') {
    const count = question.text
      .toString('utf8')
      .split(';')
      .filter(part => part.trim() !== '').length
    return { kind: 'go', plans: Array.from({ length: count }, () => clearPlan) }
  }
  if (question.kind === 'parse') {
    return {
      kind: 'go',
      plans: [],
      prepared: {
        text: question.text.toString('utf8'),
        facts: undefined,
        parameterTypes: [],
        sensitive: false,
        guard: undefined,
      },
    }
  }
  if (question.kind === 'too-long')
    return {
      kind: 'refuse',
      error: new Map([
        ['C', '54000'],
        ['M', 'too long'],
      ]),
    }
  return { kind: 'go', plans: [clearPlan] }
}

/** As gate refuses a command, in words of the test's own. */
export const refusal = (why: string): Answer => ({
  kind: 'refuse',
  error: new Map([
    ['S', 'ERROR'],
    ['V', 'ERROR'],
    ['C', '42501'],
    ['M', why],
  ]),
})

export class Harness {
  readonly machine: PostgresMachine
  readonly trace: Trace = {
    toTarget: Buffer.alloc(0),
    toClient: Buffer.alloc(0),
    questions: [],
    declared: [],
    outcomes: [],
    forgotten: [],
    ended: [],
    overs: 0,
    sends: 0,
  }
  readonly #answer: Answerer
  readonly waiting: number[] = []

  constructor(answer: Answerer = allowAll, started = true, longQueries = new LongQueries().share()) {
    this.#answer = answer
    this.machine = new PostgresMachine(greeting, 'unguessable', MAX_STATEMENT_BYTES, false, longQueries)
    if (started) {
      this.target(Buffer.concat([server.parameterStatus('client_encoding', 'UTF8'), server.ready()]))
      this.trace.toClient = Buffer.alloc(0)
    }
  }

  client(bytes: Buffer | null): void {
    this.machine.receive('client', bytes)
    this.flush()
  }

  target(bytes: Buffer | null): void {
    this.machine.receive('target', bytes)
    this.flush()
  }

  settle(id: number, answer: Answer): void {
    this.machine.settle(id, answer)
    this.flush()
  }

  flush(): void {
    for (let effect = this.machine.poll(); effect !== undefined; effect = this.machine.poll()) {
      if (effect.do === 'send') {
        this.trace.sends += 1
        if (effect.to === 'client') this.trace.toClient = Buffer.concat([this.trace.toClient, effect.unit])
        else this.trace.toTarget = Buffer.concat([this.trace.toTarget, effect.unit])
      } else if (effect.do === 'ask') {
        this.trace.questions.push(effect.question)
        const answer = this.#answer(effect.question)
        if (answer === 'later') this.waiting.push(effect.id)
        else this.machine.settle(effect.id, answer)
      } else if (effect.do === 'observe') {
        const { command, status, rows } = effect.outcome
        this.trace.outcomes.push({ command, status, rows })
      } else if (effect.do === 'declare') this.trace.declared.push(effect.declaration)
      else if (effect.do === 'over') this.trace.overs += 1
      else if (effect.do === 'forget') this.trace.forgotten.push(effect.id)
      else this.trace.ended.push(effect.to)
    }
  }
}

/** Cuts bytes at the given places (taken modulo their length). */
export function split(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set(cuts.map(cut => cut % (bytes.length + 1)))].sort((a, b) => a - b)
  const parts: Buffer[] = []
  let from = 0
  for (const place of [...places, bytes.length]) {
    if (place > from) parts.push(bytes.subarray(from, place))
    from = Math.max(from, place)
  }
  return parts
}
