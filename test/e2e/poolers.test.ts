// A target behind PgBouncer, which gives each transaction another of a few connections: gate's own questions are answered there as well.
import { existsSync } from 'node:fs'
import { chown, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startAgent } from '../support/gate.ts'
import { freePort } from '../support/net.ts'
import type { PostgresServer } from '../support/postgres.ts'
import { type Running, start } from '../support/process.ts'
import { temporaryDirectory } from '../support/tmp.ts'
import { hasPsql, type PsqlTarget, psql, SERVICE_PASSWORD, startWorld, targetYaml } from '../support/world.ts'

const PGBOUNCER = '/usr/sbin/pgbouncer'
const NOBODY = 65_534

/** It does not run as root, like the server. */
async function startPooler(t: Test, postgres: PostgresServer): Promise<number> {
  const directory = await temporaryDirectory('pooler')
  t.teardown(() => directory[Symbol.asyncDispose]())
  const port = await freePort()
  const [config, users] = [join(directory.path, 'pooler.ini'), join(directory.path, 'users')]
  await writeFile(users, `"gate_service" "${SERVICE_PASSWORD}"\n`)
  await writeFile(
    config,
    `[databases]
app = host=${postgres.host} port=${postgres.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${users}
pool_mode = transaction
default_pool_size = 3
`,
  )
  const isRoot = process.getuid?.() === 0
  const owner = isRoot ? { uid: NOBODY, gid: NOBODY } : {}
  if (isRoot) for (const path of [directory.path, config, users]) await chown(path, NOBODY, NOBODY)
  const pooler: Running = start(PGBOUNCER, [config], owner)
  t.teardown(() => pooler[Symbol.asyncDispose]())
  await pooler.waitFor(/process up/)
  return port
}

t.test(
  'the catalog is read through connections that several share',
  { skip: !hasPsql || !existsSync(PGBOUNCER) },
  async t => {
    const world = await startWorld()
    t.teardown(() => world[Symbol.asyncDispose]())
    const pooler = { host: '127.0.0.1', port: await startPooler(t, world.postgres) }
    const agent = await startAgent({
      relay: world.relay,
      name: 'agent-two',
      targets: `${targetYaml(pooler, 'pooled-db')}\n${targetYaml(pooler, 'session-db', '    pooler: session\n')}`,
      env: { TARGET_PASSWORD: SERVICE_PASSWORD },
    })
    t.teardown(() => agent[Symbol.asyncDispose]())
    const open = async (name: 'alice' | 'carol', target = 'pooled-db'): Promise<PsqlTarget> => {
      const connection = await (await world.person(name)).connect(target)
      t.teardown(() => connection[Symbol.asyncDispose]())
      return { port: connection.port, user: name }
    }
    const [alice, carol] = [await open('alice'), await open('carol', 'session-db')]

    // Transactions that are open together have a connection each; each change of the schema has the catalog read anew, on any of them.
    const changes = (name: string): string =>
      Array.from(
        { length: 8 },
        (_, index) => `create table ${name}_${index} (id int);\nselect count(*) from ${name}_${index};\n`,
      ).join('')
    const holding = (name: string): string => `begin;\n${changes(name)}commit;\n${changes(`${name}_later`)}`
    const masked = 'select id, email from customers where id = 1;\n'.repeat(8)
    const [one, two, three] = await Promise.all([
      psql(alice, ['-At', '-v', 'ON_ERROR_STOP=1'], holding('one')),
      psql(alice, ['-At', '-v', 'ON_ERROR_STOP=1'], holding('two')),
      psql(carol, ['-At', '-v', 'ON_ERROR_STOP=1'], masked),
    ])
    for (const made of [one, two]) {
      t.same(made, { code: 0, signal: null, stderr: '', stdout: made.stdout })
      t.equal(made.stdout.match(/^0$/gm)?.length, 16)
    }
    t.same(
      three,
      { code: 0, signal: null, stderr: '', stdout: '1|****\n'.repeat(8) },
      'it is said to be one of sessions',
    )

    // Carol would get Alice's connection, and with it what Alice made.
    await psql(alice, ['-At'], 'create temp table shown as select email from customers; set search_path = pg_temp;')
    const pooled = await open('carol')
    for (const text of ['select * from shown', 'select id, email from customers', 'select 1']) {
      const { code, stdout, stderr } = await psql(pooled, ['-At', '-v', 'ON_ERROR_STOP=1'], text)
      t.match(stderr, /gate: columns are masked for you, and the server is behind a pooler/, text)
      t.equal(stdout, '')
      t.not(code, 0)
    }
    const direct = await open('carol', 'prod-db')
    t.equal((await psql(direct, ['-At'], 'select id, email from customers where id = 1')).stdout, '1|****\n')
  },
)
