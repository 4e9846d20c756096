// The one enforcement point with its real parts: nothing is allowed that is not decided, answered for and written down.
import { createHash, createHmac } from 'node:crypto'
import { mkdir, readdir, readFile, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Approvals } from '@gate/relay/approval/approvals'
import { createPolicy, type Policy } from '@gate/relay/policy/decide'
import { compilePolicy } from '@gate/relay/policy/rules'
import { vocabulary } from '@gate/relay/protocols/postgres/operation'
import type { Asked, Command, HoldNotice, Verdict } from '@gate/relay/protocols/protocol'
import type { EventBody } from '@gate/relay/record/events'
import { segmentName } from '@gate/relay/record/journal'
import { parseEvent } from '@gate/relay/record/line'
import { Recorder } from '@gate/relay/record/recorder'
import { Sealer } from '@gate/relay/record/sealer'
import { SessionGate } from '@gate/relay/session/gate'
import { defaultRecordLimits } from '@gate/relay/session/record-limits'
import type { RecordTerms } from '@gate/relay/session/recorded-text'
import { TaskRows } from '@gate/relay/session/task-rows'
import { systemClock } from '@gate/shared/clock'
import { silentLog } from '@gate/shared/log'
import type { Operation, Subject } from '@gate/shared/model'
import { Decrypter, generateX25519Identity, identityToRecipient } from 'age-encryption'
import t from 'tap'
import { decide, startApprovals } from '../../support/approver.ts'
import { createHandClock, type HandClock } from '../../support/clock.ts'
import { testTree } from '../../support/record.ts'
import { recordTerms } from '../../support/record-terms.ts'
import { startStore } from '../../support/store.ts'
import { temporaryDirectory } from '../../support/tmp.ts'

const policyText = `targets:
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
const compile = (source: string): Policy =>
  createPolicy(compilePolicy([{ file: 'policy.yaml', text: source }], vocabulary))

const person = (name: string, ...groups: string[]): Subject => ({
  id: `https://id.example.com|${name}`,
  issuer: 'https://id.example.com',
  email: `${name}@example.com`,
  name,
  groups,
})

const command = (action: string, sql = `${action} 1`, more: Partial<Operation> = {}): Command => ({
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
const askedOf = (commands: readonly Command[]): Asked => ({
  command: [...new Set(commands.map(({ operation }) => operation.text))].join(';\n'),
  parameters: [],
  context: {},
  estimate: async () => undefined,
})

/** A session with a record of its own. Everything in it is real; the room that would ask it is this test. */
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

type Opened = Awaited<ReturnType<typeof openSession>>

/** Resolves when people were asked so many times. */
async function asked(opened: Opened, count: number): Promise<void> {
  const deadline = Date.now() + 30_000
  while (opened.notices.length < count) {
    if (Date.now() > deadline) throw new Error('nobody was asked')
    await systemClock.sleep(5)
  }
}

/** Sessions of one relay, and the people that they ask. */
async function startSessionGates() {
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

const gates = await startSessionGates()
t.teardown(() => gates[Symbol.asyncDispose]())
const { approvals, clock, open, settle } = gates

t.test('the same command is decided anew when anything that decided it has changed', async t => {
  await using opened = await open()
  const { state } = opened
  const same = command('merge')
  const effect = async (asked: Command = same): Promise<string> => {
    const { settled, obligations } = await opened.decide([asked])
    return `${settled.effect} ${settled.rule} ${obligations.flat().length}`
  }
  const prepared = (): string => opened.gate.prepare([same]).refused?.rule ?? 'prepared'
  state.policy = compile(policyText.replace('limit: { rows: 5, then: deny }', ''))
  t.equal(await effect(), 'allow all 0')
  t.equal(await effect(), 'allow all 0', 'twice the same')
  t.equal(
    await effect({ ...same, refusal: { effect: 'deny', rule: 'room', reason: 'no', hint: undefined } }),
    'deny room 0',
  )
  t.match(
    await effect({ ...same, operation: { ...same.operation, action: 'drop' } }),
    /^deny never/,
    'the same facts, another action',
  )
  t.equal(await effect({ ...same, operation: { ...same.operation, text: 'another' } }), 'allow all 0')
  t.equal(prepared(), 'prepared')

  state.subject = person('alice', 'engineers', 'masked')
  t.equal(await effect(), 'allow all 1', 'another group: its masks')
  state.subject = person('alice', 'guests')
  t.match(await effect(), /^deny default/, 'the group is gone')
  t.equal(prepared(), 'default')
  state.subject = person('alice', 'engineers')
  t.equal(await effect(), 'allow all 0')

  state.policy = compile(policyText.replace('op.action == "drop"', 'op.action == "merge"'))
  t.equal(await effect(), 'deny never 0', 'another policy')
  t.equal(prepared(), 'never')
})

t.test('a rule that asks for the time is asked each time', async t => {
  await using opened = await open()
  const seconds = Math.floor(clock.now() / 1000) + 60
  const [before, after] = policyText.split('      - { name: never')
  opened.state.policy = compile(
    `${before}      - { name: late, when: now > timestamp(${seconds}), deny: "It is late." }\n      - { name: never${after}`,
  )
  const same = command('select')
  t.equal((await opened.decide([same])).settled.effect, 'allow')
  clock.setWallClock(clock.now() + 120_000)
  t.equal((await opened.decide([same])).settled.rule, 'late')
  clock.setWallClock(clock.now() - 120_000)
  t.equal((await opened.decide([same])).settled.effect, 'allow')
})

t.test('what is allowed is in the record before it is allowed, and what writes is on the disk', async t => {
  await using opened = await open()
  const signal = new AbortController().signal
  const read = opened.gate.decide(
    [command('select')],
    () => askedOf([]),
    () => {},
    () => signal,
  )
  t.notOk(read instanceof Promise, 'reading waits for nothing')
  t.match(await opened.recorded('command'), [
    { command: 1, action: 'select', decision: { effect: 'allow', rule: 'all' } },
  ])
  const write = opened.gate.decide(
    [command('insert')],
    () => askedOf([]),
    () => {},
    () => signal,
  )
  if (write instanceof Promise) throw new Error('the next command is not kept waiting')
  t.match(write, { settled: { effect: 'allow' }, commands: [2], request: undefined })
  t.ok(write.recorded instanceof Promise, 'but what is written goes nowhere before it is on the disk')
  await write.recorded
  const routine = opened.gate.decide(
    [command('transaction', 'begin', { routine: true })],
    () => askedOf([]),
    () => {},
    () => signal,
  )
  t.match(routine, { recorded: undefined })
  opened.gate.observe({ command: 1, status: 'SELECT 1', rows: 1, bytes: 10 })
  opened.gate.observe({ command: 2, status: 'INSERT 0 1', rows: 1, bytes: 10, firstByteAtMs: opened.gate.now() })
  await opened.decide([command('select')])
  const outcomes = await opened.recorded('outcome')
  t.match(outcomes, [
    { command: 1, status: 'SELECT 1', durationMs: Number, firstByteMs: undefined },
    { command: 2, rows: 1, bytes: 10, status: 'INSERT 0 1', durationMs: Number, firstByteMs: Number },
  ])
  const { firstByteMs = -1, durationMs = -1 } = outcomes.find(
    each => each.type === 'outcome' && each.command === 2,
  ) as {
    firstByteMs?: number
    durationMs?: number
  }
  t.ok(firstByteMs >= 0 && firstByteMs <= durationMs)
})

t.test('whether a command waits for the disk is what it does, unless it is said for all', async t => {
  const kinds = {
    read: command('select'),
    write: command('insert'),
    routine: command('transaction', 'begin', { routine: true }),
  }
  for (const [durability, waits] of [
    [undefined, ['write']],
    ['fsync', ['read', 'write', 'routine']],
    ['write', []],
  ] as const) {
    await using opened = await open(undefined, undefined, recordTerms({ durability }))
    for (const [kind, each] of Object.entries(kinds)) {
      const { recorded } = await opened.decide([each])
      t.equal(recorded !== undefined, (waits as readonly string[]).includes(kind), `${durability}: ${kind}`)
      await recorded
    }
    t.equal((await opened.recorded('command')).length, 3, 'it is written before it goes on, whatever is said')
  }
})

t.test('commands that go together stand or fall together, and the record says which one it was', async t => {
  await using opened = await open()
  const verdict = await opened.decide([command('insert'), command('drop'), command('select')])
  t.match(verdict.settled, { effect: 'deny', rule: 'never', reason: 'Use migrations.' })
  t.match(await opened.recorded('command'), [
    { command: 1, decision: { effect: 'allow' }, settled: { effect: 'deny', rule: 'never' } },
    { command: 2, decision: { effect: 'deny', rule: 'never' } },
    { command: 3, decision: { effect: 'allow' }, settled: { effect: 'deny', rule: 'never' } },
  ])
  t.same(opened.gate.counts, { commands: 3, refused: 1, held: 0 })
  await opened.decide([command('delete'), command('drop')])
  t.same(opened.notices, [], 'nobody is asked about what is refused anyway')
})

t.test('an obligation that the room cannot perform, and what the room itself refuses, is refused', async t => {
  await using opened = await open(['engineers', 'masked'])
  t.ok(opened.gate.masked)
  t.match((await opened.decide([command('merge')])).settled, {
    effect: 'deny',
    reason: /asks for row-limit, which is not available for postgres/,
  })
  const refusal = { effect: 'deny', rule: 'room', reason: 'no', hint: undefined } as const
  t.match((await opened.decide([{ ...command('select'), refusal }])).settled, refusal)
  const perform: Command = { ...command('delete'), perform: given => (given.length === 1 ? refusal : undefined) }
  t.match((await opened.decide([perform])).settled, refusal, 'before anybody is bothered')
  t.same(opened.notices, [])
  t.match((await opened.decide([command('select')])).obligations, [[{ kind: 'mask', columns: ['*.email'] }]])
})

t.test('a hold waits for people, and is written down with what they said', async t => {
  await using opened = await open()
  const deciding = opened.decide([command('insert', 'insert 1'), command('delete', 'delete from t')])
  await settle(opened, 1, 'approve')
  const verdict = await deciding
  t.match(verdict, {
    settled: { effect: 'allow', rule: 'wide' },
    commands: [1, 2],
    request: opened.notices[0]?.request,
  })
  t.match(await opened.recorded('hold', 'approval', 'command'), [
    { type: 'hold', rule: 'wide', approvers: '1 of dba' },
    {
      type: 'approval',
      outcome: 'approved',
      by: [{ email: 'bob@example.com', verdict: 'approve', reason: 'because' }],
    },
    { type: 'command', text: 'insert 1', request: verdict.request },
    { type: 'command', text: 'delete from t', decision: { effect: 'hold' }, settled: { effect: 'allow' } },
  ])
  const request = await approvals.get(person('bob', 'dba'), verdict.request ?? '')
  t.equal(request.request.operation.text, 'insert 1;\ndelete from t', 'people see all that would run')

  const denied = opened.decide([command('delete')])
  await settle(opened, 2, 'deny')
  t.match((await denied).settled, { effect: 'deny', rule: 'wide', reason: 'bob@example.com denied it: because' })
  t.same(opened.gate.counts, { commands: 3, refused: 1, held: 2 })
})

t.test('two rules that hold are two questions, and the first no ends it', async t => {
  await using opened = await open()
  const both = opened.decide([command('delete'), command('truncate'), command('delete', 'delete 2')])
  await settle(opened, 1, 'approve')
  await settle(opened, 2, 'approve', 'owners')
  t.equal((await both).settled.effect, 'allow')
  const no = opened.decide([command('delete'), command('truncate')])
  await settle(opened, 3, 'deny')
  t.equal((await no).settled.effect, 'deny')
  t.equal(opened.notices.length, 3)
})

t.test('who loses the right, or whose policy changes, while people are asked, does not run', async t => {
  await using opened = await open()
  const changes = [
    () => {
      opened.state.subject = person('alice', 'support')
    },
    () => {
      opened.state.policy = compile(policyText.replace('action == "drop"', 'writes'))
    },
  ]
  for (const [index, change] of changes.entries()) {
    opened.state.subject = person('alice', 'engineers')
    const deciding = opened.decide([command('delete')])
    await asked(opened, index + 1)
    change()
    await settle(opened, index + 1, 'approve')
    t.equal((await deciding).settled.effect, 'deny')
  }
})

t.test('a client that goes away while people are asked runs nothing', async t => {
  await using opened = await open()
  const stop = new AbortController()
  const deciding = opened.decide([command('delete')], stop.signal)
  await asked(opened, 1)
  stop.abort()
  const settled = await deciding.then(
    verdict => verdict.settled.effect,
    thrown => (thrown as { code: string }).code,
  )
  t.equal(settled, 'deny')
  t.match(await opened.recorded('approval'), [{ outcome: 'withdrawn' }])
})

t.test('what is only prepared is recorded as that, asks nobody, and is refused when it may never run', async t => {
  await using opened = await open()
  t.match(opened.gate.prepare([command('delete')]), { refused: undefined })
  t.match(opened.gate.prepare([command('drop')]), { refused: { rule: 'never' }, obligations: [] })
  t.same(opened.notices, [])
  const [first, second] = await opened.recorded('command')
  t.match(first, { prepared: true, decision: { effect: 'hold' } })
  t.match(second, { decision: { effect: 'deny' } })
  t.notOk(second !== undefined && 'prepared' in second)
  t.match((await opened.decide([{ ...command('delete'), people: 'asked' }])).settled, { effect: 'allow' })
})

t.test('long texts are cut and marked, and a repeated one is written once', async t => {
  await using opened = await open()
  const long = `select '${'é😀'.repeat(40_000)}'`
  const medium = `select '${'x'.repeat(200)}'`
  for (const sql of [long, medium, medium, 'select 1', 'select 1', medium])
    await opened.decide([command('select', sql)])
  const [cut, ...rest] = await opened.recorded('command')
  // 32 KiB, to the last whole character.
  const text = Buffer.from(long).toString('utf8', 0, 32_768)
  const sha256 = createHash('sha256').update(long).digest('hex')
  t.match(cut, { cutFrom: Buffer.byteLength(long), sha256, text })
  t.ok(cut?.type === 'command' && cut.text.length === text.length)
  t.match(
    rest.map(body => (body.type === 'command' ? [body.text, body.sameTextAs] : [])),
    [
      [medium, undefined],
      ['', 2],
      ['select 1', undefined],
      ['select 1', undefined],
      ['', 2],
    ],
  )
})

t.test('what is masked for somebody is recorded as it may be, and its hash is keyed', async t => {
  const key = Buffer.alloc(32, 7)
  await using opened = await open(['engineers'], undefined, recordTerms({ key }))
  const raw = `select '${'secret '.repeat(10_000)}'`
  const redacted = command('select', raw)
  const recorded = { text: "select '‹redacted:1›'", parameters: [{ text: '‹redacted:2›', format: 'text' as const }] }
  await opened.decide([{ ...redacted, recorded: { ...recorded, isCut: true, parameterCount: 9 } }])
  const [event] = await opened.recorded('command')
  const keyedSha256 = createHmac('sha256', key).update(raw).digest('hex')
  t.match(event, { ...recorded, cutFrom: raw.length, keyedSha256, parametersCutFrom: 9 })
  t.notMatch(JSON.stringify(event), /secret|"sha256"/)
})

t.test('names and reasons are searched by the detectors too', async t => {
  await using opened = await open()
  const facts = { hasWhere: false, objectType: '', columns: ['ada@mail.example', 'id'] }
  const resources = [{ kind: 'table', name: 'public.bob@mail.example', mode: 'read' as const }]
  const refusal = { effect: 'deny' as const, rule: 'mask', reason: 'eve@mail.example is masked', hint: undefined }
  await opened.decide([{ ...command('select', 'select 1', { facts, resources }), refusal }])
  const [event] = await opened.recorded('command')
  t.notMatch(JSON.stringify(event), /mail\.example/)
  t.match(event, { facts: { columns: [/redacted/, 'id'] }, resources: [{ name: /^‹redacted/ }] })
})

t.test('when the bytes of a session are used up, its commands run on, and their hashes are recorded', async t => {
  const limits = { ...defaultRecordLimits, sessionBytes: 300 }
  await using opened = await open(['engineers'], undefined, recordTerms({ limits }))
  const sqls = Array.from({ length: 5 }, (_, index) => `select ${index}, '${'x'.repeat(100)}'`)
  for (const sql of sqls) t.equal((await opened.decide([command('select', sql)])).settled.effect, 'allow')
  const events = await opened.recorded('command', 'limit')
  t.match(
    events.map(body => (body.type === 'command' ? body.text : body.type)),
    [sqls[0], sqls[1], 'limit', '', '', ''],
  )
  t.match(events[2], { of: 'session', limitBytes: 300 })
  t.match(events.at(-1), {
    action: 'select',
    decision: { effect: 'allow' },
    cutFrom: sqls[4]?.length,
    sha256: createHash('sha256')
      .update(sqls[4] ?? '')
      .digest('hex'),
  })
})

t.test('the bytes of a target are those of all its sessions', async t => {
  const limits = { ...defaultRecordLimits, targetBytesPerDay: 150 }
  const terms = recordTerms({ limits })
  await using first = await open(['engineers'], undefined, terms)
  await using second = await open(['engineers'], undefined, terms)
  await first.decide([command('select', `select '${'x'.repeat(100)}'`)])
  await second.decide([command('select', `select '${'y'.repeat(100)}'`)])
  t.match(await second.recorded('command', 'limit'), [
    { type: 'limit', of: 'target', limitBytes: 150 },
    { type: 'command', text: '', cutFrom: 109 },
  ])
})

/** A session whose commands are recorded in full, and what reads them. */
async function openInFull() {
  const identity = await generateX25519Identity()
  const sealer = await Sealer.open([await identityToRecipient(identity)], clock, silentLog)
  const opened = await open(['engineers'], undefined, recordTerms({ seal: text => sealer.seal(text) }))
  const text = policyText.replace('name: all,', 'name: all, record: full,')
  opened.state.policy = createPolicy(compilePolicy([{ file: 'policy.yaml', text }], vocabulary, { seals: true }))
  const decrypter = new Decrypter()
  decrypter.addIdentity(identity)
  return { opened, decrypter }
}

t.test('record: full keeps what was sent for the recipients, and no more than fits', async t => {
  const { opened: inFull, decrypter } = await openInFull()
  await using opened = inFull
  const parameters = [{ text: 'the secret', bytes: 10, format: 'text' as const }]
  const sql = `select ${'1 + '.repeat(30)} $1`
  const more = { ...command('select', sql, { parameters }) }
  const recorded = { text: `${sql} `, isCut: false, parameters: [{ text: '‹redacted:1›', format: 'text' as const }] }
  await opened.decide([{ ...more, recorded: { ...recorded, parameterCount: 1 } }])
  await opened.decide([{ ...more, recorded: { ...recorded, parameterCount: 1 } }])
  await opened.decide([command('select', `select '${'é'.repeat(100_000)}'`)])
  const events = await opened.recorded('command')
  const read = async (index: number) => {
    const event = events[index]
    const sealed = event?.type === 'command' ? (event.sealed ?? '') : ''
    return JSON.parse(await decrypter.decrypt(Buffer.from(sealed, 'base64'), 'text')) as Record<string, string>
  }
  t.notMatch(JSON.stringify(events), /the secret/)
  t.same(await read(0), { text: sql, parameters })
  t.same(await read(1), { parameters }, 'the text is that of the command before')
  t.match(events[1], { sameTextAs: 1 })
  t.match(events[2], { sealedCut: true, cutFrom: 200_009 })
  t.match((await read(2))['text'], /^select 'é{1000}/)
  t.ok(Math.max(...events.map(event => Buffer.byteLength(JSON.stringify(event)))) < 64_000)
})

t.test('a terminal is written down until the outcome of its command, and sealed where its command is', async t => {
  const { opened: inFull, decrypter } = await openInFull()
  await using opened = inFull
  const { gate } = opened
  const [number = 0] = (await opened.decide([command('select')])).commands
  t.throws(() => gate.terminal(number + 1, { columns: 80, rows: 24 }), /does not run/)
  const terminal = gate.terminal(number, { columns: 0, rows: 4_294_967_295 })
  t.throws(() => gate.terminal(number, { columns: 80, rows: 24 }), /has one/)
  const text16 = '4111 1111 1111 1111 é\r\n'
  const bytes = Buffer.from(`${'plain\r\n'.repeat(3)}${text16}`)
  for (const byte of bytes) await terminal.output(Uint8Array.of(byte))
  terminal.resize({ columns: 100, rows: 30 })
  terminal.resize({ columns: 110, rows: 30 })
  await terminal.output(Buffer.from('x'))
  terminal.resize({ columns: 120, rows: 30 })
  await terminal.output(Buffer.from([0x61, 0xff, 0xc3]))
  gate.observe({ command: number, rows: undefined, bytes: 3, status: 'exit 0' })
  t.throws(() => terminal.output(Buffer.from('more')), { code: 'ERR_GATE_INTERNAL' }, 'nothing comes after its end')
  t.throws(() => terminal.resize({ columns: 1, rows: 1 }), { code: 'ERR_GATE_INTERNAL' })
  await opened.decide([command('insert')])
  const events = await opened.recorded('terminal', 'output', 'outcome')
  t.match(events, [
    { type: 'terminal', command: number, columns: 1, rows: 1_000 },
    { type: 'output', text: /^plain\r\nplain\r\nplain\r\n‹redacted:[0-9a-f]{16}› é\r\n$/ },
    { type: 'terminal', columns: 110, rows: 30 },
    { type: 'output', text: 'x' },
    { type: 'terminal', columns: 120, rows: 30 },
    { type: 'output', text: 'a\ufffd\ufffd' },
    { type: 'outcome', command: number },
  ])
  const [, first, , second] = events
  const sealed = first?.type === 'output' ? (first.sealed ?? '') : ''
  t.same(JSON.parse(await decrypter.decrypt(Buffer.from(sealed, 'base64'), 'text')), { text: bytes.toString('utf8') })
  t.notOk('sealed' in (second ?? {}), 'where nothing was replaced there is nothing to seal')

  const [again = 0] = (await opened.decide([command('select')])).commands
  const other = gate.terminal(again, { columns: 80, rows: 24 })
  const large = '\u001b[1m漢😀'.repeat(3_000)
  await other.output(Buffer.from(large))
  gate.end()
  await opened.decide([command('insert')])
  const outputs = (await opened.recorded('output')).slice(3)
  t.equal(
    outputs.map(event => (event.type === 'output' ? event.text : '')).join(''),
    large,
    'cut into events, and whole',
  )
  t.ok(Math.max(...outputs.map(event => Buffer.byteLength(JSON.stringify(event)))) < 64_000)

  const [third = 0] = (await opened.decide([command('select')])).commands
  const secret = gate.terminal(third, { columns: 80, rows: 24 })
  const key = `-----BEGIN PRIVATE KEY-----\n${'AbCdEf0123456789+/AbCdEf0123456789+/AbCdEf0123456789+/AbCdEf01\n'.repeat(48)}-----END PRIVATE KEY-----\n`
  await secret.output(Buffer.from(`${'a line of 25 characters..\n'.repeat(100)}${key}`))
  gate.observe({ command: third, rows: undefined, bytes: 0, status: 'exit 0' })
  await opened.decide([command('insert')])
  const last = (await opened.recorded('output')).slice(3 + outputs.length)
  t.notMatch(JSON.stringify(last), 'AbCdEf', 'a key that does not fit into one event')
  t.match(JSON.stringify(last), 'a line of 25 characters')
})

t.test('nothing is allowed that cannot be written down, and the numbers go on without a gap', async t => {
  await using opened = await open(['engineers'], 10)
  // The next file of the record cannot be made.
  const blocked = join(opened.directory, segmentName(2))
  await mkdir(blocked)
  for (const commands of [[command('select')], [command('insert')], [command('drop')]]) {
    await t.rejects(opened.decide(commands), { code: 'ERR_GATE_RECORD' })
  }
  t.throws(() => opened.gate.prepare([command('select')]), { code: 'ERR_GATE_RECORD' })
  await t.rejects(opened.decide([command('delete')]), { code: 'ERR_GATE_RECORD' })
  t.same(opened.notices, [], 'nobody is told of a hold that is not in the record')
  const mine = await approvals.list(opened.state.subject, 'mine')
  t.match(
    mine.filter(({ session }) => session === opened.session),
    [{ state: 'withdrawn' }],
  )
  await rmdir(blocked)
  t.same((await opened.decide([command('select')])).commands, [1])
})
