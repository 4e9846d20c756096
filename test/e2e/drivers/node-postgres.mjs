// node-postgres with its cursors, streams and COPY, doing what programs do with it.
import { createHash } from 'node:crypto'
import { pipeline } from 'node:stream/promises'
import { failure, perform, require } from './habits.mjs'

const pg = require('pg')
const Cursor = require('pg-cursor')
const QueryStream = require('pg-query-stream')
const copy = require('pg-copy-streams')

const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))
const asSent = { getTypeParser: () => value => value }

async function connected(work, config = {}) {
  const client = new pg.Client(config)
  client.on('error', () => {})
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

const habit =
  (work, config = {}) =>
  say =>
    connected(async client => {
      await client.query('set search_path = habits')
      await work(client, say)
    }, config)

const values = [
  [1, -32768, '9223372036854775807', '12345.6789000', 'NaN', 1.5],
  ['text ☃', Buffer.from([0, 1, 254, 255]), new Date(1_700_000_000_123), { a: [1, null] }, ['a', null, 'b"\\'], true],
  [null, 'sad', [1, null, 3], '[1,5)', '1 day 02:03:04', '00000000-0000-4000-8000-000000000001'],
]
const types = [
  ['int4', 'int2', 'int8', 'numeric', 'numeric', 'float8'],
  ['text', 'bytea', 'timestamptz', 'jsonb', 'text[]', 'bool'],
  ['int4', 'mood', 'int4[]', 'int4range', 'interval', 'uuid'],
]

await perform({
  prepare: say =>
    connected(async client => {
      await client.query('drop schema if exists habits cascade; create schema habits; set search_path = habits')
      await client.query("create type mood as enum ('happy', 'sad')")
      await client.query('create table items (id int primary key, name text unique, amount int check (amount > 0))')
      say((await client.query("insert into items select g, 'n' || g, g from generate_series(1, 500) g")).rowCount)
    }),
  types: habit(async (client, say) => {
    for (const [index, row] of values.entries()) {
      const text = `select ${types[index].map((type, at) => `$${at + 1}::${type}`).join(', ')}`
      for (const binary of [false, true]) {
        const raw = await client.query({ text, values: row, rowMode: 'array', binary, types: asSent })
        say(
          raw.rows,
          raw.fields.map(({ dataTypeID, format, name }) => [dataTypeID > 16000 ? 'own' : dataTypeID, format, name]),
        )
      }
      say((await client.query({ text, values: row, rowMode: 'array' })).rows)
    }
  }),
  prepared: habit(async (client, say) => {
    for (let round = 0; round < 4; round += 1) {
      say((await client.query({ name: 'one', text: 'select name from items where id = $1', values: [round + 1] })).rows)
      say((await client.query('select $1::int + $2::int as sum', [round, 1])).rows)
    }
    await client.query('deallocate all')
    say(await failure(client.query({ name: 'one', text: 'select name from items where id = $1', values: [1] })))
    say((await client.query({ name: 'two', text: 'select name from items where id = $1', values: [1] })).rows)
    say((await client.query('prepare three as select 3 as three; execute three')).map(({ rows }) => rows))
    say((await client.query('execute two(7)')).rows)
  }),
  pipeline: habit(
    async (client, say) => {
      const all = [1, 2, 0, 4, 5].map(divisor => client.query('select 10 / $1::int as tenth', [divisor]))
      for (const each of await Promise.allSettled(all)) say(each.value?.rows, each.reason?.code)
      const many = Array.from({ length: 300 }, (_, index) =>
        client.query(`select ${index % 9} as n, $1::text as t`, ['x']),
      )
      say((await Promise.all(many)).map(({ rows }) => rows[0].n).join(''))
    },
    { pipeline: true },
  ),
  portals: habit(async (client, say) => {
    await client.query('begin')
    const cursor = client.query(new Cursor('select id, name from items where id > $1 order by id', [10]))
    for (const count of [1, 3, 200]) say((await cursor.read(count)).length)
    say((await cursor.read(1))[0])
    await cursor.close()
    say((await client.query({ text: 'select id from items order by id', rows: 7 })).rowCount)
    await client.query('commit')
    const ids = []
    for await (const row of client.query(new QueryStream('select id from items', [], { batchSize: 33 })))
      ids.push(row.id)
    say(ids.length, ids.at(-1))
    const halfway = client.query(new QueryStream('select g from generate_series(1, 100000) g', [], { batchSize: 10 }))
    for await (const row of halfway) if (row.g === 25) break
    say((await client.query('select 1 as next')).rows)
    const wrong = client.query(new Cursor('select 10 / (5 - g) from generate_series(1, 10) g'))
    say((await wrong.read(2)).length, await failure(wrong.read(10)))
    say((await client.query('select 2 as next')).rows)
  }),
  cursors: habit(async (client, say) => {
    await client.query('begin')
    await client.query('declare c scroll cursor for select id from items order by id')
    for (const text of ['fetch 2 from c', 'move 3 in c', 'fetch backward 1 from c', 'fetch last from c', 'close c']) {
      const { command, rowCount, rows } = await client.query(text)
      say(command, rowCount, rows)
    }
    await client.query('declare h cursor with hold for select id from items order by id')
    await client.query('commit')
    say((await client.query('fetch 3 from h')).rows)
    await client.query('close h')
  }),
  copy: habit(async (client, say) => {
    await client.query('create table copied (a int, b text)')
    const lines = Array.from({ length: 5000 }, (_, index) => `${index}\tline ${index}\n`)
    await pipeline(lines, client.query(copy.from('copy copied from stdin')))
    await pipeline(['1,"a, b"\n', '2,\n'], client.query(copy.from('copy copied from stdin csv')))
    const binary = []
    for await (const chunk of client.query(copy.to('copy copied to stdout (format binary)'))) binary.push(chunk)
    say(createHash('sha256').update(Buffer.concat(binary)).digest('hex'))
    await pipeline([Buffer.concat(binary)], client.query(copy.from('copy copied from stdin (format binary)')))
    let text = ''
    for await (const chunk of client.query(
      copy.to('copy (select * from copied order by 1 limit 3) to stdout csv header'),
    ))
      text += chunk
    say(text, (await client.query('select count(*) from copied')).rows)
    say(await failure(pipeline(['1\tx\n', 'bad\ty\n', ...lines], client.query(copy.from('copy copied from stdin')))))
    say(await failure(pipeline(['1\tx\n'], client.query(copy.from('copy nowhere from stdin')))))
    const given = client.query(copy.from('copy copied from stdin'))
    given.write('1\tnever\n')
    const ended = new Promise(resolve => given.once('error', resolve).once('close', resolve))
    given.destroy(new Error('changed my mind'))
    say((await ended)?.message)
    say((await client.query("select count(*) from copied where b = 'never'")).rows)
  }),
  transactions: habit(async (client, say) => {
    for (const text of [
      'begin isolation level serializable',
      'delete from items where id > 100',
      'savepoint a',
      'select 1 / 0',
      'select 1',
      'rollback to a',
      'select count(*) from items',
      'release a',
      'commit and chain',
      'select current_setting($$transaction_isolation$$)',
      'rollback',
      'commit',
    ]) {
      try {
        const { command, rowCount, rows } = await client.query(text)
        say(command, rowCount, rows)
      } catch (thrown) {
        say(thrown.code, thrown.message)
      }
    }
  }),
  notices: habit(async (client, say) => {
    client.on('notice', ({ severity, code, message, detail, hint }) => say(severity, code, message, detail, hint))
    await client.query(
      "do $$ begin raise notice 'one %', 1; raise warning 'two' using detail = 'd', hint = 'h'; end $$",
    )
    await client.query('set client_min_messages = debug1')
    await client.query('drop table if exists no_such_table')
    await client.query('rollback')
  }),
  listen: habit(async (client, say) => {
    const heard = []
    client.on('notification', ({ channel, payload }) => heard.push([channel, payload]))
    await client.query('listen news; listen "Other"')
    await client.query("notify news, 'own'")
    await connected(async other => {
      await other.query("select pg_notify('Other', repeat('x', 7000)), pg_notify('news', 'from afar')")
    })
    for (let waited = 0; heard.length < 3 && waited < 100; waited += 1) await sleep(50)
    await client.query('unlisten *')
    await client.query("notify news, 'unheard'")
    say(heard.sort())
  }),
  'large objects': habit(async (client, say) => {
    const [{ oid }] = (await client.query("select lo_from_bytea(0, 'abc') as oid")).rows
    await client.query('begin')
    const [{ fd }] = (await client.query('select lo_open($1, 393216) as fd', [oid])).rows
    await client.query('select lo_lseek($1, 0, 2), lowrite($1, $2)', [fd, Buffer.alloc(100_000, 7)])
    await client.query('select lo_lseek64($1, 2, 0)', [fd])
    say((await client.query('select md5(loread($1, 1000000))', [fd])).rows)
    await client.query('commit')
    await client.query('select lo_unlink($1)', [oid])
  }),
  cancel: habit(async (client, say) => {
    for (let round = 0; round < 3; round += 1) {
      const query = new pg.Query("select 'never', pg_sleep(60)")
      const ended = new Promise(resolve => query.once('error', resolve).once('end', resolve))
      client.query(query)
      await sleep(1500)
      new pg.Client().cancel(client, query)
      const { code, message } = await ended
      say(code, message)
      say((await client.query('select 1 as still')).rows)
    }
  }),
  timeouts: habit(
    async (client, say) => {
      say(await failure(client.query('select pg_sleep(30)')))
      // On a busy machine the end can come together with the last answer.
      const ended = new Promise(resolve => client.once('error', resolve))
      say(
        (await client.query("set statement_timeout = 0; set idle_in_transaction_session_timeout = '100ms'; begin"))
          .length,
      )
      const { code, message } = await ended
      say(code, message)
    },
    { statement_timeout: 100 },
  ),
  'several statements': habit(async (client, say) => {
    const results = await client.query(
      "select 1 as a; values (2), (3); ; select 'x' as b where false; set work_mem = '5MB'",
    )
    say(results.map(({ command, rowCount, rows }) => [command, rowCount, rows]))
    say(await failure(client.query('create table multi (a int); insert into multi values (1); select 1 / 0; select 2')))
    say((await client.query("select count(*) from pg_class where relname = 'multi'")).rows)
    const { code, message } = await failure(client.query('select 1; select $1', [1]))
    say(code, message)
  }),
  'large values': habit(async (client, say) => {
    const large = Buffer.alloc(50_000_000, 'gate')
    say((await client.query('select length($1::bytea), md5($1::bytea)', [large])).rows)
    say((await client.query("select repeat('x', 50000000) as large")).rows[0].large.length)
    const { message } = await failure(client.query("select repeat('x', 20000000)::int"))
    say(message.length)
  }),
  'many queries': habit(async (client, say) => {
    let sum = 0
    for (let index = 0; index < 500; index += 1) sum += (await client.query(`select ${index} as n`)).rows[0].n
    for (let index = 0; index < 500; index += 1) sum += (await client.query('select $1::int as n', [index])).rows[0].n
    say(sum)
  }),
  options: async say => {
    const settings = [
      'application_name',
      'search_path',
      'TimeZone',
      'work_mem',
      'client_encoding',
      'DateStyle',
      'lock_timeout',
    ]
    const shown = settings.map(name => `current_setting('${name}') as "${name}"`).join(', ')
    const config = {
      application_name: 'habits',
      options: '-c search_path=habits,public -c work_mem=7MB --TimeZone=Asia/Tokyo',
    }
    await connected(async client => say((await client.query(`select ${shown}`)).rows), {
      ...config,
      lock_timeout: 1234,
    })
    await connected(async client => say((await client.query(`select ${shown}`)).rows), {
      fallback_application_name: 'other',
    })
    say((await failure(connected(async () => 'in', { options: '-c no_such_setting=1' }))).code)
    say((await failure(connected(async () => 'in', { ssl: true }))).message)
  },
  errors: habit(async (client, say) => {
    for (const [text, parameters] of [
      ["insert into items values (1, 'x', 1)"],
      ["insert into items values (1000, 'n2', 1)"],
      ["insert into items values (1001, 'y', -1)"],
      ["select 'ü', nowhere from items"],
      ['select * from nowhere'],
      ['select $1::int', ['x']],
      ['select $1::int + $2', [1]],
      ["select 'sick'::mood"],
      [
        "do $$ begin raise exception using errcode = 'ZZ123', message = 'own', detail = 'd', schema = 's', table = 't'; end $$",
      ],
      ["do $$ begin execute 'select 1 / 0'; end $$"],
    ]) {
      say(await failure(client.query(text, parameters)))
    }
    const { code, message, position } = await failure(client.query("select 'ü' fro items x y"))
    say(code, message, position)
  }),
  empty: habit(async (client, say) => {
    for (const text of ['', ' ', ';', '-- nothing']) say((await client.query(text)).command)
    say(
      (await client.query({ text: '', values: [] })).rows,
      (await client.query({ name: 'e', text: '-- e', values: [] })).rows,
    )
  }),
  'changing settings': habit(async (client, say) => {
    const { connection } = client
    connection.on('parameterStatus', ({ parameterName, parameterValue }) => say(parameterName, parameterValue))
    await client.query("set TimeZone = 'Asia/Tokyo'; set DateStyle = 'German'; select 1; set application_name = 'ü'")
    await client.query('begin')
    await client.query("set local IntervalStyle = 'iso_8601'")
    say((await client.query("select set_config('client_encoding', $1, $2)", ['utf-8', false])).rows)
    await client.query('rollback')
    await client.query('reset all')
  }),
  discard: habit(async (client, say) => {
    await client.query(
      'create temp table passing (a int); listen news; prepare p as select 1; select pg_advisory_lock(1)',
    )
    await client.query({ name: 'mine', text: 'select 1' })
    await client.query('discard all')
    say((await client.query('select count(*) from pg_prepared_statements')).rows)
    say(
      (await client.query('select count(*) from pg_locks where locktype = $1 and pid = pg_backend_pid()', ['advisory']))
        .rows,
    )
    say(await failure(client.query('select * from passing')))
    say(await failure(client.query('execute p')))
  }),
  locks: habit(async (client, say) => {
    await client.query('select pg_advisory_lock(42)')
    await connected(async other => {
      say((await other.query('select pg_try_advisory_lock(42) as mine')).rows)
      await other.query("set lock_timeout = '100ms'")
      say(await failure(other.query('select pg_advisory_lock(42)')))
      await client.query('select pg_advisory_unlock(42)')
      say((await other.query('select pg_try_advisory_lock(42) as mine')).rows)
    })
  }),
  'two phases': habit(async (client, say) => {
    await client.query("begin; update items set amount = 7 where id = 1; prepare transaction 'habits'")
    say((await client.query("select gid from pg_prepared_xacts where gid = 'habits'")).rows)
    say((await client.query("commit prepared 'habits'")).command)
    say((await client.query('select amount from items where id = 1')).rows)
  }),
})
