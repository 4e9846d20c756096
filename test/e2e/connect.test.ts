// The local port: whose it is, where it is, and how tools find it.
import { existsSync } from 'node:fs'
import { chmod, readFile, stat } from 'node:fs/promises'
import { type AddressInfo, connect, createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { createAuthority } from '../support/certificates.ts'
import { createCli, startAgent, startRelay } from '../support/gate.ts'
import { startOidc } from '../support/oidc.ts'
import { startPostgres } from '../support/postgres.ts'
import { run, start } from '../support/process.ts'
import { temporaryDirectory } from '../support/tmp.ts'
import { until } from '../support/until.ts'
import { client } from '../support/wire.ts'
import {
  direct,
  hasPsql,
  makeDatabase,
  openPolicy,
  psql,
  SERVICE_PASSWORD,
  sampleSql,
  startWorld,
  targetYaml,
} from '../support/world.ts'

const skip = hasPsql ? false : 'no psql on this machine'
const NOBODY = 65_534

/** Forwards connections to a port from another loopback address, and adds headers to the first request on each. */
async function startProxy(to: number, from: string, headers: string): Promise<AsyncDisposable & { port: number }> {
  const server = createServer(incoming => {
    const outgoing = connect({ port: to, host: '127.0.0.1', localAddress: from })
    for (const socket of [incoming, outgoing]) socket.on('error', () => socket.destroy())
    incoming.once('data', first => {
      outgoing.write(first.toString('latin1').replace('\r\n', `\r\n${headers}\r\n`), 'latin1')
      incoming.pipe(outgoing)
    })
    outgoing.pipe(incoming)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return { port, [Symbol.asyncDispose]: () => new Promise(resolve => server.close(() => resolve())) }
}

t.test('gate connect', { skip }, async t => {
  await using world = await startWorld({ policy: openPolicy, embedded: true })
  const alice = await world.person('alice')

  await t.test('prints a psql line, a URL and a service, and each of them works as printed', async t => {
    await using connecting = alice.start(['connect', 'prod-db'])
    const [, psqlLine = ''] = await connecting.waitFor(/psql +(psql ".*")/)
    const [, url = ''] = await connecting.waitFor(/url +(postgresql:\S+)/)
    const [, service = ''] = await connecting.waitFor(/service +(PGSERVICEFILE=.*)/)
    const shell = (line: string): ReturnType<typeof run> =>
      run('sh', ['-c', `${line} -X -At -c 'select current_database(), 42'`])
    t.equal((await shell(psqlLine)).stdout, 'app|42\n')
    t.equal((await shell(`psql '${url}'`)).stdout, 'app|42\n')
    t.equal((await shell(service)).stdout, 'app|42\n')
    t.match(psqlLine, /user=alice/)
    connecting.kill('SIGINT')
    t.equal((await connecting.finished()).code, 0)
    t.match(await readFile(join(alice.home, 'pg_service.conf'), 'utf8'), /^\[prod-db\]\nhost=127\.0\.0\.1\n/)
  })

  await t.test('runs a command with the port in its environment and ends with its exit code', async t => {
    const done = await alice
      .start(['connect', 'prod-db', '--', 'psql', '-X', '-At', '-c', 'select 7'], { input: '' })
      .finished()
    t.equal(done.stdout, '7\n')
    t.equal(done.code, 0)
    t.equal((await alice.run('connect', 'prod-db', '--', 'sh', '-c', 'exit 23')).code, 23)
    t.equal((await alice.run('connect', 'prod-db', '--', 'sh', '-c', 'kill -TERM $$')).code, 143)
    t.equal((await alice.run('connect', 'prod-db', '--', 'no-such-program-anywhere')).code, 2)
    const environment = await alice.run('connect', 'prod-db', '--', 'env')
    t.match(environment.stdout, /^PGHOST=127\.0\.0\.1$/m)
    t.match(environment.stdout, /^PGUSER=alice$/m)
  })

  await t.test('a command that has ended ends its connections as it closed them', async t => {
    const before = (await world.relay.events()).length
    for (let round = 0; round < 8; round += 1)
      t.equal((await alice.run('connect', 'prod-db', '--', 'psql', '-X', '-At', '-c', 'select 8')).stdout, '8\n')
    // What it leaves behind is not waited for.
    const left = await alice.run('connect', 'prod-db', '--', 'sh', '-c', 'psql -X -c "select pg_sleep(20)" & sleep 1')
    t.equal(left.code, 0, left.stderr)
    type End = { body: { type: string; code?: string } }
    const ends = ((await world.relay.events()) as unknown as End[])
      .slice(before)
      .flatMap(({ body }) => (body.type === 'session.end' ? [body.code] : []))
    t.same(
      ends.slice(0, 8),
      Array.from({ length: 8 }, () => 'ended'),
    )
  })

  await t.test('the record says from which address and with which program, whatever headers claim', async t => {
    const elsewhere = '127.0.0.9'
    await using proxy = await startProxy(
      world.relay.port,
      elsewhere,
      'X-Forwarded-For: 203.0.113.9\r\nForwarded: for=203.0.113.9',
    )
    await using carol = await createCli()
    await carol.login({ url: `http://127.0.0.1:${proxy.port}` }, world.oidc, 'carol')
    const done = await carol
      .start(['connect', 'prod-db', '--', 'psql', '-X', '-At', '-c', 'select 7'], { input: '' })
      .finished()
    t.equal(done.stdout, '7\n', done.stderr)
    const [session] = JSON.parse((await carol.runInProcess('sessions', '--json')).stdout) as { id: string }[]
    t.match(session, { clientAddress: elsewhere, program: 'psql' })
    const events = (await world.relay.events()) as { body: { type: string; session?: string } }[]
    t.match(events.filter(({ body }) => body.type === 'session.start').at(-1), {
      body: { session: session?.id, client: { program: 'psql' }, clientAddress: elsewhere },
    })
    t.match((await carol.run('sessions', 'show', session?.id ?? '')).stdout, /^s_\S+ .*psql, from 127\.0\.0\.9/)
    t.match(
      (await carol.runInProcess('sessions', 'show', session?.id ?? '', '--json')).stdout,
      `"clientAddress":"${elsewhere}"`,
    )
    const { stdout } = await alice.runInProcess('sessions', '--json')
    t.match(JSON.parse(stdout), [{ clientAddress: '127.0.0.1' }], 'and without a proxy its own')
  })

  await t.test('the record says when the first and the last byte of an answer came', async t => {
    await using gate = await alice.connect('prod-db')
    type Body = { type: string; [name: string]: unknown }
    const outcomes = async (): Promise<Body[]> =>
      ((await world.relay.events()) as { body: Body }[])
        .map(({ body }) => body)
        .filter(({ type }) => type === 'outcome')
    const before = (await outcomes()).length
    // The server sends what fills its buffer of 8 kB before it sleeps.
    await psql(gate, ['-c', "select repeat('x', 100000) union all select pg_sleep(1)::text"])
    await psql(gate, ['-c', 'select pg_sleep(1)'])
    // What no command waits for is written a moment later.
    await until('both outcomes', async () => (await outcomes()).length >= before + 2)
    const [early, late] = (await outcomes()).slice(before)
    t.ok(Number(early?.['firstByteMs']) < Number(early?.['durationMs']), 'rows came before the end')
    t.ok(Number(late?.['firstByteMs']) > 900, 'nothing came before the server woke up')
    t.ok(Number(late?.['firstByteMs']) <= Number(late?.['durationMs']))
    const shown = (await alice.runInProcess('sessions', 'show', String(late?.['session']))).stdout
    t.match(shown, `→ SELECT 1, 1 row, ${late?.['durationMs']} ms (first byte after ${late?.['firstByteMs']} ms)`)
  })

  await t.test('serves ::1 as well', { skip: existsSync('/proc/net/if_inet6') ? false : 'no IPv6' }, async t => {
    await using gate = await alice.connect('prod-db')
    const done = await run('psql', [
      '-X',
      '-At',
      '-d',
      `host=::1 port=${gate.port} dbname=app user=a`,
      '-c',
      'select 6',
    ])
    t.equal(done.stdout, '6\n', done.stderr)
  })

  await t.test('lets in programs that reach 127.0.0.1 through an IPv6 socket, as all of Java does', async t => {
    await using gate = await alice.connect('prod-db')
    const socket = connect(gate.port, '::ffff:127.0.0.1')
    socket.write(client.sslRequest)
    const answer = await new Promise(resolve => socket.once('data', resolve).once('close', () => resolve('closed')))
    t.equal(String(answer), 'N')
    socket.destroy()
  })

  await t.test(
    "turns away another user's process and says so",
    { skip: process.getuid?.() === 0 ? false : 'only root can be somebody else' },
    async t => {
      await using gate = await alice.connect('prod-db')
      const connection = `host=127.0.0.1 port=${gate.port} dbname=app user=a`
      await using stranger = start('/usr/bin/psql', ['-X', '-d', connection, '-c', 'select 1'], {
        uid: NOBODY,
        gid: NOBODY,
        env: { HOME: '/' },
      })
      const done = await stranger.finished()
      t.equal(done.code, 2)
      t.notMatch(done.stdout, /1 row/)
      await gate.process.waitFor(/a process of another user \(uid 65534\) knocked at port \d+ and was turned away/)
      t.equal((await psql(gate, ['-At', '-c', 'select 1'])).stdout, '1\n', 'the own processes still get in')
      const events = (await world.relay.events()) as { body: { type: string; session?: string } }[]
      t.ok(events.length > 0)
    },
  )

  await t.test(
    "a process that vanishes right after it spoke is not taken for root's",
    { skip: process.getuid?.() === 0 ? false : 'only root is concerned' },
    async t => {
      await using gate = await alice.connect('prod-db')
      const before = (await world.relay.events()).length
      // bash speaks TCP by itself; the process is gone before anybody could look it up.
      const script = `exec 3<>/dev/tcp/127.0.0.1/${gate.port}; printf '\\0\\0\\0\\x1f\\0\\x03\\0\\0user\\0a\\0database\\0app\\0\\0' >&3; exec 3>&-`
      await run('bash', ['-c', `for i in 1 2 3 4 5 6 7 8; do (${script}) & done; wait`], {
        uid: NOBODY,
        gid: NOBODY,
        env: { HOME: '/' },
      })
      t.equal((await psql(gate, ['-At', '-c', 'select 1'])).stdout, '1\n')
      const started = ((await world.relay.events()) as { body: { type: string; client?: { user: string } } }[])
        .slice(before)
        .filter(({ body }) => body.type === 'session.start')
      t.same(
        started.map(({ body }) => body.client?.user),
        ['alice'],
        'only the own psql began a session',
      )
    },
  )

  await t.test('a home that others can write to is refused', async t => {
    await using other = await createCli()
    await chmod(other.home, 0o777)
    const done = await other.login(world.relay, world.oidc, 'bob').catch((thrown: unknown) => thrown as Error)
    t.match(done instanceof Error ? done.message : done.stderr, /can be written by somebody else/)
  })

  await t.test('Ctrl-C ends it soon, also while the relay does not answer', async t => {
    await using connecting = alice.start(['connect', 'prod-db'])
    await connecting.waitFor(/Ctrl-C closes/)
    const relay = world.relay.process()
    relay.kill('SIGSTOP')
    try {
      connecting.kill('SIGINT')
      t.equal((await connecting.finished(13_000)).code, 0, 'before the relay would be given up')
    } finally {
      relay.kill('SIGCONT')
    }
  })

  await t.test('with no login: what to do, also as JSON', async t => {
    await using nobody = await createCli()
    const plain = await nobody.run('connect', 'prod-db')
    t.equal(plain.code, 3)
    t.match(plain.stderr, /you are not logged in\n +Run: gate login --relay/)
    const json = await nobody.runInProcess('connect', 'prod-db', '--json')
    t.match(JSON.parse(json.stderr), { error: { code: 'ERR_GATE_UNAUTHENTICATED' } })
  })
})

t.test('several targets at once, TLS to the relay, and its pinned key', { skip }, async t => {
  await using directory = await temporaryDirectory('tls')
  const authority = await createAuthority(directory.path)
  const certificate = await authority.issue('relay')
  await using oidc = await startOidc()
  await using postgres = await startPostgres()
  await makeDatabase(postgres, sampleSql)
  await using relay = await startRelay({ oidc, policy: openPolicy, tls: certificate })
  await using agent = await startAgent({
    relay,
    ca: authority.certificate,
    targets: [targetYaml(postgres, 'prod-one'), targetYaml(postgres, 'prod-two')].join('\n'),
    env: { TARGET_PASSWORD: SERVICE_PASSWORD },
  })
  await using alice = await createCli()

  await t.test('a key that no authority vouches for is not taken silently', async t => {
    const done = await alice.run('login', '--relay', relay.url, '--no-browser')
    t.equal(done.code, 7)
    t.match(done.stderr, /No authority that this machine trusts vouches/)
    t.match(done.stderr, /--fingerprint SHA256:/)
    const wrong = await alice.run('login', '--relay', relay.url, '--no-browser', '--fingerprint', 'SHA256:wrong')
    t.equal(wrong.code, 7)
    t.match(wrong.stderr, /is not the one that was pinned/)
  })

  await t.test('with the fingerprint it is pinned, and two targets open two ports', async t => {
    const asked = await alice.run('login', '--relay', relay.url, '--no-browser')
    const [, fingerprint = ''] = /--fingerprint (SHA256:\S+)/.exec(asked.stderr) ?? []
    t.equal((await alice.login(relay, oidc, 'alice', '--fingerprint', fingerprint)).code, 0)
    await using connecting = alice.start(['connect', 'prod-one', 'prod-two', '--json'])
    const ports = await Promise.all(
      ['prod-one', 'prod-two'].map(async name =>
        Number((await connecting.waitFor(new RegExp(`"target":"${name}".*"port":(\\d+)`)))[1]),
      ),
    )
    t.not(ports[0], ports[1])
    for (const port of ports) t.equal((await psql({ port }, ['-At', '-c', 'select 1'])).stdout, '1\n')
    const much = 'copy (select repeat(md5(i::text), 20) from generate_series(1, 30000) as i) to stdout'
    const expected = (await psql(direct(postgres), ['-c', much])).stdout
    const answers = [...ports, ...ports].map(async port => (await psql({ port }, ['-c', much])).stdout === expected)
    t.same(await Promise.all(answers), [true, true, true, true], 'much passes, in several connections at once')
    const services = await readFile(join(alice.home, 'pg_service.conf'), 'utf8')
    t.match(services, /\[prod-one\]/)
    t.match(services, /\[prod-two\]/)
  })

  await t.test('a relay with another key is refused, by the CLI and by the agent', async t => {
    const other = await authority.issue('other', { hosts: ['elsewhere.example'] })
    await relay.kill()
    await using impostor = await startRelay({ oidc, policy: openPolicy, port: relay.port, tls: other })
    const done = await alice.run('targets')
    t.equal(done.code, 7)
    t.match(done.stderr, /the certificate of \S+ is not believed/)
    await agent.process().waitFor(/uplink\.failed/)
    t.notMatch(impostor.process().stderr(), /agent\.online/)
  })
  t.equal((await stat(join(alice.home, 'relay.json'))).mode & 0o777, 0o600)
})
