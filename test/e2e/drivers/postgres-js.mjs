// postgres.js, which pipelines and prepares by itself, doing what programs do with it.
import { pipeline } from 'node:stream/promises'
import { failure, perform, require } from './habits.mjs'

const postgres = require('postgres')

const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))

async function connected(work, config = {}) {
  const notices = []
  const connection = { search_path: 'habits', ...config.connection }
  const sql = postgres({ max: 1, fetch_types: false, onnotice: notice => notices.push(notice), ...config, connection })
  try {
    return await work(sql, notices)
  } finally {
    await sql.end({ timeout: 5 })
  }
}

const habit = (work, config) => say => connected((sql, notices) => work(sql, say, notices), config)

await perform({
  prepare: say =>
    connected(async sql => {
      await sql`drop schema if exists habits cascade`.simple()
      await sql`create schema habits`
      await sql`create type habits.mood as enum ('happy', 'sad')`
      await sql`create table habits.items (id int primary key, name text unique, amount int check (amount > 0))`
      say((await sql`insert into habits.items select g, 'n' || g, g from generate_series(1, 500) g`).count)
    }),
  types: habit(
    async (sql, say) => {
      const json = sql.json({ a: [1, null] })
      say(
        await sql`select ${1}::int4, ${-32768}::int2, ${'9223372036854775807'}::int8, ${'12345.6789000'}::numeric, ${1.5}::float8`,
      )
      say(
        await sql`select ${'text ☃'}, ${Buffer.from([0, 1, 254])}::bytea, ${new Date(1_700_000_000_123)}::timestamptz, ${json}`,
      )
      say(
        await sql`select ${null}::int, ${'sad'}::mood, ${sql.array([1, 2, 3])}::int[], ${sql.array(['a', 'b"\\'])}, ${true}`,
      )
      say((await sql`select * from items where id in ${sql([1, 2, 3])}`.describe()).columns.length)
      say(await sql`select 1 as a, 2 as a, 'x' as b`.values(), await sql`select ${'raw'}::text, 1::int8`.raw())
    },
    { fetch_types: true },
  ),
  prepared: habit(async (sql, say) => {
    for (let round = 1; round < 5; round += 1) say(await sql`select name from items where id = ${round}`)
    await sql`deallocate all`.simple()
    // It prepares anew by itself after an error that says that the statement is gone.
    say(await sql`select name from items where id = ${9}`)
    await sql`alter table items alter column name type varchar(50)`
    say(await failure(sql`select name from items where id = ${8}`), await sql`select name from items where id = ${8}`)
    await sql`alter table items alter column name type text`
  }),
  unprepared: habit(
    async (sql, say) => {
      for (let round = 1; round < 5; round += 1) say(await sql`select name from items where id = ${round}`)
    },
    { prepare: false },
  ),
  pipeline: habit(async (sql, say) => {
    const all = [1, 2, 0, 4, 5].map(divisor => sql`select 10 / ${divisor}::int as tenth`)
    for (const each of await Promise.allSettled(all)) say(each.value, each.reason?.code)
    const many = Array.from({ length: 300 }, (_, index) => sql`select ${index}::int as n`)
    say((await Promise.all(many)).map(([row]) => row.n).join(''))
    const texts = Array.from({ length: 100 }, (_, index) => sql.unsafe(`select ${index} as n`))
    say((await Promise.all(texts)).map(([row]) => row.n).join(''))
  }),
  portals: habit(async (sql, say) => {
    const counts = []
    await sql`select id from items order by id`.cursor(150, rows => {
      counts.push(rows.length)
    })
    say(counts)
    for await (const [row] of sql`select id from items order by id`.cursor(1)) if (row.id === 5) break
    let seen = 0
    await sql`select id from items`.cursor(10, () => {
      seen += 1
      return seen === 3 ? sql.CLOSE : undefined
    })
    say(seen, await failure(sql`select 10 / (5 - g) from generate_series(1, 10) g`.cursor(2, () => {})))
    seen = 0
    await sql`select id from items`.forEach(() => {
      seen += 1
    })
    say(seen)
  }),
  copy: habit(async (sql, say) => {
    await sql`create table copied (a int, b text)`
    const lines = Array.from({ length: 5000 }, (_, index) => `${index}\tline ${index}\n`)
    await pipeline(lines, await sql`copy copied from stdin`.writable())
    // It sends CopyFail once the COPY is over, which would hit a COPY that follows at once.
    await sleep(50)
    const binary = []
    for await (const chunk of await sql`copy (select 1, 'x') to stdout (format binary)`.readable()) binary.push(chunk)
    say(Buffer.concat(binary))
    say(await sql`select count(*) from copied`)
  }),
  transactions: habit(async (sql, say) => {
    say(
      await failure(
        sql.begin('isolation level serializable', async tx => {
          await tx`delete from items where id > 100`
          say(await failure(tx.savepoint(async sp => sp`select 1 / 0`)))
          say(await tx`select count(*) from items`)
          await tx.savepoint('named', async sp => sp`delete from items where id > 50`)
          throw new Error('changed my mind')
        }),
      ),
    )
    say(await sql`select count(*) from items`)
    say(await sql.begin(tx => [tx`select 1 as a`, tx`select 2 as b`]))
  }),
  notices: habit(async (sql, say, notices) => {
    await sql`do $$ begin raise notice 'one %', 1; raise warning 'two' using detail = 'd', hint = 'h'; end $$`
    await sql`drop table if exists no_such_table`
    say(notices)
  }),
  listen: habit(async (sql, say) => {
    const heard = []
    await sql.listen('news', payload => heard.push(payload))
    await sql.notify('news', 'one')
    await sql.notify('news', 'x'.repeat(7000))
    for (let waited = 0; heard.length < 2 && waited < 100; waited += 1) await sleep(50)
    say(heard)
  }),
  cancel: habit(async (sql, say) => {
    const query = sql`select pg_sleep(60)`
    query.execute()
    await sleep(1500)
    query.cancel()
    say(await failure(query), await sql`select 1 as still`)
  }),
  timeouts: habit(async (sql, say) => say(await failure(sql`select pg_sleep(30)`)), {
    connection: { statement_timeout: 100 },
  }),
  'several statements': habit(async (sql, say) => {
    say(await sql`select 1 as a; values (2), (3); ; select 'x' as b where false; set work_mem = '5MB'`.simple())
    say(await failure(sql`create table multi (a int); insert into multi values (1); select 1 / 0; select 2`.simple()))
    say(await sql`select count(*) from pg_class where relname = 'multi'`)
  }),
  'large values': habit(async (sql, say) => {
    const large = Buffer.alloc(50_000_000, 'gate')
    say(await sql`select length(${large}::bytea), md5(${large}::bytea)`)
    say((await sql`select repeat('x', 50000000) as large`)[0].large.length)
  }),
  'many queries': habit(async (sql, say) => {
    let sum = 0
    for (let index = 0; index < 500; index += 1) sum += (await sql`select ${index}::int as n`)[0].n
    say(sum)
  }),
  options: async say => {
    const work = sql =>
      sql`select current_setting('application_name') as a, current_setting('search_path') as s, current_setting('TimeZone') as z`
    const connection = { application_name: 'habits', TimeZone: 'Asia/Tokyo' }
    say(await connected(work, { connection }), await connected(work, { ssl: 'prefer' }))
  },
  errors: habit(async (sql, say) => {
    say(await failure(sql`insert into items values (1, 'x', 1)`))
    say(await failure(sql`insert into items values (1000, 'n2', 1)`))
    say(await failure(sql`insert into items values (1001, 'y', -1)`))
    say(await failure(sql`select 'ü', nowhere from items`))
    say(await failure(sql`select ${'x'}::int`))
    say(await failure(sql`select ${'sick'}::mood`))
  }),
  empty: habit(async (sql, say) => {
    say(await sql``, await sql``.simple(), await sql.unsafe(';'), await sql`-- nothing`)
  }),
  'changing settings': habit(async (sql, say) => {
    await sql`set TimeZone = 'Asia/Tokyo'`
    await sql`set application_name = 'ü'`.simple()
    say(sql.parameters)
  }),
  discard: habit(async (sql, say) => {
    await sql`create temp table passing (a int)`
    await sql`discard all`.simple()
    say(await failure(sql`select * from habits.passing`), await failure(sql`select 1 as one`))
  }),
  locks: habit(async (sql, say) => {
    say(await sql`select pg_try_advisory_lock(42) as mine`)
    await connected(async other => say(await other`select pg_try_advisory_lock(42) as mine`))
    say(await sql`select pg_advisory_unlock(42)`)
  }),
  'two phases': habit(async (sql, say) => {
    await sql.begin(async tx => {
      await tx`update items set amount = 7 where id = 1`
      await tx.prepare('habits')
    })
    say(await sql`select gid from pg_prepared_xacts where gid = 'habits'`)
    await sql`commit prepared 'habits'`
    say(await sql`select amount from items where id = 1`)
  }),
})
