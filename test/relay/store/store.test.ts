// The store over both engines: the same promises from PGlite in a worker thread and from a real PostgreSQL server.
import { cp, writeFile } from 'node:fs/promises'
import { createServer, connect as dial, type Socket } from 'node:net'
import { join } from 'node:path'
import { lockState } from '@gate/relay/state'
import { openStore, type Store, storeErrors } from '@gate/relay/store/store'
import { systemClock } from '@gate/shared/clock'
import { GateError } from '@gate/shared/errors'
import { silentLog } from '@gate/shared/log'
import { sql } from 'kysely'
import t from 'tap'
import { createHandClock } from '../../support/clock.ts'
import { collectLog } from '../../support/log.ts'
import { type PostgresServer, startPostgres } from '../../support/postgres.ts'
import { startStore } from '../../support/store.ts'
import { temporaryDirectory } from '../../support/tmp.ts'
import { until } from '../../support/until.ts'

const postgres = await startPostgres()
t.teardown(() => postgres[Symbol.asyncDispose]())

const onServer = (url: string, maximumConnections = 5, log = silentLog): Promise<Store> =>
  openStore({ kind: 'postgres', url, maximumConnections }, systemClock, log)

let databases = 0
async function newDatabase(server: PostgresServer = postgres): Promise<string> {
  databases += 1
  await server.query(`create database store_${databases}`)
  return server.url(`store_${databases}`)
}

const agent = (name: string) => ({
  name,
  public_key: 'key',
  targets: JSON.stringify(['a-*', 'é😀"\\']),
  enrolled_ms: 1_900_000_000_123,
  revoked_ms: null,
})

const names = async (store: Pick<Store, 'db'>): Promise<string[]> =>
  (await store.db.selectFrom('agents').select('name').orderBy('name').execute()).map(({ name }) => name)

/** Resolves when the list has so many items. */
const engines: [string, () => Promise<Store>][] = [
  ['embedded', startStore],
  ['on a server', async () => onServer(await newDatabase())],
]

for (const [name, open] of engines) {
  t.test(`a store ${name}`, async t => {
    await using store = await open()

    await t.test('answers, and gives values back as they were put in', async t => {
      await store.check()
      await store.db.insertInto('agents').values(agent('one')).execute()
      t.same(await store.db.selectFrom('agents').selectAll().execute(), [
        { ...agent('one'), targets: ['a-*', 'é😀"\\'] },
      ])
      const { count } = await store.db
        .selectFrom('agents')
        .select(({ fn }) => fn.countAll<number>().as('count'))
        .executeTakeFirstOrThrow()
      t.equal(count, 1, 'a count is a number')
    })

    await t.test('says how many rows were changed, also when none', async t => {
      const insert = (name: string) =>
        store.db
          .insertInto('agents')
          .values(agent(name))
          .onConflict(conflict => conflict.column('name').doNothing())
          .executeTakeFirst()
      t.equal((await insert('two')).numInsertedOrUpdatedRows, 1n)
      t.equal((await insert('two')).numInsertedOrUpdatedRows, 0n)
      const revoke = (name: string) =>
        store.db.updateTable('agents').set({ revoked_ms: 1 }).where('name', '=', name).executeTakeFirst()
      t.equal((await revoke('two')).numUpdatedRows, 1n)
      t.equal((await revoke('nobody')).numUpdatedRows, 0n)
      t.equal((await store.db.deleteFrom('agents').where('name', '=', 'two').executeTakeFirst()).numDeletedRows, 1n)
    })

    await t.test('undoes a transaction that fails, and goes on', async t => {
      await t.rejects(
        store.db.transaction().execute(async tx => {
          await tx.insertInto('agents').values(agent('three')).execute()
          throw new Error('on second thought')
        }),
        /second thought/,
      )
      await t.rejects(
        store.db.transaction().execute(async tx => {
          await tx.insertInto('agents').values(agent('three')).execute()
          await tx.insertInto('agents').values(agent('three')).execute()
        }),
        { code: '23505' },
      )
      t.same(await names(store), ['one'])
    })

    await t.test('does not mix transactions, nor what stands beside them', async t => {
      const steps: string[] = []
      let go: () => void = () => {}
      const held = new Promise<void>(resolve => {
        go = resolve
      })
      const first = store.db.transaction().execute(async tx => {
        await tx.insertInto('agents').values(agent('first')).execute()
        steps.push('inserted')
        await held
        t.ok((await names({ db: tx })).includes('first'))
        throw new Error('undo')
      })
      await until('the first transaction', () => steps.length === 1)
      const second = store.db.transaction().execute(async tx => {
        await tx.insertInto('agents').values(agent('second')).execute()
        return names({ db: tx })
      })
      const beside = names(store)
      // Whoever has to wait for a turn has had time to jump the queue.
      await systemClock.sleep(50)
      go()
      await t.rejects(first, /undo/)
      t.same(await second, ['one', 'second'])
      t.notOk((await beside).includes('first'), 'nobody sees what may yet be undone')
      t.same(await names(store), ['one', 'second'])
      await store.db.deleteFrom('agents').where('name', '=', 'second').execute()
    })

    await t.test('runs many transactions at once, each whole', async t => {
      await store.db
        .insertInto('agents')
        .values({ ...agent('counter'), enrolled_ms: 0 })
        .execute()
      await Promise.all(
        Array.from({ length: 40 }, (_, index) =>
          store.db
            .transaction()
            .execute(async tx => {
              const { enrolled_ms } = await tx
                .selectFrom('agents')
                .select('enrolled_ms')
                .where('name', '=', 'counter')
                .forUpdate()
                .executeTakeFirstOrThrow()
              await tx
                .updateTable('agents')
                .set({ enrolled_ms: enrolled_ms + 1 })
                .where('name', '=', 'counter')
                .execute()
              if (index % 4 === 0) throw new Error('undo')
            })
            .catch(() => {}),
        ),
      )
      const { enrolled_ms } = await store.db
        .selectFrom('agents')
        .select('enrolled_ms')
        .where('name', '=', 'counter')
        .executeTakeFirstOrThrow()
      t.equal(enrolled_ms, 30)
    })

    await t.test('tells everybody who listens, and nobody else', async t => {
      const heard: string[] = []
      await store.listen('requests', payload => heard.push(`a ${payload}`))
      await store.listen('requests', payload => heard.push(`b ${payload}`))
      await store.listen('logins', payload => heard.push(`c ${payload}`))
      const odd = `it's "é😀" \\ \n`
      await store.notify('requests', 'r_1')
      await store.notify('logins', odd)
      await until('three notifications', () => heard.length >= 3)
      t.same(heard.sort(), ['a r_1', 'b r_1', `c ${odd}`])
    })

    await t.test('refuses what a text cannot hold, without a word of it', async t => {
      const failed = storeErrors(() => store.db.insertInto('agents').values(agent('a\0secret')).execute())
      const error = await failed.then(
        () => undefined,
        (thrown: unknown) => thrown,
      )
      t.match(error, { code: 'ERR_GATE_STORE', message: 'the store does not answer' })
      t.notMatch(JSON.stringify(error), 'secret')
      await store.check()
    })

    await t.test('gives gate’s own errors back as they are', async t => {
      const own = new GateError('ERR_GATE_CONFLICT', 'decided already')
      await t.rejects(
        storeErrors(() => store.db.transaction().execute(() => Promise.reject(own))),
        { code: 'ERR_GATE_CONFLICT' },
      )
    })

    if (name !== 'embedded') return
    await t.test('that too many wait for says so, and serves those who wait', async t => {
      let go: () => void = () => {}
      const held = new Promise<void>(resolve => {
        go = resolve
      })
      let began = false
      const first = store.db.transaction().execute(async () => {
        began = true
        await held
      })
      await until('the transaction', () => began)
      const waiting = Array.from({ length: 1000 }, () => sql`select 1`.execute(store.db))
      await t.rejects(store.check(), { code: 'ERR_GATE_STORE', message: /overloaded/ })
      go()
      await first
      t.equal((await Promise.all(waiting)).length, 1000)
      await store.check()
    })

    await t.test('that was closed answers nobody, at once', async t => {
      await store[Symbol.asyncDispose]()
      await t.rejects(store.check(), { code: 'ERR_GATE_STORE' })
    })
  })
}

t.test('a store that was migrated before is opened as it is', async t => {
  await using temporary = await temporaryDirectory('store')
  const directory = join(temporary.path, 'store')
  const seed = process.env['GATE_TEST_SEED']
  if (seed !== undefined) await cp(seed, directory, { recursive: true })
  const embedded = (): Promise<Store> => openStore({ kind: 'embedded', directory }, systemClock, silentLog)
  const url = await newDatabase()
  for (const open of [embedded, () => onServer(url)]) {
    for (const [index, expected] of [[], ['0']].entries()) {
      await using store = await open()
      t.same(await names(store), expected)
      await store.db
        .insertInto('agents')
        .values(agent(String(index)))
        .execute()
    }
  }
})

t.test('relays that start at once on one server migrate it once, and tell each other', async t => {
  const url = await newDatabase()
  const stores = await Promise.all(Array.from({ length: 4 }, () => onServer(url, 2)))
  try {
    const [first, second] = stores
    if (first === undefined || second === undefined) throw new Error('four stores')
    t.same((await sql<{ name: string }>`select name from kysely_migration`.execute(first.db)).rows, [
      { name: '001-first' },
      { name: '002-approvals' },
      { name: '003-sessions' },
      { name: '004-relays' },
      { name: '005-later' },
      { name: '006-address' },
      { name: '007-deleted' },
      { name: '008-key-names' },
    ])
    const heard: string[] = []
    await second.listen('logins', payload => heard.push(payload))
    await first.notify('logins', 'l_1')
    await until('the notification', () => heard.length > 0)
    t.same(heard, ['l_1'])
    await first.db.insertInto('agents').values(agent('shared')).execute()
    t.same(await names(second), ['shared'])
  } finally {
    await Promise.all(stores.map(store => store[Symbol.asyncDispose]()))
  }
})

t.test('keys that were registered under a name without its letter get one', async t => {
  const url = await newDatabase()
  {
    await using store = await onServer(url)
    const key = { subject_id: 'x', email: null, public_key: 'x', label: 'x', created_ms: 0, revoked_ms: null }
    await store.db
      .insertInto('approver_keys')
      .values({ id: '-p7xQ2a', ...key })
      .execute()
    await sql`delete from kysely_migration where name = '008-key-names'`.execute(store.db)
  }
  await using store = await onServer(url)
  t.same(await store.db.selectFrom('approver_keys').select('id').execute(), [{ id: 'k_-p7xQ2a' }])
})

t.test('a server that goes away fails what is asked meanwhile, and is used again when it comes back', async t => {
  const url = new URL(await newDatabase())
  await using wire = await startWire(postgres.port)
  url.port = String(wire.port)
  const log = collectLog()
  await using store = await onServer(url.href, 3, log)
  const heard: string[] = []
  await store.listen('requests', payload => heard.push(payload))
  await store.db.insertInto('agents').values(agent('before')).execute()
  const inTransaction = storeErrors(() =>
    store.db.transaction().execute(async tx => {
      await tx.insertInto('agents').values(agent('during')).execute()
      await wire.down()
      await tx.insertInto('agents').values(agent('during too')).execute()
    }),
  )
  await t.rejects(inTransaction, { code: 'ERR_GATE_STORE' })
  await t.rejects(store.check(), { code: 'ERR_GATE_STORE', message: 'the store does not answer' })
  await t.rejects(
    storeErrors(() => store.notify('requests', 'lost')),
    { code: 'ERR_GATE_STORE' },
  )
  // Longer than the listener waits before it dials again: it has to try more than once.
  await until('a second attempt', () => log.entries.filter(({ event }) => event === 'store.listener-lost').length >= 2)
  await wire.up()
  await until('the word that something may have been missed', () => heard.includes(''))
  await store.check()
  t.same(await names(store), ['before'], 'nothing of the transaction is there')
  await store.notify('requests', 'r_2')
  await until('a new notification', () => heard.includes('r_2'))
  t.same(heard, ['', 'r_2'])
  t.notMatch(JSON.stringify(log.entries.map(({ fields }) => fields)), postgres.password)
})

t.test('sessions that the server ends are replaced', async t => {
  await using store = await onServer(await newDatabase(), 3)
  const heard: string[] = []
  await store.listen('requests', payload => heard.push(payload))
  await postgres.query(
    `select pg_terminate_backend(pid) from pg_stat_activity where datname = 'store_${databases}' and pid <> pg_backend_pid()`,
  )
  await until('the listener', () => heard.length > 0)
  await store.check()
  await store.notify('requests', 'r_1')
  await until('a notification', () => heard.includes('r_1'))
  t.same(heard, ['', 'r_1'])
})

t.test('a store that cannot be opened is an error without the password', async t => {
  await using directory = await temporaryDirectory('store')
  const file = join(directory.path, 'file')
  await writeFile(file, 'no directory')
  await t.rejects(openStore({ kind: 'embedded', directory: file }, systemClock, silentLog), {
    code: 'ERR_GATE_STORE',
    message: 'the store cannot be opened',
  })
  const wrong = new URL(postgres.url('postgres'))
  wrong.password = 'not-the-password'
  const missing = postgres.url('no_such_database')
  const nobody = 'postgresql://postgres:not-the-password@127.0.0.1:1/postgres'
  for (const url of [wrong.href, missing, nobody, 'not a url']) {
    const error = await onServer(url).then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    t.match(error, { code: 'ERR_GATE_STORE' }, url)
    t.notMatch(JSON.stringify(error), 'password')
  }
})

t.test('a second relay in the same state directory is refused', async t => {
  await using directory = await temporaryDirectory('state')
  const clock = createHandClock()
  const told: string[] = []
  const lock = (waitMs: number): Promise<AsyncDisposable> =>
    lockState(directory.path, waitMs, clock, why => told.push(why))
  const first = await lock(5_000)
  const second = lock(5_000)
  await clock.sleeping()
  clock.advance(1_000)
  await clock.sleeping()
  t.match(told, [/relay.lock is held by process/])
  clock.advance(4_000)
  await t.rejects(second, { code: 'ERR_GATE_CONFLICT', message: /another relay runs in/, hint: /state directory/ })
  const third = lock(500)
  await clock.sleeping()
  clock.advance(500)
  await t.rejects(third, { code: 'ERR_GATE_CONFLICT' })
  t.equal(told.length, 1, 'a short wait says nothing')
  const fourth = lock(5_000)
  await clock.sleeping()
  await first[Symbol.asyncDispose]()
  clock.advance(50)
  await (await fourth)[Symbol.asyncDispose]()
})

/** A real wire to the server that can be cut and mended. */
async function startWire(port: number) {
  const sockets = new Set<Socket>()
  const server = createServer(near => {
    const far = dial(port, '127.0.0.1')
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        near.destroy()
        far.destroy()
      })
    }
    near.pipe(far)
    far.pipe(near)
  })
  const listen = (at: number): Promise<void> => new Promise(resolve => server.listen(at, '127.0.0.1', () => resolve()))
  const down = async (): Promise<void> => {
    const closed = new Promise(resolve => server.close(resolve))
    for (const socket of sockets) socket.destroy()
    await closed
  }
  await listen(0)
  const address = server.address()
  const bound = typeof address === 'object' && address !== null ? address.port : 0
  return {
    port: bound,
    down,
    up: () => listen(bound),
    [Symbol.asyncDispose]: async () => {
      if (server.listening) await down()
    },
  }
}
