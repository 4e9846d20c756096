// Groups that the provider changes bind what is connected already: statements, prepared ones, requests on a connection that stays.
import { Agent, get } from 'node:http'
import pg from 'pg'
import t from 'tap'
import type { Cli } from '../support/gate.ts'
import { answerWith } from '../support/http-target.ts'
import { startHttpWorld } from '../support/http-world.ts'
import { changeLogins } from '../support/kept-logins.ts'
import type { OidcProvider } from '../support/oidc.ts'
import { startWorld } from '../support/world.ts'

const policy = (protocol: string, mask: string): string => `
targets:
  - match: { labels: { env: prod, protocol: ${protocol} } }
    allow: { groups: [engineers, support] }
    rules: [{ name: everything, allow: [engineers, support] }]
    mask: [{ ${mask}, for: { groups: [support] }, with: redact }]
`

/** The provider changes the groups, and the next command that the person runs renews the login. */
async function become(oidc: OidcProvider, person: Cli, groups: readonly string[]): Promise<void> {
  await oidc.setGroups('alice', [...groups])
  await changeLogins(person, { expiresMs: 0 })
  const who = await person.runInProcess('targets')
  if (who.code !== 0) throw new Error(who.stderr)
}

t.test('sessions of PostgreSQL', async t => {
  await using world = await startWorld({
    policy: policy('postgres', 'columns: [public.customers.email]'),
    sql: `create table customers (id int primary key, email text); insert into customers values (1, 'a@secret.example')`,
  })
  const alice = await world.person('alice')
  await using gate = await alice.connect('prod-db')
  const client = new pg.Client({ host: '127.0.0.1', port: gate.port, user: 'alice', database: 'app' })
  client.on('error', () => {})
  await client.connect()
  const simple = async (): Promise<unknown> => (await client.query('select email from customers')).rows[0]?.email
  const prepared = { name: 'by-id', text: 'select email from customers where id = $1', values: [1] }
  const again = async (): Promise<unknown> => (await client.query(prepared)).rows[0]?.email

  t.equal(await simple(), 'a@secret.example')
  t.equal(await again(), 'a@secret.example')
  await client.query('declare before cursor with hold for select email from customers')
  await become(world.oidc, alice, ['support'])
  t.equal(await simple(), '****')
  t.equal(await again(), '****', 'what was prepared before')
  const { rows } = await client.query('fetch all from before')
  t.same(rows, [{ email: '****' }], 'and a cursor that was opened before')
  await become(world.oidc, alice, ['support', 'engineers'])
  t.equal(await again(), '****', 'one group more takes no mask away')
  await become(world.oidc, alice, ['engineers'])
  t.equal(await again(), 'a@secret.example')
  await become(world.oidc, alice, ['guests'])
  await t.rejects(simple(), 'who has lost the target gets nothing more')
  await t.rejects(again())
  await client.end().catch(() => {})
})

t.test('requests on a connection that stays', async t => {
  await using world = await startHttpWorld({
    policy: policy('http', 'fields: [email]'),
    answers: { '/customers/1': answerWith('application/json', '{"email":"a@secret.example"}') },
  })
  const alice = await world.person('alice')
  await using gate = await alice.connect('billing-api')
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  const ports = new Set<number | undefined>()
  const ask = (): Promise<{ status: number | undefined; text: string }> =>
    new Promise((resolve, reject) => {
      get({ host: '127.0.0.1', port: gate.port, path: '/customers/1', agent }, response => {
        ports.add(response.socket.localPort)
        let text = ''
        response.setEncoding('utf8').on('data', part => {
          text += part
        })
        response.on('end', () => resolve({ status: response.statusCode, text }))
      }).on('error', reject)
    })

  t.match((await ask()).text, 'a@secret.example')
  await become(world.oidc, alice, ['support'])
  t.equal((await ask()).text, '{"email":"****"}')
  await become(world.oidc, alice, ['engineers'])
  t.match((await ask()).text, 'a@secret.example')
  t.equal(ports.size, 1, 'all of it on one connection')
  await become(world.oidc, alice, ['guests'])
  const { status, text } = await ask()
  t.equal(status, 403)
  t.notMatch(text, 'secret')
})
