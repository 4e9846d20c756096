// Holds in both stores: who may decide, who wins a race, and every way in which a request ends without a yes.
import type { Approvals } from '@gate/relay/approval/approvals'
import type { Asking } from '@gate/relay/approval/asking'
import { parseQuorum } from '@gate/relay/policy/quorum'
import { openStore, type Store } from '@gate/relay/store/store'
import { commandSha256, parametersSha256 } from '@gate/shared/approval'
import { systemClock } from '@gate/shared/clock'
import { GateError } from '@gate/shared/errors'
import { silentLog } from '@gate/shared/log'
import type { AccessRequest, Hold, Operation, Subject } from '@gate/shared/model'
import t from 'tap'
import { decide, startApprovals } from '../../support/approver.ts'
import { createHandClock, type HandClock } from '../../support/clock.ts'
import { collectLog } from '../../support/log.ts'
import { startPostgres } from '../../support/postgres.ts'
import { startStore } from '../../support/store.ts'

const MINUTE = 60_000
let people = 0

/** Everybody is new, so that tests do not see each other's requests. */
function person(...groups: string[]): Subject {
  people += 1
  const name = `p${people}`
  return {
    id: `https://id.example.com|${name}`,
    issuer: 'https://id.example.com',
    email: `${name}@example.com`,
    name,
    groups,
  }
}

const operation: Operation = {
  protocol: 'postgres',
  action: 'delete',
  resources: [{ kind: 'table', name: 'public.t', mode: 'write' }],
  text: `delete from t -- "é😀"`,
  parameters: [{ text: null, bytes: 0, format: 'text' }],
  writes: true,
  routine: false,
  facts: { hasWhere: false },
}

const access = (subject: Subject): AccessRequest => ({
  subject,
  target: { name: 'prod-db', protocol: 'postgres', labels: {}, options: {} },
  operation,
  context: { task: 'MIG-42/3', reason: undefined, timeMs: 0 },
})

const hold = (approvers = '1 of dba', timeoutMs = 15 * MINUTE, more: Partial<Hold> = {}): Hold => ({
  effect: 'hold',
  rule: 'wide-writes',
  approvers: parseQuorum(approvers),
  timeoutMs,
  mode: 'wait',
  obligations: [],
  grants: undefined,
  estimate: false,
  breakGlass: [],
  ...more,
})

/** A value of its own form: text, binary and NULL. */
const parameters = [
  { type: 25, format: 0, value: Buffer.from('x') },
  { type: 0, format: 1, value: null },
]

const asking = (subject: Subject, how: Hold): Asking => ({
  session: 's_1',
  access: access(subject),
  hold: how,
  policy: 'policy-1',
  command: operation.text,
  parameters,
  recorded: { text: 'delete from ‹redacted:0123456789abcdef›', parameters: [], resources: [], facts: {} },
  context: { database: 'app' },
  history: [{ command: 1, action: 'select', text: 'select 1', effect: 'allow', status: 'SELECT 1' }],
  estimate: { rows: 7, detail: 'Delete' },
})

/** Asks, and gives the request's id once people can decide it. */
async function ask(approvals: Approvals, subject: Subject, how = hold(), signal = new AbortController().signal) {
  let id = ''
  let made: () => void = () => {}
  const exists = new Promise<void>(resolve => {
    made = resolve
  })
  const answer = approvals.ask(
    asking(subject, how),
    request => {
      id = request.id
      made()
    },
    signal,
  )
  await Promise.race([exists, answer])
  return { id, answer, subject }
}

/** What an error says, with the id that it is about left out. */
const said = async (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'no error',
    thrown => JSON.parse(JSON.stringify(thrown).replace(/request r_\w+/, 'request ID')) as unknown,
  )

const code = async (work: Promise<unknown>): Promise<string> =>
  work.then(
    value => String(value),
    thrown => (thrown instanceof GateError ? thrown.code : String(thrown)),
  )

const postgres = await startPostgres()
t.teardown(() => postgres[Symbol.asyncDispose]())

const stores: [string, () => Promise<Store>][] = [
  ['the embedded store', startStore],
  [
    'a server',
    () => openStore({ kind: 'postgres', url: postgres.url('postgres'), maximumConnections: 8 }, systemClock, silentLog),
  ],
]

for (const [name, open] of stores) {
  t.test(`over ${name}`, async t => {
    await using store = await open()
    const clock: HandClock = createHandClock()
    const start = (relay: string, limitPerSubject = 50): Promise<Approvals> =>
      startApprovals(store, { relay, limitPerSubject }, clock)
    await using approvals = await start('relay_1')
    await using elsewhere = await start('relay_2')

    await t.test('a request is approved by somebody else, at another relay, with their name', async t => {
      const dba = person('dba')
      const changes: string[] = []
      using _watching = elsewhere.watch(() => changes.push('changed'))
      const { id, answer, subject } = await ask(approvals, person('engineers'))
      t.match(await elsewhere.list(dba, 'decidable'), [
        {
          id,
          subject: { id: subject.id },
          task: 'MIG-42/3',
          operation: { ...operation, parameters: [] },
          commandSha256: commandSha256(Buffer.from(operation.text)),
          parametersSha256: parametersSha256(parameters),
        },
      ])
      t.equal(await decide(elsewhere, dba, id, 'approve', 'looks good'), 'approved')
      t.match(await answer, {
        request: id,
        state: 'approved',
        decisions: [{ by: { id: dba.id, groups: ['dba'] }, verdict: 'approve', reason: 'looks good' }],
      })
      t.same(await elsewhere.list(dba, 'decidable'), [])
      t.match(await elsewhere.get(dba, id), { request: { state: 'approved', settledMs: clock.now() } })
      t.ok(changes.length > 0)
      t.equal(await code(decide(elsewhere, dba, id, 'deny', undefined)), 'ERR_GATE_CONFLICT')
      t.equal(await code(decide(elsewhere, person('dba'), id, 'deny', undefined)), 'ERR_GATE_CONFLICT')
    })

    await t.test(
      'nobody decides their own request, whatever their groups, also not under a second account',
      async t => {
        const engineer = person('engineers', 'dba')
        const { id, answer } = await ask(approvals, engineer)
        const second = { ...person('dba'), email: engineer.email?.toUpperCase() }
        for (const self of [engineer, { ...engineer, groups: ['dba'] }, second]) {
          for (const verdict of ['approve', 'deny'] as const) {
            t.equal(await code(decide(approvals, self, id, verdict, undefined)), 'ERR_GATE_FORBIDDEN')
          }
          t.same(
            (await approvals.list(self, 'decidable')).map(request => request.id),
            [],
          )
        }
        t.same(
          (await approvals.list(engineer, 'mine')).map(request => request.id),
          [id],
        )
        t.equal(await decide(approvals, person('dba'), id, 'approve', undefined), 'approved')
        await answer
      },
    )

    await t.test('who has nothing to do with a request does not learn that it exists', async t => {
      const { id, answer, subject } = await ask(approvals, person('engineers'))
      for (const other of [person('engineers'), person(), person('dbas', 'DBA')]) {
        t.equal(await code(decide(approvals, other, id, 'approve', undefined)), 'ERR_GATE_NOT_FOUND')
        t.equal(await code(approvals.get(other, id)), 'ERR_GATE_NOT_FOUND')
        t.same(await approvals.list(other, 'all'), [])
        t.same(
          await said(approvals.get(other, id)),
          await said(approvals.get(other, 'r_none')),
          'also not by the words',
        )
      }
      for (const unknown of ['', 'r_none', `${id}'`, '\u{1f600}']) {
        t.equal(await code(decide(approvals, person('dba'), unknown, 'approve', undefined)), 'ERR_GATE_NOT_FOUND')
      }
      t.match(await approvals.get(subject, id), { request: { id, state: 'waiting' }, decisions: [] })
      await decide(approvals, person('dba'), id, 'deny', 'no')
      t.match(await answer, { state: 'denied', decisions: [{ verdict: 'deny', reason: 'no' }] })
    })

    await t.test('a quorum needs all its different people, and one denial ends it', async t => {
      const quorum = '2 of dba and 1 of managers'
      const asked = await ask(approvals, person('engineers'), hold(quorum))
      const [first, second] = [person('dba', 'managers'), person('dba')]
      t.equal(await decide(approvals, first, asked.id, 'approve', undefined), 'waiting')
      t.equal(await code(decide(approvals, first, asked.id, 'approve', undefined)), 'ERR_GATE_CONFLICT', 'twice')
      t.equal(await code(decide(approvals, first, asked.id, 'deny', undefined)), 'ERR_GATE_CONFLICT', 'once more')
      t.equal(await decide(approvals, second, asked.id, 'approve', undefined), 'waiting')
      t.equal(await decide(approvals, person('dba'), asked.id, 'approve', undefined), 'approved')
      t.match(await asked.answer, { state: 'approved', decisions: { length: 3 } })

      const denied = await ask(approvals, person('engineers'), hold(quorum))
      await decide(approvals, first, denied.id, 'approve', undefined)
      t.equal(await decide(approvals, second, denied.id, 'deny', undefined), 'denied')
      t.equal(await code(decide(approvals, person('managers'), denied.id, 'approve', undefined)), 'ERR_GATE_CONFLICT')
      t.match(await denied.answer, { state: 'denied' })
    })

    await t.test('two who approve at once are two, and of a yes and a no at once there is one end', async t => {
      const two = await ask(approvals, person('engineers'), hold('2 of dba'))
      const said = await Promise.all([
        decide(approvals, person('dba'), two.id, 'approve', undefined),
        decide(elsewhere, person('dba'), two.id, 'approve', undefined),
      ])
      t.same(said.sort(), ['approved', 'waiting'])
      t.match(await two.answer, { state: 'approved', decisions: { length: 2 } })

      for (let round = 0; round < 8; round += 1) {
        const raced = await ask(approvals, person('engineers'))
        const ends = await Promise.all(
          (['approve', 'deny', 'approve', 'deny'] as const).map((verdict, index) =>
            code(decide(index % 2 === 0 ? approvals : elsewhere, person('dba'), raced.id, verdict, undefined)),
          ),
        )
        const won = ends.filter(end => end !== 'ERR_GATE_CONFLICT')
        t.equal(won.length, 1, ends.join(' '))
        const answer = await raced.answer
        t.equal(answer.state, won[0])
        t.equal(answer.decisions.length, 1)
      }
    })

    await t.test('of a decision and the end of the connection at once, one wins, and both sides agree', async t => {
      for (let round = 0; round < 8; round += 1) {
        const stop = new AbortController()
        const raced = await ask(approvals, person('engineers'), hold(), stop.signal)
        const deciding = code(decide(elsewhere, person('dba'), raced.id, 'approve', undefined))
        if (round % 2 === 0) await new Promise(resolve => setImmediate(resolve))
        stop.abort()
        const [said, answer] = [await deciding, await raced.answer]
        t.equal(said === 'approved' ? 'approved' : 'withdrawn', answer.state, said)
        t.match(await approvals.get(raced.subject, raced.id), { request: { state: answer.state } })
      }
    })

    await t.test('a request that nobody decides expires, and cannot be decided from that moment', async t => {
      const { id, answer } = await ask(approvals, person('engineers'), hold('1 of dba', MINUTE))
      clock.advance(MINUTE - 1)
      t.equal((await approvals.list(person('dba'), 'decidable')).length, 1)
      clock.advance(1)
      t.equal(await code(decide(approvals, person('dba'), id, 'approve', undefined)), 'ERR_GATE_EXPIRED')
      t.same(await approvals.list(person('dba'), 'decidable'), [])
      t.match(await answer, { state: 'expired', decisions: [] })
      t.equal(await code(decide(approvals, person('dba'), id, 'approve', undefined)), 'ERR_GATE_EXPIRED')
    })

    await t.test('a request whose connection ends is withdrawn, also when it had ended before', async t => {
      const stop = new AbortController()
      const { id, answer } = await ask(approvals, person('engineers'), hold(), stop.signal)
      stop.abort()
      t.match(await answer, { state: 'withdrawn', decisions: [] })
      t.equal(await code(decide(approvals, person('dba'), id, 'approve', undefined)), 'ERR_GATE_CONFLICT')
      const late = await ask(approvals, person('engineers'), hold(), stop.signal)
      t.match(await late.answer, { state: 'withdrawn' })
    })

    await t.test('a request that cannot be recorded is withdrawn, and nothing runs', async t => {
      const engineer = person('engineers')
      const full = new GateError('ERR_GATE_RECORD', 'the disk is full')
      const asked = approvals.ask(
        asking(engineer, hold()),
        () => {
          throw full
        },
        new AbortController().signal,
      )
      await t.rejects(asked, { code: 'ERR_GATE_RECORD' })
      t.match(await approvals.list(engineer, 'mine'), [{ state: 'withdrawn' }])
    })

    await t.test('a person has so many requests waiting and no more', async t => {
      await using few = await start('relay_3', 2)
      const engineer = person('engineers')
      const stop = new AbortController()
      const [first] = [await ask(few, engineer), await ask(few, engineer, hold(), stop.signal)]
      t.equal(await code(ask(few, engineer)), 'ERR_GATE_LIMIT')
      const other = await ask(few, person('engineers'), hold(), stop.signal)
      await decide(few, person('dba'), first.id, 'deny', undefined)
      await first.answer
      const third = await ask(few, engineer, hold(), stop.signal)
      stop.abort()
      t.match([await other.answer, await third.answer], [{ state: 'withdrawn' }, { state: 'withdrawn' }])
    })

    await t.test('a relay that starts again withdraws what it was holding, and nothing of others', async t => {
      const crashed = await start('relay_4')
      const mine = await ask(crashed, person('engineers'))
      const others = await ask(approvals, person('engineers'))
      await using _again = await start('relay_4')
      t.equal(await code(decide(approvals, person('dba'), mine.id, 'approve', undefined)), 'ERR_GATE_CONFLICT')
      t.match(await approvals.get(mine.subject, mine.id), { request: { state: 'withdrawn' } })
      t.equal(await decide(approvals, person('dba'), others.id, 'approve', undefined), 'approved')
      t.match(await others.answer, { state: 'approved' })
      await crashed[Symbol.asyncDispose]()
      t.match(await mine.answer, { state: 'withdrawn' })
    })

    await t.test('a relay that goes down withdraws what it was holding', async t => {
      const leaving = await start('relay_5')
      const { id, answer, subject } = await ask(leaving, person('engineers'))
      await leaving[Symbol.asyncDispose]()
      t.match(await answer, { state: 'withdrawn' })
      t.match(await approvals.get(subject, id), { request: { state: 'withdrawn' } })
    })
  })
}

t.test('when the store is lost, whoever waits is told, and nothing runs', async t => {
  const store = await startStore()
  const log = collectLog()
  const approvals = await startApprovals(store, { relay: 'relay_1' }, createHandClock(), log)
  const { answer } = await ask(approvals, person('engineers'))
  const failed = code(answer)
  await store[Symbol.asyncDispose]()
  t.equal(await failed, 'ERR_GATE_STORE')
  t.equal(await code(ask(approvals, person('engineers'))), 'ERR_GATE_STORE')
  await approvals[Symbol.asyncDispose]()
})
