// The one enforcement point with its real parts: nothing is allowed that is not decided, answered for and written down.
import { mkdir, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Command } from '@gate/relay/protocols/protocol'
import { segmentName } from '@gate/relay/record/journal'
import t from 'tap'
import { recordTerms } from '../../support/record-terms.ts'
import { askedOf, command, compile, person, policyText, startSessionGates } from '../../support/session-gates.ts'

const gates = await startSessionGates()
t.teardown(() => gates[Symbol.asyncDispose]())
const { approvals, clock, open } = gates

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
