// Policies from their text, requests to decide by them, and the sample policy of the design.
import { createPolicy, type Policy } from '@gate/relay/policy/decide'
import { compilePolicy } from '@gate/relay/policy/rules'
import { vocabulary } from '@gate/relay/protocols/postgres/operation'
import { GateError } from '@gate/shared/errors'
import type { AccessRequest, Fact, Operation, Subject, Target } from '@gate/shared/model'

/** As it stands in section 4 of the design, and with the approvers of the limit: the design does not say whom to ask. */
export const sample = `targets:
  - match: { labels: { env: prod, protocol: postgres } }
    allow:                                        # who may open it at all
      groups: [engineers, dba]
    rules:
      - name: reads
        when: op.action == "select"
        allow: [engineers, dba]
      - name: small-writes
        when: op.action in ["insert", "update", "delete"] && op.hasWhere
        allow: [engineers]
        limit: { rows: 100, then: hold, hold: { approvers: "1 of dba" } }   # the real count, before commit
      - name: wide-writes
        when: op.action in ["update", "delete"] && !op.hasWhere
        hold: { approvers: "1 of dba", expires: 15m }
      - name: never
        when: op.action in ["drop", "truncate", "grant"] || op.objectType == "database"
        deny: "Schema changes go through migrations."
    mask:
      - columns: ["public.customers.email", "*.password_hash", "billing.cards.*"]
        for: { except: [dba] }
        with: redact                              # redact | partial | hash | null | fixed
      - detect: [credit-card, email, us-ssn, api-key, jwt, private-key]
        with: redact
`

/** A target of production, or the one that a test needs. */
export const target = (
  labels: Record<string, string> = { env: 'prod' },
  name = 'prod-db',
  protocol = 'postgres',
): Target => ({
  name,
  protocol,
  labels,
  options: {},
})

/** Alice, in these groups. */
export const subject = (...groups: string[]): Subject => ({
  id: 'https://id.example.com|alice',
  issuer: 'https://id.example.com',
  email: 'alice@example.com',
  name: 'Alice Ash',
  groups,
})

/** What a test says of a request; everything else is usual. */
export interface Asked {
  readonly action?: string
  readonly facts?: Record<string, Fact>
  readonly operation?: Partial<Operation>
  readonly groups?: string[]
  readonly on?: Target
}

/** An engineer's request on the target. */
export function request({
  action = 'select',
  facts = {},
  operation = {},
  groups = ['engineers'],
  on = target(),
}: Asked): AccessRequest {
  const base = { protocol: 'postgres', resources: [], text: '', parameters: [], writes: false, routine: false }
  return {
    subject: subject(...groups),
    target: on,
    operation: { ...base, action, facts, ...operation },
    context: { task: undefined, reason: undefined, timeMs: Date.UTC(2030, 0, 1, 12) },
  }
}

/** @throws {GateError} ERR_GATE_CONFIG with every mistake and its place. */
export const policy = (text: string, file = 'policy.yaml'): Policy =>
  createPolicy(compilePolicy([{ file, text }], vocabulary))

/** A policy of one block that engineers and dba may open. */
export const rules = (text: string, more = ''): string =>
  `targets:\n  - match: {}\n    allow: { groups: [engineers, dba] }\n    rules:\n${text.replace(/^/gm, '      ')}\n${more}`

/** What keeps a policy from being loaded, mistake by mistake. */
export function mistakes(text: string): string[] {
  try {
    policy(text)
  } catch (thrown) {
    if (thrown instanceof GateError && thrown.code === 'ERR_GATE_CONFIG') return thrown.message.split('\n')
    throw thrown
  }
  return []
}
