// Logging in, staying logged in, and what ends when a login ends: with a real provider and the real device flow.
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { readCliConfig } from '@gate/cli/config'
import { Credentials } from '@gate/cli/credentials'
import { openKeychain } from '@gate/cli/keychain'
import { readProfile } from '@gate/cli/profile'
import { type Call, RelayClient } from '@gate/cli/relay-client'
import { systemClock } from '@gate/shared/clock'
import t from 'tap'
import type { ZodType } from 'zod'
import { createCli, startRelay } from '../support/gate.ts'
import { changeLogins, keptLogin } from '../support/kept-logins.ts'
import { startOidc } from '../support/oidc.ts'
import { run } from '../support/process.ts'
import { hasPsql, openPolicy, psql, startPsql, startWorld } from '../support/world.ts'

t.test('logging in', async t => {
  await using oidc = await startOidc()
  await using relay = await startRelay({ oidc, policy: openPolicy })

  await t.test('the code and the page are shown, and nothing works before somebody has confirmed', async t => {
    await using alice = await createCli()
    await using login = alice.start(['login', '--relay', relay.url, '--no-browser'])
    const [, url = ''] = await login.waitFor(/Open (\S+)/)
    const [, code = ''] = await login.waitFor(/shows the code (\S+)/)
    t.ok(url.includes(code))
    t.equal((await alice.runInProcess('targets')).code, 3)
    await oidc.decide(url, 'alice', 'allow')
    const done = await login.finished()
    t.equal(done.code, 0, done.stderr)
    t.match(done.stdout, /logged in to http:\/\/127\.0\.0\.1:\d+ as alice@example\.com/)
    const who = JSON.parse((await alice.runInProcess('whoami', '--json')).stdout) as {
      subject: { groups: string[] }
      keptIn: string
    }
    t.same(who.subject.groups, ['engineers'])
    t.match(who.keptIn, /a file that only you can read/)
    t.equal((await stat(join(alice.home, 'credentials.json'))).mode & 0o777, 0o600)
  })

  await t.test('a person who says no at the provider is told so', async t => {
    await using mallory = await createCli()
    await using login = mallory.start(['login', '--relay', relay.url, '--json', '--no-browser'])
    const [, url = ''] = await login.waitFor(/"completeUrl":"([^"]+)"/)
    await oidc.decide(url, 'alice', 'deny')
    const done = await login.finished()
    t.equal(done.code, 3)
    t.match(done.stderr, /denied at the identity provider/)
  })

  await t.test('a code that nobody enters expires', async t => {
    await using brief = await startOidc({ deviceCodeLifetime: 3 })
    await using relay = await startRelay({ oidc: brief, policy: openPolicy })
    await using nobody = await createCli()
    const done = await nobody.start(['login', '--relay', relay.url, '--no-browser']).finished()
    t.equal(done.code, 3)
    t.match(done.stderr, /expired before it was entered/)
  })

  await t.test('Ctrl-C gives up', async t => {
    await using nobody = await createCli()
    await using login = nobody.start(['login', '--relay', relay.url, '--no-browser'])
    await login.waitFor(/Waiting/)
    login.kill('SIGINT')
    t.equal((await login.finished()).code, 130)
  })

  await t.test('a relay that is no relay, or not there, or not encrypted, is said', async t => {
    await using nobody = await createCli()
    t.equal((await nobody.run('login', '--relay', 'http://127.0.0.1:9')).code, 7)
    t.match((await nobody.runInProcess('login', '--relay', 'http://gate.example.com')).stderr, /is not encrypted/)
    t.match(
      (await nobody.runInProcess('login', '--relay', oidc.issuer)).stderr,
      /cannot reach the relay|the relay answered|not understood/,
    )
    t.equal((await nobody.runInProcess('login')).code, 2)
  })
})

t.test('staying logged in', { skip: hasPsql ? false : 'no psql on this machine' }, async t => {
  await using world = await startWorld({
    embedded: true,
    policy: openPolicy,
    relay: { more: 'identity: { token: 10s, maximum_session: 40s }' },
    oidc: { idTokenLifetime: 60 },
  })
  const alice = await world.person('alice')

  await t.test('a token that ends soon is renewed silently', async t => {
    const before = await keptLogin(alice)
    t.equal((await alice.run('targets')).code, 0)
    const after = await keptLogin(alice)
    t.not(after.token, before.token)
    t.not(after.refreshToken, before.refreshToken, 'the provider rotates refresh tokens')
    t.equal(after.endsMs, before.endsMs, 'renewing does not prolong the session beyond its maximum')
  })

  await t.test('ten gates that renew at the same moment do not destroy the login', async t => {
    await changeLogins(alice, { expiresMs: 0 })
    const done = await Promise.all(Array.from({ length: 10 }, () => alice.run('targets', '--json')))
    for (const { code, stderr } of done) t.equal(code, 0, stderr)
    t.equal((await alice.runInProcess('whoami')).code, 0)
  })

  await t.test('two that renew while the relay is slow keep the refresh token that is good', async t => {
    const config = { ...readCliConfig({}), home: alice.home, keychain: 'file' as const }
    const profile = await readProfile(config)
    const keychain = await openKeychain(config.home, config.keychain)
    const client = new RelayClient(profile.relay, undefined)
    const behind = (ms: number): Credentials => {
      const late = Object.create(client, {
        call: {
          value: async (call: Call, schema: ZodType) => {
            await sleep(ms)
            return client.call(call, schema)
          },
        },
      }) as RelayClient
      return new Credentials(config, profile, keychain, late, systemClock)
    }
    const seen = await behind(0).find()
    if (seen === undefined) throw new Error('nobody is logged in')
    const [first, second] = await Promise.all([behind(500).renew(seen), sleep(20).then(() => behind(0).renew(seen))])
    t.equal(second.token, first.token, 'the second waited, and took what the first got')
    t.not((await behind(0).renew(first)).token, first.token, 'and what is kept is good')
    await client.close()
  })

  await t.test('groups that the provider changes bind from the next renewal on', async t => {
    await world.oidc.setGroups('alice', ['engineers', 'dba'])
    await changeLogins(alice, { expiresMs: 0 })
    await alice.runInProcess('targets')
    const who = JSON.parse((await alice.runInProcess('whoami', '--json')).stdout) as { subject: { groups: string[] } }
    t.same(who.subject.groups, ['engineers', 'dba'])
  })

  await t.test('a token that somebody made up, or one that ended, opens nothing', async t => {
    for (const token of ['made-up', 'x'.repeat(600), '']) {
      const response = await fetch(`${world.relay.url}/v1/targets`, { headers: { authorization: `Bearer ${token}` } })
      t.equal(response.status, 401)
    }
    const none = await fetch(`${world.relay.url}/v1/targets`)
    t.equal(none.status, 401)
    t.match(await none.json(), { code: 'ERR_GATE_UNAUTHENTICATED' })
  })

  await t.test('a connection ends when its login is logged out, with a native error', async t => {
    const carol = await world.person('carol')
    await using gate = await carol.connect('prod-db')
    await using open = startPsql(gate, ['-At'])
    open.child.stdin?.write("select 'open';\n")
    await open.waitFor(/open/)
    t.equal((await carol.run('logout')).code, 0)
    open.child.stdin?.write('select 1;\n')
    await open.waitFor(/FATAL: {2}gate: the login behind this connection ended: you logged out/)
    const after = await psql(gate, ['-c', 'select 1'])
    t.match(after.stderr, /FATAL: {2}gate: your login has ended/)
    t.equal((await carol.runInProcess('targets')).code, 3)
    t.equal((await carol.runInProcess('whoami')).code, 3)
  })

  await t.test(
    'a connection outlives its token while the login is renewed, and ends at the maximum session length',
    async t => {
      await using bob = await createCli()
      await bob.login(world.relay, world.oidc, 'bob')
      const { endsMs } = await keptLogin(bob)
      await using gate = await bob.connect('prod-db')
      await using open = startPsql(gate, ['-At'])
      // What gate connect does every half minute in earnest is done here by hand: the tokens of this relay last 10 s.
      while (Date.now() < endsMs - 9_000) {
        await changeLogins(bob, { expiresMs: 0 })
        t.equal((await bob.runInProcess('whoami')).code, 0)
        open.child.stdin?.write("select 'alive';\n")
        await new Promise(resolve => setTimeout(resolve, 3_000))
      }
      t.ok(open.stdout().split('alive').length > 5, 'it lived for several tokens')
      await new Promise(resolve => setTimeout(resolve, Math.max(0, endsMs - Date.now()) + 1_000))
      open.child.stdin?.write('select 1;\n')
      await open.waitFor(
        /FATAL: {2}gate: the login behind this connection ended: the maximum session length is reached/,
      )
    },
  )
})

t.test('a provider that rotates its keys, and one that is away', async t => {
  await using oidc = await startOidc()
  await using relay = await startRelay({ oidc, policy: openPolicy })
  await using alice = await createCli()
  await using bob = await createCli()
  t.equal((await alice.login(relay, oidc, 'alice')).code, 0)
  await oidc.rotateKeys()
  // The relay reads the keys anew when it meets an unknown one, at most once in 30 s.
  const again = await bob.login(relay, oidc, 'bob')
  t.ok([0, 3].includes(again.code ?? -1), again.stderr)
  await oidc[Symbol.asyncDispose]()
  t.equal((await alice.run('targets')).code, 0, 'a login that needs no renewal goes on')
  await changeLogins(alice, { expiresMs: 0 })
  const renewing = await alice.runInProcess('targets')
  t.equal(renewing.code, 3)
  t.match(renewing.stderr, /the identity provider .* does not answer/)
  const status = await run('cat', [join(alice.home, 'credentials.json')])
  t.match(status.stdout, /refreshToken/, 'the login is kept for when the provider is back')
})
