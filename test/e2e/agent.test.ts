// Agents: how they join, what they may announce, and every way of logging in to PostgreSQL.
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { Cleanup } from '@gate/shared/cleanup'
import t from 'tap'
import { createAuthority } from '../support/certificates.ts'
import { createCli, programs, type RelayProcess, startAgent, startRelay } from '../support/gate.ts'
import { startOidc } from '../support/oidc.ts'
import { type PostgresOptions, type PostgresServer, startPostgres } from '../support/postgres.ts'
import { run, start } from '../support/process.ts'
import { temporaryDirectory } from '../support/tmp.ts'
import { hasPsql, makeDatabase, openPolicy, psql, SERVICE_PASSWORD, targetYaml } from '../support/world.ts'

const skip = hasPsql ? false : 'no psql on this machine'

t.test('joining', async t => {
  await using oidc = await startOidc()
  await using relay = await startRelay({ oidc, policy: openPolicy })
  await using directory = await temporaryDirectory('join')
  const config = async (name: string, agent: string): Promise<string> => {
    const file = join(directory.path, `${name}.yaml`)
    await writeFile(
      file,
      `relay: ${relay.url}\nname: ${agent}\nstate: ${join(directory.path, name)}\ntargets:\n${targetYaml({ host: '127.0.0.1', port: 1 }, 'prod-db')}\n`,
    )
    return file
  }
  const enroll = async (file: string, token: string): ReturnType<typeof run> =>
    run(process.execPath, [programs.agent, '--config', file, 'enroll'], { input: token })

  await t.test('a token works once, for its agent only', async t => {
    const token = await relay.enroll('one', 'prod-*')
    const wrongName = await enroll(await config('wrong', 'another'), token)
    t.equal(wrongName.code, 3)
    t.match(wrongName.stderr, /not known for this agent\n.*gate-relay enroll --agent another --targets/)
    t.same(await readdir(join(directory.path, 'wrong')), [], 'no key stays that no relay knows')
    const right = await enroll(await config('right', 'one'), token)
    t.equal(right.code, 0)
    t.match(right.stdout, /one joined .* and may announce prod-\*/)
    const again = await enroll(await config('again', 'one'), token)
    t.equal(again.code, 6)
    t.match(again.stderr, /already used/)
  })

  await t.test('an invented token is refused', async t => {
    t.equal((await enroll(await config('invented', 'one'), 'invented-token')).code, 3)
    const none = await enroll(await config('none', 'one'), '')
    t.equal(none.code, 2)
    t.match(none.stderr, /there is no token\n.*gate-relay enroll --agent one --targets/)
    await t.rejects(readdir(join(directory.path, 'none')), { code: 'ENOENT' }, 'not even a key is made')
    const known = await config('right', 'one')
    t.equal((await enroll(known, 'invented-token')).code, 3)
    t.same(await readdir(join(directory.path, 'right')), ['agent.key'], 'a key that a relay knows stays')
  })

  await t.test('an agent that never joined, or whose key was replaced, is not let in', async t => {
    const unknown = await run(process.execPath, [programs.agent, '--config', await config('unknown', 'one'), 'start'])
    t.equal(unknown.code, 3)
    t.match(unknown.stderr, /gate-agent enroll/)
    await using impostor = await startAgent({
      relay,
      name: 'two',
      targets: targetYaml({ host: '127.0.0.1', port: 1 }, 'prod-two'),
    })
    await impostor.kill()
    // Somebody else joins under the same name: the first key is worth nothing any more.
    t.equal((await enroll(await config('newer', 'two'), await relay.enroll('two', '*'))).code, 0)
    await using old = start(process.execPath, [programs.agent, '--config', impostor.config, 'start'])
    await old.waitFor(/is not enrolled here or its key is another/)
    t.match(relay.process().stderr(), /agent\.refused/)
  })

  await t.test('an agent cannot announce what its enrolment does not cover', async t => {
    await using agent = await startAgent({
      relay,
      name: 'limited',
      patterns: ['test-*'],
      targets: [
        targetYaml({ host: '127.0.0.1', port: 1 }, 'test-db'),
        targetYaml({ host: '127.0.0.1', port: 1 }, 'prod-crown-jewels'),
      ].join('\n'),
    })
    const refused = await agent.process().waitFor(/^.*uplink\.target-refused.*$/m)
    t.match(refused[0], /"target":"prod-crown-jewels".*the enrolment does not cover.*gate-relay enroll --agent limited/)
    t.notMatch(refused[0], /another agent/)
    await using alice = await createCli()
    await alice.login(relay, oidc, 'alice')
    const online = async (): Promise<string[]> => {
      const { stdout } = await alice.runInProcess('targets', '--json')
      const listed = JSON.parse(stdout) as { name: string; online: boolean }[]
      return listed.filter(each => each.online).map(({ name }) => name)
    }
    t.match(await online(), ['test-db'])
    // Enrolled anew for more, it serves them without being started again.
    const again = await run(process.execPath, [programs.agent, '--config', agent.config, 'enroll'], {
      input: await relay.enroll('limited', 'test-*', 'prod-*'),
    })
    t.equal(again.code, 0, again.stderr)
    t.match(again.stdout, /may announce test-\*, prod-\*/)
    t.match(again.stderr, /takes this up by itself/)
    await agent.process().waitFor(/uplink\.ready[\s\S]*uplink\.ready/)
    t.match(new Set(await online()), new Set(['test-db', 'prod-crown-jewels']))
    t.notMatch(relay.process().stderr(), /agent\.enrolment-unknown/)
  })

  await t.test('two agents that mean different things by one name: the second is not served', async t => {
    await using first = await startAgent({
      relay,
      name: 'first',
      targets: targetYaml({ host: '127.0.0.1', port: 1 }, 'shared'),
    })
    await using second = await startAgent({
      relay,
      name: 'second',
      targets: targetYaml({ host: '127.0.0.1', port: 1 }, 'shared').replace('env: prod', 'env: test'),
    })
    const [refused] = await second.process().waitFor(/^.*uplink\.target-refused.*$/m)
    t.match(refused, /"target":"shared".*another agent serves that name with another protocol, labels or options/)
    t.notMatch(refused, /enrolment does not cover/)
    t.notMatch(first.process().stderr(), /target-refused/)
  })

  await t.test("the agent's private key is its own: mode 0600, and the relay has only the public half", async t => {
    const key = await readFile(join(directory.path, 'right', 'agent.key'), 'utf8')
    t.match(key, /PRIVATE KEY/)
    const { stdout } = await run('grep', ['-rlF', (key.split('\n')[1] ?? '').slice(-20), relay.directory])
    t.equal(stdout, '')
  })

  await t.test('a token is given while the relay starts', async t => {
    await relay.kill()
    const asked = [programs.relay, '--config', relay.config, 'enroll', '--agent', 'early', '--targets', 'prod-*']
    const [done, after] = await Promise.all([
      relay
        .process()
        .finished()
        .then(() => run(process.execPath, asked)),
      wait(100).then(() => run(process.execPath, asked)),
      relay.restart(),
    ])
    for (const { code, stdout, stderr } of [done, after]) {
      t.equal(code, 0, stderr)
      t.match(stdout, /^\S+\n$/)
    }
  })
})

t.test('enrolled anew at one of two relays of a store, an agent announces more to both', async t => {
  await using oidc = await startOidc()
  await using storage = await startPostgres()
  await storage.query('create database gate_store')
  const setup = { oidc, policy: openPolicy, store: storage.url('gate_store') }
  await using first = await startRelay(setup)
  await using second = await startRelay(setup)
  const targets = ['test-db', 'prod-db'].map(name => targetYaml({ host: '127.0.0.1', port: 1 }, name)).join('\n')
  await using agent = await startAgent({ relay: first, patterns: ['test-*'], targets })
  await agent.kill()
  const config = await readFile(agent.config, 'utf8')
  await writeFile(agent.config, config.replace(/^relay: .*$/m, `relay: [${first.url}, ${second.url}]`))
  await agent.restart()
  const served = (relay: RelayProcess): Promise<unknown> =>
    relay.process().waitFor(/agent-one","count":1,[\s\S]*agent\.enrolled-anew[\s\S]*agent-one","count":2,/)
  await second.process().waitFor(/agent-one","count":1,/)
  const again = await run(process.execPath, [programs.agent, '--config', agent.config, 'enroll'], {
    input: await first.enroll('agent-one', '*'),
  })
  t.equal(again.code, 0, again.stderr)
  await Promise.all([first, second].map(served))
})

t.test('without a command both programs start, and say of a word that is none that it is none', async t => {
  await using oidc = await startOidc()
  await using relay = await startRelay({ oidc, policy: openPolicy })
  await relay.kill()
  await using started = start(process.execPath, ['--liftoff-only', programs.relay, '--config', relay.config])
  await started.waitFor(/relay\.listening/)
  await using agent = await startAgent({ relay, targets: targetYaml({ host: '127.0.0.1', port: 1 }), ready: false })
  await agent.kill()
  await using uplink = start(process.execPath, [programs.agent, '--config', agent.config])
  await uplink.waitFor(/uplink\.ready/)
  for (const name of ['relay', 'agent'] as const) {
    const missing = await run(process.execPath, [programs[name], '--config', '/no/such.yaml', 'check'])
    t.equal(missing.code, 2)
    t.equal(
      missing.stderr,
      `gate-${name}: /no/such.yaml: cannot be read (ENOENT)\n  Name another file with --config FILE.\n`,
    )
    const help = await run(process.execPath, [programs[name], '--help'])
    t.match(help.stdout, /^ +start \[options\] .*\(default\)/m)
    const wrong = await run(process.execPath, [programs[name], 'no-such-command'])
    t.equal(wrong.code, 2)
    t.equal(
      wrong.stderr,
      `gate-${name}: unknown command 'no-such-command'\n  gate-${name} --help shows what there is.\n`,
    )
    const option = await run(process.execPath, [programs[name], 'check', '--no-such-option'])
    t.match(option.stderr, new RegExp(`^gate-${name}: unknown option '--no-such-option'`))
    t.equal(option.code, 2)
    t.equal(help.code, 0)
  }
})

t.test('logging in to PostgreSQL', { skip }, async t => {
  await using directory = await temporaryDirectory('login')
  const authority = await createAuthority(directory.path)
  const server = await authority.issue('postgres')
  const wrongHost = await authority.issue('wrong-host', { hosts: ['elsewhere.example'] })
  const identity = await authority.issue('gate_service')
  await using oidc = await startOidc()
  await using relay = await startRelay({ oidc, policy: openPolicy })
  await using alice = await createCli()
  await alice.login(relay, oidc, 'alice')

  const verifyFull = `    sslmode: verify-full\n    sslrootcert: ${authority.certificate}`
  const log = { log_connections: 'on', log_min_messages: 'debug4' }
  const servers: Readonly<Record<string, PostgresOptions>> = {
    scram: { authentication: 'scram-sha-256' },
    md5: { authentication: 'md5' },
    password: { authentication: 'password' },
    tls: { tls: server, settings: log },
    'only-tls': { tls: { ...server, required: true } },
    'wrong-host': { tls: wrongHost },
    certificate: { authentication: 'cert', tls: { ...server, ca: authority.certificate } },
  }
  const yes = /^1$/m
  const cases: readonly { name: string; server: string; more?: string; expect: RegExp; tls?: boolean }[] = [
    { name: 'scram', server: 'scram', expect: yes },
    { name: 'md5', server: 'md5', expect: yes },
    { name: 'password', server: 'password', expect: yes },
    { name: 'scram-tls', server: 'only-tls', more: verifyFull, expect: yes, tls: true },
    { name: 'prefer-tls', server: 'tls', more: '    sslmode: prefer', expect: yes, tls: true },
    { name: 'require-tls', server: 'only-tls', more: '    sslmode: require', expect: yes, tls: true },
    { name: 'allow-tls', server: 'only-tls', more: '    sslmode: allow', expect: yes, tls: true },
    {
      name: 'wrong-host',
      server: 'wrong-host',
      more: verifyFull,
      expect: /cannot reach wrong-host \(TLS: ERR_TLS_CERT_ALTNAME_INVALID\)/,
    },
    {
      name: 'verify-ca',
      server: 'wrong-host',
      more: `    sslmode: verify-ca\n    sslrootcert: ${authority.certificate}`,
      expect: yes,
      tls: true,
    },
    {
      name: 'unknown-authority',
      server: 'tls',
      more: '    sslmode: verify-full',
      expect: /cannot reach unknown-authority \(TLS: /,
    },
    {
      name: 'no-tls-there',
      server: 'scram',
      more: '    sslmode: require',
      expect: /the server has no TLS, and sslmode is require/,
    },
    {
      name: 'certificate',
      server: 'certificate',
      more: `${verifyFull}\n    sslcert: ${identity.certificate}\n    sslkey: ${identity.key}`,
      expect: yes,
      tls: true,
    },
    // Where the server offers to bind to the channel, a client that could and did not would be refused as a downgrade.
    { name: 'SCRAM bound to the TLS channel', server: 'tls', more: verifyFull, expect: yes, tls: true },
  ]
  const nameOf = (name: string): string => name.toLowerCase().replaceAll(' ', '-')
  await using running = new Cleanup()
  const started = new Map<string, PostgresServer>()
  for (const [name, options] of Object.entries(servers)) {
    const postgres = running.use(await startPostgres(options))
    await makeDatabase(postgres, 'select 1')
    started.set(name, postgres)
  }
  const at = (name: string): PostgresServer => {
    const found = started.get(name)
    if (found === undefined) throw new Error(`no server ${name}`)
    return found
  }
  const file = join(directory.path, 'password')
  await writeFile(file, `${SERVICE_PASSWORD}\n`)
  const withPassword = (name: string, source: string): string =>
    targetYaml(at('scram'), name).replace('{ environment: TARGET_PASSWORD }', source)
  await using _agent = await startAgent({
    relay,
    name: 'agent-login',
    targets: [
      ...cases.map(each => targetYaml(at(each.server), nameOf(each.name), each.more)),
      withPassword('from-command', `{ command: [echo, ${SERVICE_PASSWORD}] }`),
      withPassword('from-file', `{ file: ${file} }`),
      withPassword('from-nowhere', '{ environment: NOT_SET_ANYWHERE }'),
    ].join('\n'),
    env: { TARGET_PASSWORD: SERVICE_PASSWORD },
  })

  for (const each of cases) {
    await t.test(each.name, async t => {
      await using gate = await alice.connect(nameOf(each.name))
      const done = await psql(gate, [
        '-At',
        '-c',
        'select 1',
        '-c',
        'select ssl from pg_stat_ssl where pid = pg_backend_pid()',
      ])
      t.match(done.stdout + done.stderr, each.expect)
      if (each.expect === yes) t.equal(done.stdout, `1\n${each.tls === true ? 't' : 'f'}\n`)
    })
  }

  await t.test('a password from a command or a file', async t => {
    for (const name of ['from-command', 'from-file']) {
      await using gate = await alice.connect(name)
      t.equal((await psql(gate, ['-At', '-c', 'select 1'])).stdout, '1\n', name)
    }
    await using gate = await alice.connect('from-nowhere')
    t.match(
      (await psql(gate, ['-c', 'select 1'])).stderr,
      /the environment variable with the target's password is not set\n(.*\n)*.*starts the agent again/,
    )
  })
})
