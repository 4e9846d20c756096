// Holds: commands wait for people, and what changes meanwhile counts.
import t from 'tap'
import { asked, command, compile, person, policyText, startSessionGates } from '../../support/session-gates.ts'

const gates = await startSessionGates()
t.teardown(() => gates[Symbol.asyncDispose]())
const { approvals, open, settle } = gates

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

t.test('what people let pass goes on until other people would have to be asked, or it is refused', async t => {
  await using opened = await open()
  const { gate, state } = opened
  const deciding = opened.decide([command('delete', 'delete from t')])
  await settle(opened, 1, 'approve')
  const verdict = await deciding
  const { standing } = gate
  t.equal(gate.standing, standing)
  const change = (from: string, to: string): void => {
    const before = gate.standing
    state.policy = compile(policyText.replace(from, to))
    t.not(gate.standing, before)
  }
  change('rows: 5', 'rows: 6')
  t.same(gate.judgeAgain(command('delete', 'delete from t'), verdict), [])
  change('1 of dba', '2 of dba')
  t.match(gate.judgeAgain(command('delete', 'delete from t'), verdict), { effect: 'deny', rule: 'wide' })
  change('rows: 5', 'rows: 6')
  state.subject = person('alice', 'engineers', 'masked')
  t.match(gate.judgeAgain(command('delete', 'delete from t'), verdict), [{ kind: 'mask', columns: ['*.email'] }])
  state.subject = person('alice', 'others')
  t.match(gate.judgeAgain(command('delete', 'delete from t'), verdict), { effect: 'deny', rule: 'default' })
  t.match(await opened.recorded('command'), [
    { settled: { effect: 'allow' } },
    { settled: { effect: 'deny', rule: 'wide', reason: /2 of dba now/ } },
    { decision: { effect: 'deny', rule: 'default' } },
  ])
  change('op.action == "merge"', 'now.getHours("UTC") == 3')
  const now = gate.standing
  gates.clock.advance(10_000)
  t.not(gate.standing, now, 'where a rule asks for the time')
})
