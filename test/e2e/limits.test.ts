// Row limits before commit, with a real server, psql and the pg driver: what stays, what is rolled back, who is asked.
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import t from 'tap'
import type { Cli, Connection } from '../support/gate.ts'
import { freePort } from '../support/net.ts'
import { client, errorFields, messages } from '../support/wire.ts'
import { hasPsql, psql, startPsql, startWorld, type World } from '../support/world.ts'

const policy = `
targets:
  - match: { labels: { env: prod } }
    allow: { groups: [engineers, dba, support] }
    viewers: [dba]
    rules:
      - { name: reads, when: '!op.writes || op.action == "explain"', allow: [engineers, support] }
      - { name: schema, when: 'op.action in ["create", "drop", "vacuum", "copy"] && op.copyDirection != "from"', allow: [engineers] }
      - name: writes
        when: >-
          (op.action in ["insert", "update", "delete", "merge"] || op.copyDirection == "from")
          && !("public.quick" in op.written) && !("public.parents" in op.written)
        allow: [engineers]
        limit: { rows: 10, then: hold, hold: { approvers: "1 of dba" } }
      - name: quick
        when: '"public.quick" in op.written'
        allow: [engineers]
        limit: { rows: 10, then: hold, hold: { approvers: "1 of dba", expires: 2s } }
      - name: twice
        when: '"public.parents" in op.written'
        hold: { approvers: "1 of dba", expires: 5m }
        limit: { rows: 10, then: hold }
      - name: hard
        when: op.action in ["insert", "update", "delete", "merge", "truncate", "call", "do"]
        allow: [support]
        limit: { rows: 10, then: deny }
      - name: code
        when: op.action in ["truncate", "call", "do"]
        allow: [engineers]
        limit: { rows: 10, then: deny }
`

const sql = `
create table items (id int primary key, v text not null default '');
create table quick (id int primary key, v text not null default '');
create table parents (id int primary key);
create function wipe() returns int language sql volatile as 'delete from items; select 1';
create function wipe_of(items) returns int language sql volatile as 'delete from items; select 1';
create function wipe_step(int, int) returns int language sql volatile as 'delete from items; select 1';
create aggregate wipe_all(int) (sfunc = wipe_step, stype = int, initcond = '0');
create type mood as enum ('happy');
create function wipe_mood(mood) returns int language sql volatile as 'delete from items; select 1';
create cast (mood as int) with function wipe_mood(mood);
create table children (id int primary key, parent int references parents deferrable initially deferred);
insert into items select i, 'secret ' || i from generate_series(1, 1000) i;
insert into parents select i from generate_series(1, 20) i;
insert into quick select i, '' from generate_series(1, 100) i;
`

interface Row {
  readonly id: string
  readonly rows: number
  readonly text: string
  readonly expiresMs: number
  readonly createdMs: number
}

async function waitingRequest(cli: Cli): Promise<Row> {
  for (;;) {
    const [request] = JSON.parse((await cli.runInProcess('requests', '--json')).stdout) as Row[]
    if (request !== undefined) return request
    await sleep(100)
  }
}

const driver = async (gate: { readonly port: number }): Promise<pg.Client & AsyncDisposable> => {
  const opened = new pg.Client({ host: '127.0.0.1', port: gate.port, user: 'alice', database: 'app' })
  await opened.connect()
  return Object.assign(opened, { [Symbol.asyncDispose]: () => opened.end() })
}

/** Sends bytes after the start-up and returns the answer up to its `readies`th ReadyForQuery. */
function converse(port: number, bytes: Buffer, readies: number): Promise<ReturnType<typeof messages>> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    let received = Buffer.alloc(0)
    let started = 0
    socket.on('error', reject)
    socket.on('close', () => reject(new Error(`closed after ${received.toString('latin1')}`)))
    socket.on('connect', () => socket.write(client.startup({ user: 'alice', database: 'app' })))
    socket.on('data', chunk => {
      received = Buffer.concat([received, chunk])
      let all: ReturnType<typeof messages>
      try {
        all = messages(received)
      } catch {
        return
      }
      if (started === 0 && all.at(-1)?.type === 'Z') {
        started = all.length
        socket.write(bytes)
      } else if (started > 0 && all.slice(started).filter(({ type }) => type === 'Z').length >= readies) {
        resolve(all.slice(started))
        socket.destroy()
      }
    })
  })
}

const shown = (all: ReturnType<typeof messages>): string => all.map(({ type }) => type).join('')

class Scene implements AsyncDisposable {
  readonly world: World
  readonly bob: Cli
  /** An engineer: more than ten rows are held. */
  readonly held: Connection
  /** Support: more than ten rows are denied. */
  readonly denied: Connection

  constructor(world: World, bob: Cli, held: Connection, denied: Connection) {
    this.world = world
    this.bob = bob
    this.held = held
    this.denied = denied
  }

  static async start(): Promise<Scene> {
    const world = await startWorld({ policy, sql })
    const [alice, bob, carol] = [await world.person('alice'), await world.person('bob'), await world.person('carol')]
    return new Scene(world, bob, await alice.connect('prod-db'), await carol.connect('prod-db'))
  }

  async count(where: string): Promise<number> {
    return Number((await this.world.postgres.query(`select count(*) from ${where}`, 'app'))[0]?.[0])
  }

  /** Resolves when nobody has the rows locked. */
  async unlocked(table: string): Promise<void> {
    const free = await this.world.postgres.query(
      `set lock_timeout = '10s'; begin; lock table ${table} in exclusive mode; rollback; select 'free'`,
      'app',
    )
    if (free.at(-1)?.[0] !== 'free') throw new Error(`still locked: ${JSON.stringify(free)}`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.held[Symbol.asyncDispose]()
    await this.denied[Symbol.asyncDispose]()
    await this.world[Symbol.asyncDispose]()
  }
}

t.test('row limits before commit', { skip: hasPsql ? false : 'no psql on this machine' }, async t => {
  await using scene = await Scene.start()
  const { world, bob, held, denied } = scene

  await t.test('up to the limit nothing is to be noticed: simple, extended, in and outside a transaction', async t => {
    t.equal(
      (await psql(held, ['-c', "update items set v = 'a' where id <= 10 returning id > 0 as ok"])).stdout.split(
        '\n',
      )[0],
      ' ok ',
    )
    const inside = await psql(held, ['-At'], "begin;\nupdate items set v = 'b' where id <= 10;\ncommit;\nselect 1;\n")
    t.equal(inside.stdout, 'BEGIN\nUPDATE 10\nCOMMIT\n1\n')
    t.equal(inside.stderr, '')
    await using db = await driver(held)
    t.equal((await db.query('update items set v = $1 where id <= 10', ['c'])).rowCount, 10)
    await db.query('begin')
    t.same((await db.query('delete from items where id = $1 returning id', [1000])).rows, [{ id: 1000 }])
    await db.query('rollback')
    t.equal(await scene.count("items where v = 'c'"), 10)
    t.equal(await scene.count('items'), 1000)
  })

  await t.test('over a limit that denies: rolled back, and the connection goes on', async t => {
    const simple = await psql(
      denied,
      ['-At', '-v', 'VERBOSITY=verbose'],
      "update items set v = 'x' returning v;\nselect 1;\n",
    )
    t.match(simple.stderr, /ERROR: {2}42501: gate: it changes 1000 rows, and hard allows 10/)
    t.match(simple.stderr, /Rule hard refused it; its changes are rolled back\./)
    t.equal(simple.stdout, '1\n', 'nothing of RETURNING is shown')
    const inside = await psql(denied, ['-At'], "begin;\nupdate items set v = 'x';\nselect 1;\nrollback;\nselect 2;\n")
    t.match(inside.stderr, /it changes 1000 rows/)
    t.match(inside.stderr, /current transaction is aborted/)
    t.equal(inside.stdout, 'BEGIN\nROLLBACK\n2\n')
    const savepoint = await psql(
      denied,
      ['-At'],
      "begin;\nupdate items set v = 'kept' where id = 5;\nsavepoint s;\ndelete from items;\nrollback to s;\ncommit;\n",
    )
    t.equal(savepoint.stdout, 'BEGIN\nUPDATE 1\nSAVEPOINT\nROLLBACK\nCOMMIT\n')
    t.equal(await scene.count("items where v = 'kept'"), 1, 'a savepoint saves what was before')
    await using db = await driver(denied)
    await t.rejects(db.query('delete from items where id > $1 returning v', [0]), { code: '42501' })
    t.same((await db.query('select 1 as x')).rows, [{ x: 1 }])
    await db.query('begin')
    await t.rejects(db.query('delete from items where id > $1', [0]), { code: '42501' })
    await t.rejects(db.query('select $1', ['x']), { code: '25P02' })
    await db.query('rollback')
    t.equal(await scene.count('items'), 1000)
    t.equal(await scene.count("items where v = 'x'"), 0)
  })

  await t.test('held: a colleague sees the real number and approves', async t => {
    await using running = startPsql(held, [
      '-At',
      '-c',
      "update items set v = 'ok' where id <= 500 returning id; select 'after'",
    ])
    const [, id = ''] = await running.waitFor(/waiting for approval by 1 of dba, request (r_[a-z0-9]+)/)
    t.match(running.stderr(), /500 are written\. They are locked, and not committed/)
    const request = await waitingRequest(bob)
    t.match(request, { id, rows: 500, rule: 'writes', action: 'update' })
    t.match(request.text, /^update items .*; select 'after'$/, 'with everything that was sent along')
    t.equal(request.expiresMs - request.createdMs, 60_000, 'rows are locked: people have a minute')
    t.notMatch(running.stdout(), /1/, 'nothing of RETURNING is shown yet')
    t.equal(await scene.count("items where v = 'ok'"), 0, 'nothing is committed yet')
    const approved = await bob.runInProcess('approve', id)
    t.match(approved.stderr + approved.stdout, /500 written and not committed: they stay locked until you decide/)
    const done = await running.finished()
    t.equal(done.stdout.split('\n').length, 503, '500 rows, UPDATE 500, after')
    t.match(done.stdout, /UPDATE 500\nafter\n$/)
    t.equal(await scene.count("items where v = 'ok'"), 500)
  })

  await t.test('held in the extended protocol and in a transaction', async t => {
    await using db = await driver(held)
    const over = db.query('update items set v = $1 where id <= 20', ['ext'])
    await bob.runInProcess('approve', (await waitingRequest(bob)).id)
    t.equal((await over).rowCount, 20)
    t.equal(await scene.count("items where v = 'ext'"), 20)
    await db.query('begin')
    const inside = db.query('update items set v = $1 where id <= 30', ['ext'])
    await bob.runInProcess('approve', (await waitingRequest(bob)).id)
    t.equal((await inside).rowCount, 30)
    t.equal(await scene.count("items where v = 'ext'"), 20, 'committing is the client’s affair')
    await db.query('commit')
    t.equal(await scene.count("items where v = 'ext'"), 30)
  })

  await t.test('denied, and expired', async t => {
    await using running = startPsql(held, ['-c', 'delete from items'])
    const { id } = await waitingRequest(bob)
    await bob.runInProcess('deny', id, '--reason', 'not all of them')
    t.match((await running.finished()).stderr, /bob@example\.com denied it: not all of them[\s\S]*rolled back/)
    t.equal(await scene.count('items'), 1000)
    await scene.unlocked('items')
    const late = await psql(held, ['-c', "update quick set v = 'x'"])
    t.match(late.stderr, /nobody decided in time/)
    t.equal(await scene.count("quick where v = 'x'"), 0)
    await scene.unlocked('quick')
  })

  await t.test('the statements of one message are counted together', async t => {
    const under = await psql(denied, [
      '-At',
      '-c',
      "update items set v = 'm' where id <= 5; update quick set v = 'm' where id <= 5",
    ])
    t.equal(under.stdout, 'UPDATE 5\nUPDATE 5\n')
    const over = await psql(denied, [
      '-At',
      '-c',
      "select 1; update items set v = 'n' where id <= 6; select 2; update quick set v = 'n' where id <= 6; select 3",
    ])
    t.match(over.stderr, /it changes 12 rows/)
    t.equal(over.stdout, '1\n', 'what was before them was shown already')
    t.equal(await scene.count("items where v = 'n'"), 0)
    t.equal(await scene.count("items where v = 'm'"), 5)
  })

  await t.test('pipelines: what is before and after in the same segment stands and falls with it', async t => {
    const statement = (text: string): Buffer =>
      Buffer.concat([client.parse('', text), client.bind('', ''), client.execute('')])
    const pipeline = (text: string): Buffer =>
      Buffer.concat([
        statement("update items set v = 'pipe' where id = 1"),
        statement(text),
        statement("update items set v = 'pipe' where id = 2"),
        client.sync,
        client.query('select 1'),
      ])
    t.equal(
      shown(await converse(denied.port, pipeline("update items set v = 'pipe' where id = 3"), 2)),
      '12C12C12CZTDCZ',
    )
    t.equal(await scene.count("items where v = 'pipe'"), 3)
    const refused = await converse(denied.port, pipeline("update items set v = 'over' returning v"), 2)
    t.equal(shown(refused), '12C12EZTDCZ')
    t.match(errorFields(refused[5] ?? { type: '', body: Buffer.alloc(0) }), { C: '42501' })
    t.equal(await scene.count("items where v = 'over'"), 0)
    const fetching = await converse(
      denied.port,
      Buffer.concat([
        client.parse('', "update items set v = 'over' where id <= 3 returning v"),
        client.bind('', ''),
        client.execute('', 1),
        client.sync,
      ]),
      1,
    )
    t.equal(shown(fetching), '12EZ')
    t.match(errorFields(fetching[2] ?? { type: '', body: Buffer.alloc(0) }), { M: /without a fetch size/ })
    t.equal(await scene.count("items where v = 'over'"), 0)
  })

  await t.test('prepared in SQL, cursors, MERGE, ON CONFLICT and COPY are counted', async t => {
    const prepared = await psql(
      denied,
      ['-At'],
      "prepare p as update items set v = 'p' where id <= $1;\nexecute p(3);\nexecute p(30);\n",
    )
    t.equal(prepared.stdout, 'PREPARE\nUPDATE 3\n')
    t.match(prepared.stderr, /it changes 30 rows/)
    const cursor = await psql(
      denied,
      ['-At'],
      "begin;\ndeclare c cursor for select * from items for update;\nmove 1 in c;\nupdate items set v = 'cur' where current of c;\ncommit;\n",
    )
    t.match(cursor.stdout, /UPDATE 1\nCOMMIT/)
    const upsert = await psql(denied, [
      '-c',
      'insert into items select i from generate_series(990, 1005) i on conflict do nothing',
    ])
    t.equal(upsert.stdout, 'INSERT 0 5\n', 'what is written counts, not what is tried')
    const update = (count: number): ReturnType<typeof psql> =>
      psql(denied, [
        '-c',
        `insert into items select i from generate_series(1, ${count}) i on conflict (id) do update set v = 'upsert'`,
      ])
    t.equal((await update(5)).stdout, 'INSERT 0 5\n')
    t.match((await update(50)).stderr, /it changes 50 rows/)
    t.equal(await scene.count("items where v = 'upsert'"), 5)
    const merge = await psql(denied, ['-c', 'merge into items i using quick q on i.id = q.id when matched then delete'])
    t.match(merge.stderr, /it changes 100 rows/)
    const lines = (from: number, count: number): string =>
      Array.from({ length: count }, (_, i) => `${from + i}\t\n`).join('')
    const copy = (input: string): ReturnType<typeof psql> => psql(held, ['-c', 'copy items from stdin'], input)
    t.equal((await copy(lines(2000, 5))).stdout, 'COPY 5\n')
    const over = copy(lines(3000, 50))
    const request = await waitingRequest(bob)
    t.equal(request.rows, 50)
    await bob.runInProcess('deny', request.id, '--reason', 'no')
    t.match((await over).stderr, /denied it/)
    t.match((await copy('nonsense\n')).stderr, /invalid input syntax/, 'a COPY that fails fails as ever')
    t.equal(await scene.count('items where id >= 2000'), 5)
  })

  await t.test('what cannot be counted is refused with an explanation', async t => {
    const refusals: Readonly<Record<string, RegExp>> = {
      'do $$ begin delete from items; end $$': /rows a statement of kind do changes/,
      'select wipe()': /of kind call inside select changes/,
      'select i.wipe_of from items i': /of kind call inside select changes/,
      'select wipe_all(1)': /of kind call inside select changes/,
      "select 'happy'::mood::int": /of kind call inside select changes/,
      "select table_to_xml('items', true, false, '')": /of kind call inside select changes/,
      'truncate items': /of kind truncate changes/,
      'with gone as (delete from items returning 1) select count(*) from gone': /of kind delete inside select changes/,
      'explain analyze delete from items': /of kind delete inside explain changes/,
      'begin; delete from items; commit': /transaction control has to be sent in messages of its own/,
    }
    for (const [text, why] of Object.entries(refusals)) {
      const done = await psql(denied, ['-c', text])
      t.match(done.stderr, why, text)
    }
    const vacuum = await psql(held, ['-c', 'delete from items where id = 1; vacuum items'])
    t.match(vacuum.stderr, /VACUUM cannot/)
    t.equal(await scene.count('items where id = 1'), 1)
    t.equal((await psql(held, ['-c', 'vacuum items'])).stdout, 'VACUUM\n', 'where no limit applies, it runs')
    t.equal((await psql(denied, ['-At', '-c', 'select count(*) > 0 from items'])).stdout, 't\n')
  })

  await t.test('a deferred constraint that fails at COMMIT is what the client sees', async t => {
    const done = await psql(held, ['-At'], 'insert into children values (1, 99);\nselect 1;\n')
    t.match(done.stderr, /violates foreign key constraint/)
    t.equal(done.stdout, '1\n')
    t.equal(await scene.count('children'), 0)
  })

  await t.test('Ctrl-C while held: rolled back and withdrawn', async t => {
    for (const before of ['', 'begin;\n']) {
      await using running = startPsql(held, [
        '-At',
        ...(before === '' ? [] : ['-c', 'begin']),
        '-c',
        'delete from items',
      ])
      const { id } = await waitingRequest(bob)
      running.kill('SIGINT')
      t.match((await running.finished()).stderr, /canceling statement due to user request/)
      t.match((await bob.runInProcess('approve', id)).stderr, /withdrawn/)
      await scene.unlocked('items')
    }
    t.ok((await scene.count('items')) > 1000)
  })

  await t.test('a client that disappears while held: rolled back and withdrawn', async t => {
    const running = startPsql(held, ['-c', 'delete from items'])
    const { id } = await waitingRequest(bob)
    running.kill('SIGKILL')
    await running.finished()
    await scene.unlocked('items')
    t.match((await bob.runInProcess('approve', id)).stderr, /withdrawn/)
    const db = await driver(held)
    db.on('error', () => {})
    const lost = db.query('delete from items where id > $1', [0]).catch(() => {})
    const second = await waitingRequest(bob)
    const { stream } = (db as unknown as { connection: { stream: { destroy(): void } } }).connection
    stream.destroy()
    await lost
    await scene.unlocked('items')
    t.match((await bob.runInProcess('approve', second.id)).stderr, /withdrawn/)
    t.ok((await scene.count('items')) > 1000)
  })

  await t.test('a server that ends the session while held: the request is withdrawn', async t => {
    await using running = startPsql(held, ['-c', 'delete from items'])
    const { id } = await waitingRequest(bob)
    await world.postgres.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where state = 'idle in transaction'",
      'app',
    )
    t.match((await running.finished()).stderr, /terminating connection/)
    t.match((await bob.runInProcess('approve', id)).stderr, /withdrawn/)
  })

  await t.test('an agent that is lost while held: rolled back and withdrawn', async t => {
    await using running = startPsql(held, ['-c', 'delete from items'])
    const { id } = await waitingRequest(bob)
    await world.agent.kill('SIGKILL')
    t.not((await running.finished()).code, 0)
    await scene.unlocked('items')
    t.match((await bob.runInProcess('approve', id)).stderr, /withdrawn/)
    await world.agent.restart()
    t.ok((await scene.count('items')) > 1000)
  })

  await t.test(
    'a rule that holds can limit as well: people are asked before it runs, and again for its rows',
    async t => {
      await using running = startPsql(held, ['-c', 'update parents set id = id + 1000'])
      const first = await waitingRequest(bob)
      t.equal(first.rows, undefined, 'nothing ran yet')
      await bob.runInProcess('approve', first.id)
      await running.waitFor(/20 are written/)
      const second = await waitingRequest(bob)
      t.match(second, { rows: 20 })
      t.equal(second.expiresMs - second.createdMs, 60_000, 'and not the 5 minutes of the rule')
      await bob.runInProcess('approve', second.id)
      t.equal((await running.finished()).stdout, 'UPDATE 20\n')
    },
  )

  await t.test('the rows of a task are summed over its connections; approved ones do not count', async t => {
    const alice = await world.person('alice')
    const carol = await world.person('carol')
    const connection = async (cli: Cli, task: string): Promise<Connection> =>
      cli.connect('prod-db', '--task', task, '--port', String(await freePort()))
    await using first = await connection(carol, 'T-1')
    await using second = await connection(carol, 'T-1')
    await using other = await connection(carol, 'T-2')
    const update = (gate: Connection, rows: number): ReturnType<typeof psql> =>
      psql(gate, ['-At', '-c', `update items set v = 'task' where id <= ${rows}`])
    t.equal((await update(first, 8)).stdout, 'UPDATE 8\n')
    t.match((await update(second, 3)).stderr, /it changes 3 rows after 8 rows of task T-1, and hard allows 10/)
    t.equal((await update(second, 2)).stdout, 'UPDATE 2\n')
    t.equal((await update(other, 8)).stdout, 'UPDATE 8\n', 'another task has a sum of its own')
    await using approving = await connection(alice, 'T-3')
    const over = update(approving, 20)
    await bob.runInProcess('approve', (await waitingRequest(bob)).id)
    t.equal((await over).stdout, 'UPDATE 20\n')
    t.equal((await update(approving, 10)).stdout, 'UPDATE 10\n')
  })

  await t.test('the record says what was counted, what was decided and what came of it', async t => {
    const bodies = (await world.relay.events()).map(({ body }) => body as Record<string, unknown>)
    const counted = bodies.filter(({ type }) => type === 'rows')
    t.ok(counted.some(({ rows, decision }) => rows === 500 && (decision as { effect: string }).effect === 'allow'))
    const no = counted.find(({ rule, rows }) => rule === 'hard' && rows === 1000)
    t.match(no, { limit: 10, decision: { effect: 'deny', reason: /it changes 1000 rows/ } })
    t.match(
      bodies.find(
        ({ type, session, command }) =>
          type === 'outcome' && session === no?.['session'] && command === no?.['command'],
      ),
      { status: 'ROLLED BACK' },
    )
    t.ok(bodies.some(({ type, rows }) => type === 'hold' && rows === 500))
    const outcomes = new Set(
      bodies.filter(({ type }) => type === 'outcome').map(({ session, command }) => `${session} ${command}`),
    )
    for (const { session, command } of counted.filter(
      ({ decision }) => (decision as { effect: string }).effect === 'allow',
    ))
      t.ok(outcomes.has(`${session} ${command}`), 'every counted command has an outcome')
    const { session } = counted[0] as { session: string }
    t.match((await bob.runInProcess('sessions', 'show', session)).stdout, /rows written before commit, limit 10 of/)
  })
})
