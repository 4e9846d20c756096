// Finding sessions: what was recorded is found, also after crashes, floods and the loss of the store.
import { setTimeout as wait } from 'node:timers/promises'
import { findSessions, type SessionFilter, type Sight } from '@gate/relay/history/find'
import { SessionIndexer } from '@gate/relay/history/indexer'
import { MAX_TERMS_PER_SESSION } from '@gate/relay/history/known-terms'
import type { EventSource } from '@gate/relay/history/source'
import { rememberTarget, sightOf, targetKey } from '@gate/relay/history/targets'
import { wordsOf } from '@gate/relay/history/terms'
import { createPolicy } from '@gate/relay/policy/decide'
import { compilePolicy } from '@gate/relay/policy/rules'
import type { EventBody } from '@gate/relay/record/events'
import { Recorder } from '@gate/relay/record/recorder'
import { openStore, type Store } from '@gate/relay/store/store'
import { systemClock } from '@gate/shared/clock'
import { silentLog } from '@gate/shared/log'
import type { Subject } from '@gate/shared/model'
import t from 'tap'
import { startPostgres } from '../../support/postgres.ts'
import { testTree } from '../../support/record.ts'
import { startStore } from '../../support/store.ts'
import { temporaryDirectory } from '../../support/tmp.ts'
import { until } from '../../support/until.ts'

const postgres = await startPostgres()
t.teardown(() => postgres[Symbol.asyncDispose]())

const HOUR_MS = 3_600_000
const all: Sight = { subject: 'nobody', targets: undefined }
const alice: Subject = {
  id: 'i|alice',
  issuer: 'i',
  email: 'Alice@Example.com',
  name: undefined,
  groups: ['engineers'],
}

interface Made {
  readonly id: string
  readonly target?: string
  readonly task?: string
  readonly startedMs?: number
  readonly endedMs?: number | null
  readonly subject?: Subject
}

const labels = { env: 'prod' }

async function insert(store: Store, recorder: Recorder, made: Made): Promise<void> {
  const { id, target = 'prod-db', task, startedMs = Date.now(), endedMs = null, subject = alice } = made
  const first = recorder.append(started(id, target, task, subject))
  await rememberTarget(store.db, { name: target, protocol: 'postgres', labels })
  const row = {
    id,
    login_id: 'l',
    subject_id: subject.id,
    email: subject.email ?? null,
    groups: '[]',
    target,
    protocol: 'postgres',
    labels: JSON.stringify(labels),
    agent: null,
    relay: 'relay_1',
    task: task ?? null,
    reason: null,
    program: null,
    started_ms: startedMs,
    ended_ms: endedMs,
    end_code: endedMs === null ? null : 'ended',
    first_event: first,
    last_event: endedMs === null ? null : first,
    target_key: targetKey({ name: target, protocol: 'postgres', labels }),
  }
  await store.db
    .insertInto('sessions')
    .values(row)
    .onConflict(conflict => conflict.column('id').doUpdateSet(row))
    .execute()
}

function started(session: string, target: string, task: string | undefined, subject: Subject): EventBody {
  const { id, email, groups } = subject
  return {
    type: 'session.start',
    session,
    subject: { id, ...(email === undefined ? {} : { email }), groups: [...groups] },
    target,
    protocol: 'postgres',
    ...(task === undefined ? {} : { task }),
    policy: 'p',
    client: { program: 'psql' },
    clientAddress: '10.0.0.7',
  }
}

const command = (session: string, number: number, text: string, rule = 'reads', action = 'select'): EventBody => ({
  type: 'command',
  session,
  command: number,
  action,
  text,
  resources: [],
  facts: {},
  decision: rule === 'never' ? { effect: 'deny', rule, reason: 'no' } : { effect: 'allow', rule },
  policy: 'p',
})

async function found(store: Store, filter: Partial<SessionFilter>, sight = all): Promise<string[]> {
  const rows = await findSessions(store, { words: [], limit: 50, ...filter }, sight, 12 * HOUR_MS)
  return rows.map(({ id }) => id)
}

async function openRecord(directory: string): Promise<Recorder> {
  return Recorder.open(directory, testTree, systemClock, silentLog)
}

const start = (store: Store, source: EventSource): Promise<SessionIndexer> =>
  SessionIndexer.start(store, 'relay_1', source, systemClock, silentLog)

t.test('words are what people see as words, in any script, and bounded', async t => {
  t.same(wordsOf('SELECT a.Email, x FROM public.Zählung WHERE id=4711 -- "日本"'), [
    'select',
    'email',
    'from',
    'public',
    'zählung',
    'where',
    'id',
    '4711',
    '日本',
  ])
  t.equal(wordsOf('w'.repeat(1000))[0]?.length, 64)
  t.equal(wordsOf(Array.from({ length: 5000 }, (_, index) => `word${index}`).join(' ')).length, 500)
})

const engines: [string, () => Promise<Store>][] = [
  ['embedded', startStore],
  [
    'on a server',
    async () => {
      await postgres.query('create database history')
      return openStore(
        { kind: 'postgres', url: postgres.url('history'), maximumConnections: 5 },
        systemClock,
        silentLog,
      )
    },
  ],
]

for (const [name, open] of engines) {
  t.test(`sessions are found by what was done in them while they run, in a store ${name}`, async t => {
    await using store = await open()
    await using directory = await temporaryDirectory('index')
    const recorder = await openRecord(directory.path)
    await using indexer = await start(store, recorder)
    await insert(store, recorder, { id: 's_1' })
    await insert(store, recorder, { id: 's_2', startedMs: Date.now() + 1000 })
    recorder.append(command('s_1', 1, 'select * from customers where id = 4711'))
    recorder.append(command('s_2', 1, 'drop table customers', 'never', 'drop'))
    recorder.append({
      type: 'hold',
      session: 's_2',
      request: 'r_1',
      action: 'delete',
      rule: 'wide-writes',
      approvers: '1 of dba',
      commandHash: '',
      expiresMs: 0,
    })
    await indexer.caughtUp()
    t.same(await found(store, { words: ['customers'] }), ['s_2', 's_1'], 'newest first')
    t.same(await found(store, { words: ['customers', '4711'] }), ['s_1'])
    t.same(await found(store, { words: ['custom'] }), [], 'whole words')
    t.same(await found(store, { action: 'drop' }), ['s_2'])
    t.same(await found(store, { rule: 'never' }), ['s_2'])
    t.same(await found(store, { rule: 'wide-writes' }), ['s_2'])
    t.same(await found(store, { rule: 'reads', words: ['drop'] }), [])
    t.same(
      await store.db.selectFrom('sessions').select(['id', 'commands', 'refused', 'held']).orderBy('id').execute(),
      [
        { id: 's_1', commands: 1, refused: 0, held: 0 },
        { id: 's_2', commands: 1, refused: 1, held: 1 },
      ],
      'open sessions have counts',
    )
    await recorder.close()
  })
}

t.test('sessions are found by who, where, for what and when they were open', async t => {
  await using store = await startStore()
  await using directory = await temporaryDirectory('index')
  const recorder = await openRecord(directory.path)
  const at = Date.UTC(2030, 0, 1, 12)
  const bob: Subject = { ...alice, id: 'i|bob', email: 'bob@example.com' }
  await insert(store, recorder, { id: 's_1', task: 'MIG-4', startedMs: at, endedMs: at + HOUR_MS })
  await insert(store, recorder, { id: 's_2', task: 'MIG-4/2', startedMs: at + HOUR_MS, target: 'other-db' })
  await insert(store, recorder, { id: 's_3', task: 'MIG-42', startedMs: at + 2 * HOUR_MS, subject: bob })
  t.same(await found(store, { task: 'MIG-4' }), ['s_2', 's_1'], 'a task has steps')
  t.same(await found(store, { task: 'MIG-%' }), [])
  t.same(await found(store, { user: 'alice@example.COM' }), ['s_2', 's_1'])
  t.same(await found(store, { user: 'i|bob' }), ['s_3'])
  t.same(await found(store, { target: 'other-db' }), ['s_2'])
  t.same(await found(store, { sinceMs: at + 1.5 * HOUR_MS, untilMs: at + 1.6 * HOUR_MS }), ['s_2'], 'still open')
  t.same(await found(store, { untilMs: at + 0.5 * HOUR_MS }), ['s_1'])
  t.same(await found(store, { limit: 1 }), ['s_3'])
  const policy = createPolicy(
    compilePolicy(
      [
        {
          file: 'p',
          text: 'targets: [{ match: { name: other-* }, allow: { groups: [x] }, viewers: [auditors] }]',
        },
      ],
      {},
    ),
  )
  const sight = await sightOf(store, policy, { ...bob, groups: ['auditors'] })
  t.same(await found(store, {}, sight), ['s_3', 's_2'], 'their own, and those of targets they may view')
  t.same(await found(store, {}, await sightOf(store, policy, bob)), ['s_3'])
  await recorder.close()
})

t.test('what was recorded while nobody indexed is found after the next start, and open sessions are over', async t => {
  await using store = await startStore()
  await using directory = await temporaryDirectory('index')
  const recorder = await openRecord(directory.path)
  await insert(store, recorder, { id: 's_1' })
  recorder.append(command('s_1', 1, 'select gone'))
  recorder.append(command('s_1', 2, 'drop table gone', 'never', 'drop'))
  t.same(await found(store, { words: ['gone'] }), [])
  {
    await using indexer = await start(store, recorder)
    await indexer.caughtUp()
    t.same(await found(store, { words: ['gone'] }), ['s_1'])
    const row = await store.db.selectFrom('sessions').selectAll().executeTakeFirstOrThrow()
    t.match(row, { end_code: 'lost', commands: 2, refused: 1 })
  }
  {
    await using indexer = await start(store, recorder)
    await indexer.caughtUp()
    const row = await store.db.selectFrom('sessions').selectAll().executeTakeFirstOrThrow()
    t.match(row, { commands: 2, refused: 1 }, 'nothing counts twice')
  }
  await recorder.close()
})

t.test(
  'a flood that does not fit into the queue is found all the same, and takes no more terms than it may',
  async t => {
    await using store = await startStore()
    await using directory = await temporaryDirectory('index')
    const recorder = await openRecord(directory.path)
    await using indexer = await start(store, recorder)
    await insert(store, recorder, { id: 's_1' })
    await insert(store, recorder, { id: 's_2' })
    await indexer.caughtUp()
    for (let number = 1; number <= 5_500; number += 1) recorder.append(command('s_1', number, `select flood${number}`))
    recorder.append(command('s_2', 1, 'select afterwards'))
    for (let tries = 0; tries < 5; tries += 1) await indexer.caughtUp()
    t.same(await found(store, { words: ['flood1'] }), ['s_1'])
    t.same(await found(store, { words: ['afterwards'] }), ['s_2'])
    const { count } = await store.db
      .selectFrom('session_terms')
      .select(({ fn }) => fn.countAll<number>().as('count'))
      .where('session_id', '=', 's_1')
      .executeTakeFirstOrThrow()
    t.equal(count, MAX_TERMS_PER_SESSION)
    await recorder.close()
  },
)

t.test('a flood of the same statements is counted without being read again from the record', async t => {
  await using store = await startStore()
  await using directory = await temporaryDirectory('index')
  const recorder = await openRecord(directory.path)
  let readings = 0
  const source: EventSource = {
    get sequence() {
      return recorder.sequence
    },
    watch: listener => recorder.watch(listener),
    readFrom: sequence => {
      readings += 1
      return recorder.readFrom(sequence)
    },
  }
  await using indexer = await start(store, source)
  await insert(store, recorder, { id: 's_1' })
  await insert(store, recorder, { id: 's_2' })
  await indexer.caughtUp()
  readings = 0
  const [one, other] = [command('s_1', 1, 'select same'), command('s_2', 1, 'drop table same', 'never', 'drop')]
  for (let number = 1; number <= 12_000; number += 1) recorder.append({ ...one, command: number } as EventBody)
  for (let number = 1; number <= 300; number += 1) recorder.append({ ...other, command: number } as EventBody)
  recorder.append({ ...one, command: 12_001, action: 'update' } as EventBody)
  recorder.append({ ...one, command: 12_002, decision: { effect: 'allow', rule: 'another' } } as EventBody)
  recorder.append({ ...one, command: 12_003, text: 'select different' } as EventBody)
  for (let tries = 0; tries < 5; tries += 1) await indexer.caughtUp()
  t.equal(readings, 0)
  t.same(await store.db.selectFrom('sessions').select(['id', 'commands', 'refused', 'held']).orderBy('id').execute(), [
    { id: 's_1', commands: 12_003, refused: 0, held: 0 },
    { id: 's_2', commands: 300, refused: 300, held: 0 },
  ])
  t.same(await found(store, { words: ['same'] }), ['s_2', 's_1'].sort().reverse())
  t.same(await found(store, { words: ['different'] }), ['s_1'])
  t.same(await found(store, { rule: 'another' }), ['s_1'])
  t.same(await found(store, { action: 'update' }), ['s_1'])
  const position = await store.db.selectFrom('record_positions').selectAll().executeTakeFirstOrThrow()
  t.equal(position.sequence, recorder.sequence, 'the next start reads nothing again')
  await recorder.close()
})

/** A store whose transactions fail when they are to: before they begin, or with the answer to their COMMIT lost. */
function faulty(store: Store): { readonly store: Store; fail: (when: 'before' | 'after', number?: number) => void } {
  let [when, left]: ['before' | 'after', number] = ['before', 0]
  const failing = (): boolean => left > 0 && --left === 0
  const db = new Proxy(store.db, {
    get: (target, name) => {
      // It has private fields, which a proxy has not.
      const own: unknown = Reflect.get(target, name, target)
      if (name !== 'transaction') return typeof own === 'function' ? own.bind(target) : own
      return () => ({
        execute: async (write: Parameters<ReturnType<typeof target.transaction>['execute']>[0]) => {
          const fails = failing()
          if (fails && when === 'before') throw new Error('connection lost')
          const result = await target.transaction().execute(write)
          if (fails) throw new Error('connection lost')
          return result
        },
      })
    },
  })
  return {
    store: new Proxy(store, { get: (target, name) => (name === 'db' ? db : Reflect.get(target, name, target)) }),
    /** The `number`th transaction from now on. */
    fail: (which, number = 1) => {
      when = which
      left = number
    },
  }
}

const countsOf = (store: Store): Promise<{ id: string; commands: number; refused: number }[]> =>
  store.db.selectFrom('sessions').select(['id', 'commands', 'refused']).orderBy('id').execute()

t.test('what the store did not take is written by itself as soon as it does, and nothing is counted twice', async t => {
  await using real = await startStore()
  await using directory = await temporaryDirectory('index')
  const recorder = await openRecord(directory.path)
  const { store, fail } = faulty(real)
  await using indexer = await start(store, recorder)
  await insert(real, recorder, { id: 's_1' })
  await indexer.caughtUp()
  for (const when of ['before', 'after'] as const) {
    const [before] = await countsOf(real)
    recorder.append(command('s_1', 1, `select ${when}`))
    recorder.append(command('s_1', 2, 'drop table t', 'never', 'drop'))
    fail(when)
    await indexer.caughtUp()
    // Nobody runs another command.
    await until('the words are found', async () => (await found(real, { words: [when] })).length > 0)
    await wait(1_500)
    t.same(await countsOf(real), [
      { id: 's_1', commands: (before?.commands ?? 0) + 2, refused: (before?.refused ?? 0) + 1 },
    ])
  }
  await recorder.close()
})

t.test('what is read again from the record is counted once, wherever that fails', async t => {
  await using real = await startStore()
  await using directory = await temporaryDirectory('index')
  const recorder = await openRecord(directory.path)
  const { store, fail } = faulty(real)
  for (const id of ['s_1', 's_2', 's_3']) {
    recorder.append(started(id, 'prod-db', undefined, alice))
    for (let number = 1; number <= 1_200; number += 1)
      recorder.append(
        command(id, number, `select word${number}`, ...(number > 100 ? [] : (['never', 'drop'] as const))),
      )
    if (id !== 's_2') recorder.append({ type: 'session.end', session: id, code: 'ended' })
  }
  const expected = ['s_1', 's_2', 's_3'].map(id => ({ id, commands: 1_200, refused: 100 }))
  for (const when of ['before', 'after'] as const) {
    for (let number = 1; number <= 5; number += 1) {
      await real.db.deleteFrom('sessions').execute()
      await real.db.deleteFrom('record_positions').execute()
      await using indexer = await start(store, recorder)
      fail(when, number)
      for (let tries = 0; tries < 3; tries += 1) await indexer.caughtUp()
      t.same(await countsOf(real), expected, `${when} transaction ${number}`)
      const ends = await real.db.selectFrom('sessions').select('end_code').orderBy('id').execute()
      t.same(
        ends.map(({ end_code }) => end_code),
        ['ended', 'lost', 'ended'],
      )
    }
  }
  // The relay is killed in the middle.
  await real.db.deleteFrom('sessions').execute()
  await real.db.deleteFrom('record_positions').execute()
  {
    const killed = await start(store, recorder)
    fail('before', 3)
    await killed.caughtUp()
    await killed[Symbol.asyncDispose]()
  }
  {
    await using indexer = await start(store, recorder)
    await indexer.caughtUp()
    t.same(await countsOf(real), expected)
  }
  await recorder.close()
})

t.test('a record that is behind the store, since it was cut in a crash, is followed on', async t => {
  await using store = await startStore()
  await using directory = await temporaryDirectory('index')
  const recorder = await openRecord(directory.path)
  await insert(store, recorder, { id: 's_1' })
  await store.db.insertInto('record_positions').values({ relay: 'relay_1', sequence: 1_000 }).execute()
  await using indexer = await start(store, recorder)
  await insert(store, recorder, { id: 's_2' })
  recorder.append(command('s_2', 1, 'select afterwards'))
  await indexer.caughtUp()
  t.same(await found(store, { words: ['afterwards'] }), ['s_2'])
  await recorder.close()
})

t.test('a store that was lost is filled again from the record, counts and all', async t => {
  await using store = await startStore()
  await using directory = await temporaryDirectory('index')
  const recorder = await openRecord(directory.path)
  const first = recorder.append(started('s_1', 'prod-db', 'MIG-1', alice))
  recorder.append({ type: 'session.open', session: 's_1', agent: 'agent-one', target: {} })
  recorder.append(command('s_1', 1, 'select precious'))
  recorder.append(command('s_1', 2, 'drop table precious', 'never', 'drop'))
  const last = recorder.append({ type: 'session.end', session: 's_1', code: 'ended' })
  recorder.append({ type: 'view', session: 's_1', by: 'i|bob' })
  {
    await using indexer = await start(store, recorder)
    await indexer.caughtUp()
  }
  await using indexer = await start(store, recorder)
  await indexer.caughtUp()
  t.match(await store.db.selectFrom('sessions').selectAll().execute(), [
    {
      id: 's_1',
      email: 'Alice@Example.com',
      target: 'prod-db',
      task: 'MIG-1',
      agent: 'agent-one',
      program: 'psql',
      client_address: '10.0.0.7',
      end_code: 'ended',
      first_event: first,
      last_event: last,
      commands: 2,
      refused: 1,
    },
  ])
  t.same(await found(store, { words: ['precious'] }), ['s_1'])
  t.match(await store.db.selectFrom('session_views').selectAll().execute(), [{ session_id: 's_1', by_id: 'i|bob' }])
  await recorder.close()
})

t.test('sessions that were deleted by age leave the lists, with the words they were found by', async t => {
  await using store = await startStore()
  await using directory = await temporaryDirectory('index')
  const recorder = await openRecord(directory.path)
  await using indexer = await start(store, recorder)
  await insert(store, recorder, { id: 's_open' })
  await insert(store, recorder, { id: 's_old', endedMs: 1 })
  const last = recorder.sequence
  await insert(store, recorder, { id: 's_new', endedMs: 1 })
  for (const id of ['s_open', 's_old', 's_new']) recorder.append(command(id, 1, 'select something'))
  recorder.append({ type: 'view', session: 's_old', by: 'bob' })
  await indexer.caughtUp()
  t.same((await found(store, { words: ['something'] })).sort(), ['s_new', 's_old', 's_open'])
  recorder.append({
    type: 'retention',
    first: 1,
    last,
    count: last,
    firstMs: 0,
    lastMs: 1,
    ageMs: 1,
    size: last,
    root: '',
  })
  await indexer.caughtUp()
  t.same((await found(store, {})).sort(), ['s_new', 's_open'])
  for (const table of ['session_terms', 'session_views'] as const)
    t.same(await store.db.selectFrom(table).select('session_id').where('session_id', '=', 's_old').execute(), [], table)
  const deleted = await store.db.selectFrom('deleted_sessions').selectAll().execute()
  t.match(deleted, [{ id: 's_old', relay: 'relay_1', sequence: recorder.sequence, deleted_ms: Number }])
  t.equal(deleted.length, 1)
  await recorder.close()
})
