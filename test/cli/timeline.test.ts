// What people read of the record: every kind of event has its line, nothing recorded can deceive, reports stay reports.
import { report } from '@gate/cli/report'
import { type EventView, eventSchema, type SessionView } from '@gate/cli/session-view'
import { stepsOf, stepText } from '@gate/cli/steps'
import { createStyle } from '@gate/cli/text'
import { Timeline } from '@gate/cli/timeline'
import { parseTime, utc } from '@gate/cli/when'
import { type EventBody, eventBody } from '@gate/relay/record/events'
import t from 'tap'

const style = createStyle({ color: false } as Parameters<typeof createStyle>[0])
const session = 's_1'
const by = { id: 'i|bob', email: 'bob@example.com' }

/** One event of every kind, and what has to be read of it. */
const examples: { readonly [Type in EventBody['type']]: readonly [Extract<EventBody, { type: Type }>, RegExp] } = {
  audit: [{ type: 'audit', by: 'i|carol', from: 3 }, /the record is read by i\|carol, from 3 on/],
  limit: [
    { type: 'limit', session, of: 'session', limitBytes: 1000 },
    /! +1000 bytes of the session are recorded: from here on texts are kept as hashes/,
  ],
  retention: [
    {
      type: 'retention',
      first: 1,
      last: 512,
      count: 512,
      firstMs: 0,
      lastMs: 1,
      ageMs: 86_400_000,
      size: 700,
      root: 'AAAA',
    },
    /records 1 to 512 are deleted by age/,
  ],
  'log.start': [{ type: 'log.start', version: 1, relay: 'relay_1' }, /record of relay relay_1 begins/],
  'session.start': [
    {
      type: 'session.start',
      session,
      subject: { id: 'i|alice', groups: ['engineers', 'oncall'] },
      target: 'prod-db',
      protocol: 'postgres',
      policy: 'p',
      client: {},
    },
    /began, in the groups engineers, oncall/,
  ],
  terminal: [{ type: 'terminal', session, command: 7, columns: 80, rows: 24 }, / {3}7 {2}a terminal of 80×24$/],
  output: [
    { type: 'output', session, command: 7, text: '\u001b[31mred\u001b[0m\r\n\u001b]52;c;AAAA\u0007$ ', cutFrom: 100 },
    / {3}7 {2}showed 100 bytes, recorded in part\n {2}│ red\n {2}│ \$ $/,
  ],
  'session.open': [{ type: 'session.open', session, agent: 'db-agent', target: {} }, /through agent db-agent/],
  command: [
    {
      type: 'command',
      session,
      command: 7,
      action: 'delete',
      text: 'delete\n from orders where id = $1',
      parameters: [{ text: null, bytes: 0, format: 'text' }],
      resources: [],
      facts: {},
      decision: { effect: 'hold', rule: 'wide-writes' },
      settled: { effect: 'deny', rule: 'wide-writes', reason: 'bob denied it' },
      cutFrom: 100_000,
      policy: 'p',
    },
    /✗ {3}7 {2}delete from orders where id = \$1 \[NULL\] \(recorded in part, of 100000 bytes\) — refused by wide-writes: bob denied it/,
  ],
  hold: [
    {
      type: 'hold',
      session,
      request: 'r_1',
      action: 'delete',
      rule: 'wide-writes',
      approvers: '1 of dba',
      commandHash: '',
      expiresMs: 0,
      rows: 12,
    },
    /… {6}held for 1 of dba, with 12 rows written before commit \(r_1\)/,
  ],
  rows: [
    {
      type: 'rows',
      session,
      command: 7,
      rows: 5,
      total: 500,
      limit: 100,
      rule: 'small',
      decision: { effect: 'deny', rule: 'small', reason: 'too many' },
    },
    /5 rows written before commit \(500 in all\), limit 100 of small: too many/,
  ],
  approval: [
    {
      type: 'approval',
      session,
      request: 'r_1',
      outcome: 'denied',
      by: [{ ...by, verdict: 'deny', reason: 'not on a Friday' }],
    },
    /✗ {6}r_1 denied by bob@example\.com: not on a Friday/,
  ],
  outcome: [
    { type: 'outcome', session, command: 7, rows: 3, bytes: 1, firstByteMs: 1.25, durationMs: 4.5, status: 'DELETE 3' },
    / 7 {2}→ DELETE 3, 3 rows, 4\.5 ms \(first byte after 1\.25 ms\)$/,
  ],
  cancel: [{ type: 'cancel', session, by: 'i|alice' }, /cancelled/],
  review: [{ type: 'review', session, review: 'v_1', reason: 'fire' }, /! .*the glass was broken: fire \(review v_1\)/],
  view: [{ type: 'view', session, by: 'i|bob' }, /looked at by i\|bob/],
  kill: [
    { type: 'kill', session, by, reason: 'enough', lock: 'k_1' },
    /ended by bob@example\.com: enough \(lock k_1\)/,
  ],
  lock: [
    { type: 'lock', lock: 'k_1', kind: 'user', name: 'alice@example.com', by, reason: 'stolen laptop' },
    /user alice@example\.com locked by bob@example\.com: stolen laptop \(k_1\)/,
  ],
  unlock: [{ type: 'unlock', lock: 'k_1', by }, /lock k_1 taken away by bob@example\.com/],
  'session.end': [
    { type: 'session.end', session, code: 'ERR_GATE_KILLED', reason: 'bob ended it' },
    /ended: ERR_GATE_KILLED \(bob ended it\)/,
  ],
}

const view = (body: object, sequence = 1, timeMs = sequence * 1000): EventView =>
  eventSchema.parse({ sequence, timeMs, body })
const lineOf = (body: object): string => new Timeline(style, () => '12:00').line(view(body))

t.test('every kind of event that the record has is a line that says what happened', async t => {
  const known = eventBody.options.map(option => option.shape.type.value)
  t.same(Object.keys(examples).sort(), [...known].sort())
  for (const [type, [body, expected]] of Object.entries(examples)) {
    t.match(lineOf(eventBody.parse(body)), expected, type)
    t.notMatch(lineOf(body), /undefined|does not know/, type)
    // What was shown on a terminal has lines of its own.
    if (type !== 'output') t.notMatch(lineOf(body), /\n/, type)
  }
  t.match(lineOf({ type: 'from.the.future' }), /from\.the\.future \(this gate does not know/)
})

t.test('nothing in an event can move the cursor or hide', async t => {
  const evil = '\u001b[2J\u202e\u0007evil'
  const strings = (value: unknown): unknown =>
    typeof value === 'string'
      ? value + evil
      : Array.isArray(value)
        ? value.map(strings)
        : value !== null && typeof value === 'object'
          ? Object.fromEntries(Object.entries(value).map(([key, each]) => [key, key === 'type' ? each : strings(each)]))
          : value
  for (const [type, [body]] of Object.entries(examples))
    t.notMatch(lineOf(strings(body) as object), /[\u001b\u202e\u0007]/, type)
})

t.test('a text that is recorded once is shown wherever it ran', async t => {
  const timeline = new Timeline(style, () => '')
  const text = `select '${'x'.repeat(100)}'`
  const command = (number: number, more: object): EventView =>
    view({ ...examples.command[0], command: number, ...more, settled: undefined })
  timeline.line(command(1, { text }))
  t.match(timeline.line(command(2, { text: '', sameTextAs: 1 })), text)
  t.match(timeline.line(command(3, { text: '', sameTextAs: 99 })), /\(as command 99\)/)
})

const alice: SessionView = {
  id: session,
  subject: { id: 'i|alice', email: 'alice@example.com', groups: [] },
  target: 'prod-db',
  protocol: 'postgres',
  agent: 'db-agent',
  relay: 'relay_1',
  task: 'MIG-42/3',
  reason: null,
  program: 'psql',
  clientAddress: null,
  startedMs: Date.UTC(2030, 0, 1, 12),
  endedMs: Date.UTC(2030, 0, 1, 13),
  endCode: 'ended',
  commands: 3,
  refused: 0,
  held: 1,
}

const held: object = {
  ...examples.command[0],
  command: 1,
  text: 'delete from orders',
  parameters: [],
  cutFrom: undefined,
}
const story = [
  examples.hold[0],
  { ...examples.approval[0], outcome: 'approved', by: [{ ...by, verdict: 'approve' }] },
  { ...held, settled: { effect: 'allow', rule: 'wide-writes' }, request: 'r_1' },
  { type: 'outcome', session, command: 1, rows: 3, durationMs: 4, status: 'DELETE 3' },
  { ...held, command: 2, text: 'select `1` ```x\n# no heading', settled: { effect: 'allow', rule: 'reads' } },
  { type: 'outcome', session, command: 2, status: '42703' },
  { ...held, command: 3, text: 'begin', settled: { effect: 'allow', rule: 'routine' } },
  { type: 'outcome', session, command: 3, status: 'BEGIN' },
].map((body, index) => view(body, index + 1, Date.UTC(2030, 0, 1, 12, 0, index)))

t.test('a step says who approved it, what the target answered, and how long it took', async t => {
  const steps = stepsOf(alice, story)
  t.match(steps, [
    { command: 1, effect: 'allow', people: 'approved by bob@example.com', rows: 3, durationMs: 4, failed: false },
    { command: 2, failed: true, status: '42703' },
    { command: 3, failed: false, status: 'BEGIN' },
  ])
  const [first] = steps
  t.ok(first)
  if (first === undefined) return
  const text = stepText(first, 1, style, utc)
  t.match(text, /MIG-42\/3 prod-db alice@example\.com s_1#1\n {4}✓ delete from orders/)
  t.match(text, /→ approved by bob@example\.com \(r_1\), DELETE 3, 3 rows, 4 ms/)
})

t.test('a report has every step, and texts cannot break out of it', async t => {
  const text = report(
    'Incident report: task MIG-42',
    [{ ...alice, reason: 'a | b <script>' }],
    stepsOf(alice, story),
    0,
  )
  t.match(text, /^# Incident report: task MIG-42\n/)
  t.match(text, /3: 0 refused, 1 asked people about, 1 failed at the target/)
  t.match(
    text,
    /```sql\ndelete from orders\n```\n\nAllowed by wide-writes: approved by bob@example\.com \(r\\_1\), DELETE 3/,
  )
  t.match(text, /\n````sql\nselect `1` ```x\n# no heading\n````\n/, 'a fence longer than any in the text')
  t.match(text, /a \\\| b \\<script\\>/)
  t.equal(text.match(/^### /gm)?.length, 3)
})

t.test('times are durations from now, or dates with or without time and zone', async t => {
  const now = Date.UTC(2030, 0, 10)
  const at = (text: string): number => parseTime('--since', text, now, 'before')
  t.equal(at('2h'), now - 7_200_000)
  t.equal(parseTime('--until', '3d', now, 'after'), now + 3 * 86_400_000)
  t.equal(at('2030-01-02T03:04:05Z'), Date.UTC(2030, 0, 2, 3, 4, 5))
  t.equal(at('2030-01-02T03:04+02:00'), Date.UTC(2030, 0, 2, 1, 4))
  t.equal(at('2030-01-02'), new Date(2030, 0, 2).getTime(), 'local midnight')
  t.equal(at('2030-01-02 03:04'), new Date(2030, 0, 2, 3, 4).getTime())
  for (const wrong of ['', 'yesterday', '2h ago', '2030-13-01', '1', '2030-01-02T25:00'])
    t.throws(() => at(wrong), { code: 'ERR_GATE_USAGE', message: /^--since: expected/ }, wrong)
})
