// Sessions with real gates, a record and people to ask: the room that would ask the gate is the test.
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Approvals } from '@gate/relay/approval/approvals'
import { createPolicy, type Policy } from '@gate/relay/policy/decide'
import { compilePolicy } from '@gate/relay/policy/rules'
import { vocabulary } from '@gate/relay/protocols/postgres/operation'
import type { Asked, Command, HoldNotice, Verdict } from '@gate/relay/protocols/protocol'
import type { EventBody } from '@gate/relay/record/events'
import { parseEvent } from '@gate/relay/record/line'
import { Recorder } from '@gate/relay/record/recorder'
import { SessionGate } from '@gate/relay/session/gate'
import type { RecordTerms } from '@gate/relay/session/recorded-text'
import { TaskRows } from '@gate/relay/session/task-rows'
import { systemClock } from '@gate/shared/clock'
import { silentLog } from '@gate/shared/log'
import type { Operation, Subject } from '@gate/shared/model'
import { decide, startApprovals } from './approver.ts'
import { createHandClock, type HandClock } from './clock.ts'
import { testTree } from './record.ts'
import { recordTerms } from './record-terms.ts'
import { startStore } from './store.ts'
import { temporaryDirectory } from './tmp.ts'

/** What policy says where a test does not change it. */
export const policyText = `targets:
  - match: {}
    allow: { groups: [engineers] }
    rules:
      - { name: all, allow: [engineers] }
      - { name: limited, when: op.action == "merge", allow: [engineers], limit: { rows: 5, then: deny } }
      - { name: wide, when: op.action == "delete" && !op.hasWhere, hold: { approvers: 1 of dba } }
      - { name: wider, when: op.action == "truncate", hold: { approvers: 1 of owners } }
      - { name: never, when: op.action == "drop", deny: "Use migrations." }
    mask:
      - { columns: ["*.email"], with: redact, for: { groups: [masked] } }
`

/** A policy of the text. */
export const compile = (source: string): Policy =>
  createPolicy(compilePolicy([{ file: 'policy.yaml', text: source }], vocabulary))

/** Somebody in these groups. */
export const person = (name: string, ...groups: string[]): Subject => ({
  id: `https://id.example.com|${name}`,
  issuer: 'https://id.example.com',
  email: `${name}@example.com`,
  name,
  groups,
})

/** A command as a room puts it to the gate. */
export const command = (action: string, sql = `${action} 1`, more: Partial<Operation> = {}): Command => ({
  people: 'now',
  recorded: {
    text: sql,
    isCut: false,
    parameters: more.parameters ?? [],
    parameterCount: more.parameters?.length ?? 0,
  },
  operation: {
    protocol: 'postgres',
    action,
    resources: [],
    text: sql,
    parameters: [],
    writes: action !== 'select',
    routine: false,
    facts: { hasWhere: false, tables: [], objectType: '' },
    ...more,
  },
})

/** What people are asked about: the texts of all that goes together. */
export const askedOf = (commands: readonly Command[]): Asked => ({
  command: [...new Set(commands.map(({ operation }) => operation.text))].join(';\n'),
  parameters: [],
  context: {},
  estimate: async () => undefined,
})

/** A session with a record of its own. Everything in it is real; the room that would ask it is the test. */
async function openSession(
  session: string,
  { approvals, clock }: { readonly approvals: Approvals; readonly clock: HandClock },
  groups: string[],
  segmentBytes: number | undefined,
  record: RecordTerms,
) {
  const directory = await temporaryDirectory('gate')
  const recorder = await Recorder.open(directory.path, testTree, clock, silentLog, { segmentBytes })
  const state = { policy: compile(policyText), subject: person('alice', ...groups) }
  const gate = new SessionGate({
    session,
    target: { name: 'prod-db', protocol: 'postgres', labels: {}, options: {} },
    task: undefined,
    reason: undefined,
    breakGlass: false,
    subject: () => state.subject,
    policy: () => state.policy,
    performable: ['mask'],
    taskRows: new TaskRows(),
    recorder,
    record,
    approvals,
    clock,
    log: silentLog,
  })
  const notices: HoldNotice[] = []
  return {
    gate,
    state,
    session,
    directory: directory.path,
    notices,
    decide: async (commands: Command[], signal = new AbortController().signal): Promise<Verdict> =>
      gate.decide(
        commands,
        () => askedOf(commands),
        notice => notices.push(notice),
        () => signal,
      ),
    /** What stands in the files, of the kinds asked for. */
    recorded: async (...types: EventBody['type'][]): Promise<EventBody[]> => {
      const names = (await readdir(directory.path)).filter(name => name.endsWith('.jsonl')).sort()
      const files = await Promise.all(names.map(name => readFile(join(directory.path, name), 'utf8')))
      const bodies = files
        .join('')
        .split('\n')
        .slice(0, -1)
        .map(line => parseEvent(line).body)
      return bodies.filter(body => types.includes(body.type))
    },
    [Symbol.asyncDispose]: async () => {
      await recorder.close()
      await directory[Symbol.asyncDispose]()
    },
  }
}

/** A session, with what a test looks at and changes. */
export type Opened = Awaited<ReturnType<typeof openSession>>

/** Resolves when people were asked so many times. */
export async function asked(opened: Opened, count: number): Promise<void> {
  const deadline = Date.now() + 30_000
  while (opened.notices.length < count) {
    if (Date.now() > deadline) throw new Error('nobody was asked')
    await systemClock.sleep(5)
  }
}

/** Sessions of one relay, and the people that they ask. */
export async function startSessionGates() {
  const store = await startStore()
  const clock = createHandClock()
  const approvals = await startApprovals(store, { relay: 'relay_1' }, clock)
  let sessions = 0
  return {
    approvals,
    clock,
    open: (groups = ['engineers'], segmentBytes?: number, record = recordTerms()): Promise<Opened> => {
      sessions += 1
      return openSession(`s_${sessions}`, { approvals, clock }, groups, segmentBytes, record)
    },
    /** Waits for the next request of the session and decides it. */
    settle: async (opened: Opened, count: number, verdict: 'approve' | 'deny', group = 'dba'): Promise<void> => {
      await asked(opened, count)
      const id = opened.notices[count - 1]?.request ?? ''
      await decide(approvals, person('bob', group), id, verdict, 'because')
    },
    [Symbol.asyncDispose]: async () => {
      await approvals[Symbol.asyncDispose]()
      await store[Symbol.asyncDispose]()
    },
  }
}
