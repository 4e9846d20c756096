// The agent's configuration and its key: every mistake with its place, and a key that is made once and stays.

import { createPublicKey, verify } from 'node:crypto'
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readAgentConfig } from '@gate/agent/config'
import { connectorFor } from '@gate/agent/connectors/registry'
import { makeKey, readKey } from '@gate/agent/identity'
import { GateError } from '@gate/shared/errors'
import t from 'tap'
import { temporaryDirectory } from '../support/tmp.ts'

const directory = await temporaryDirectory('agent')
t.teardown(() => directory[Symbol.asyncDispose]())
const file = join(directory.path, 'agent.yaml')

const good = `relay: http://127.0.0.1:8443/
name: db-agent
state: ./state
targets:
  - name: prod-db
    protocol: postgres
    labels: { env: prod }
    host: 127.0.0.1
    database: app
    user: gate_service
    password: { file: secrets/prod-db }
    sslrootcert: ca.pem
`

async function read(text: string) {
  await writeFile(file, text)
  return readAgentConfig(file)
}

/** The mistakes, each without the directory. */
async function mistakes(text: string): Promise<string[]> {
  try {
    await read(text)
  } catch (thrown) {
    if (thrown instanceof GateError && thrown.code === 'ERR_GATE_CONFIG')
      return thrown.message.split('\n').map(line => line.replace(`${directory.path}/`, ''))
    throw thrown
  }
  return []
}

t.test('a configuration is read with its defaults, and its paths are relative to it', async t => {
  t.match(await read(good), {
    relays: ['http://127.0.0.1:8443'],
    state: join(directory.path, 'state'),
    limits: { streams: 2000 },
    log: 'info',
    targets: [
      {
        port: 5432,
        sslmode: undefined,
        password: { file: join(directory.path, 'secrets/prod-db') },
        sslrootcert: join(directory.path, 'ca.pem'),
      },
    ],
  })
  const several = good
    .replace('http://127.0.0.1:8443/', '[https://a.example/, https://b.example]')
    .replace('./state', '/state')
  t.match(await read(several), { relays: ['https://a.example', 'https://b.example'], state: '/state' })
})

t.test('what the relay learns of a target is not where it is, nor how to get in', async t => {
  const [target] = (await read(good)).targets
  if (target === undefined) throw new Error('a target')
  t.same(connectorFor(target).announce(target), {
    name: 'prod-db',
    protocol: 'postgres',
    labels: { env: 'prod' },
    options: { database: 'app' },
  })
})

t.test('mistakes are reported with their place, all at once', async t => {
  t.match(
    await mistakes(`relay: ftp://gate
name: Bad Name
state: ./state
unknown: 1
targets:
  - name: prod-db
    protocol: oracle
  - name: prod-db
    protocol: postgres
    host: ""
    port: 70000
    database: app
    user: gate_service
    password: hunter2
    sslmode: maybe
`),
    [
      /^agent\.yaml:1:8: relay: /,
      /^agent\.yaml:2:7: name: /,
      /^agent\.yaml:7:15: targets\.0\.protocol: /,
      /^agent\.yaml:10:11: targets\.1\.host: /,
      /^agent\.yaml:11:11: targets\.1\.port: /,
      /^agent\.yaml:14:15: targets\.1\.password: /,
      /^agent\.yaml:15:14: targets\.1\.sslmode: /,
      /unknown/,
    ],
  )
})

t.test('each of these alone is a mistake, and no password is in its text', async t => {
  const password = '    password: { file: secrets/prod-db }\n'
  const wrong: [string, string, RegExp][] = [
    [good, '', /^agent\.yaml:1:1: /],
    ['relay: http://127.0.0.1:8443/', 'relay: []', /^agent\.yaml:1:8: relay/],
    ['relay: http://127.0.0.1:8443/', 'relay: 127.0.0.1:8443', /^agent\.yaml:1:8: relay/],
    ['name: db-agent', 'name: ../etc', /^agent\.yaml:2:7: name/],
    [password, '    password: { file: a, environment: hunter2 }\n', /targets\.0\.password/],
    [password, '    password: { command: [] }\n', /targets\.0\.password/],
    [password, '    password: { value: hunter2 }\n', /targets\.0\.password/],
    ['labels: { env: prod }', 'labels: { env: [prod] }', /^agent\.yaml:7:20: targets\.0\.labels\.env/],
    ['labels: { env: prod }', 'label: { env: prod }', /"label"/],
    ['    user: gate_service\n', '', /targets\.0\.user/],
    ['name: prod-db', 'name: prod-db\n    name: x', /unique/],
    [
      '    sslrootcert: ca.pem\n',
      '  - { name: prod-db, protocol: postgres, host: a, database: b, user: c }\n',
      /^agent\.yaml:5:3: targets: two targets named prod-db/,
    ],
  ]
  for (const [from, to, expected] of wrong) {
    const text = good.replace(from, to)
    t.not(text, good)
    const found = (await mistakes(text)).join('\n')
    t.match(found, expected, to)
    t.notMatch(found, 'hunter2')
  }
})

const service = (lines: string): string => `relay: http://127.0.0.1:8443/
name: web-agent
state: ./state
targets:
  - name: billing-api
    protocol: http
    url: https://billing.internal:8443/base
${lines}`

t.test('an HTTP target is read with its defaults, and its paths are relative to the file', async t => {
  t.match((await read(service(''))).targets, [
    { labels: {}, pass: [], redirects: [], timeouts: { connect: 10_000, headers: 300_000, body: 300_000 } },
  ])
  const at = (file: string): string => join(directory.path, file)
  t.match(
    (
      await read(
        service(`    ca: ca.pem
    client_certificate: c.pem
    client_key: k.pem
    tls_server_name: billing
    timeouts: { connect: 2s, headers: 1h }
    credential: { oauth2: { token_url: 'https://sso/token', client_id: a, client_secret: { file: s }, ca: sso.pem } }
`),
      )
    ).targets,
    [
      {
        ca: at('ca.pem'),
        client_certificate: at('c.pem'),
        client_key: at('k.pem'),
        timeouts: { connect: 2_000, headers: 3_600_000 },
        credential: { oauth2: { client_secret: { file: at('s') }, ca: at('sso.pem'), scopes: [], auth: 'basic' } },
      },
    ],
  )
  for (const [credential, expected] of [
    ['{ bearer: { file: s } }', { bearer: { file: at('s') } }],
    ['{ basic: { user: u, password: { file: s } } }', { basic: { password: { file: at('s') } } }],
    ['{ header: { name: X-Api-Key, value: { file: s } } }', { header: { value: { file: at('s') } } }],
    [
      '{ aws_sigv4: { region: r, service: s3, access_key_id: { file: i }, secret_access_key: { file: s }, session_token: { file: t } } }',
      {
        aws_sigv4: {
          access_key_id: { file: at('i') },
          secret_access_key: { file: at('s') },
          session_token: { file: at('t') },
        },
      },
    ],
  ] as const)
    t.match((await read(service(`    credential: ${credential}\n`))).targets, [{ credential: expected }])
})

t.test('what the relay learns of an HTTP target is not where it is, nor how to get in', async t => {
  const [target] = (await read(service('    credential: { bearer: { file: s } }\n'))).targets
  if (target === undefined) throw new Error('a target')
  const announced = { name: 'billing-api', protocol: 'http', labels: {}, options: {} }
  t.same(connectorFor(target).announce(target), announced)
  const approvals = '    require_approval: [delete]\n    approver_keys: [aaaaaaaaaaaaaaaaaaaaaaaaaa]\n'
  const [careful = target] = (await read(service(approvals))).targets
  t.same(connectorFor(careful).announce(careful), { ...announced, options: { commands: 'declared' } })
})

t.test('each of these alone is a mistake of an HTTP target', async t => {
  for (const [lines, expected] of [
    ["require_approval: ['*']", /require_approval and approver_keys go together/],
    ['approver_keys: [aaaaaaaaaaaaaaaaaaaaaaaaaa]', /require_approval and approver_keys go together/],
    [
      'require_approval: [DELETE, put]\n    approver_keys: [aaaaaaaaaaaaaaaaaaaaaaaaaa]',
      /takes methods in lower case, not DELETE/,
    ],
    ['credential: { bearer: { file: s }, basic: { user: a, password: { file: s } } }', /credential/],
    ['credential: {}', /credential/],
    ['credential: { bearer: hunter2 }', /credential\.bearer/],
    ['credential: { basic: { user: "a:b", password: { file: s } } }', /credential\.basic\.user/],
    ['credential: { header: { name: Host, value: { file: s } } }', /cannot carry a credential/],
    ['credential: { header: { name: Cookie, value: { file: s } } }', /cannot carry a credential/],
    ['credential: { header: { name: "a b", value: { file: s } } }', /name of a header/],
    [
      "credential: { oauth2: { token_url: 'http://sso/token', client_id: a, client_secret: { file: s } } }",
      /expected https/,
    ],
    ['credential: { bearer: { file: s } }\n    pass: [authorization]', /cannot pass beside it/],
    ['pass: [everything]', /pass\.0/],
    ["redirects: ['https://sso.example.com/']", /redirects\.0/],
    ['client_key: k.pem', /client_certificate and client_key go together/],
    ['timeouts: { connect: 10 }', /timeouts\.connect/],
    ['timeouts: { body: 100h }', /timeouts\.body/],
    ['timeouts: { idle: 10s }', /"idle"/],
    ['http2: true', /"http2"/],
  ] as const) {
    const found = (await mistakes(service(`    ${lines}\n`))).join('\n')
    t.match(found, expected, lines)
    t.notMatch(found, 'hunter2')
  }
  for (const url of ['ftp://a', 'https://user:hunter2@a', 'https://a/?b', 'https://a/#b', 'a']) {
    const found = (await mistakes(service('').replace('https://billing.internal:8443/base', url))).join('\n')
    t.match(found, /targets\.0\.url/, url)
    t.notMatch(found, 'hunter2')
  }
  const plain = service('    ca: ca.pem\n').replace('https:', 'http:')
  t.match((await mistakes(plain)).join('\n'), /need an https url/)
})

t.test('a file that is not there says so', async t => {
  await t.rejects(readAgentConfig(join(directory.path, 'none.yaml')), { code: 'ERR_GATE_CONFIG', message: /ENOENT/ })
  await t.rejects(readAgentConfig(directory.path), { code: 'ERR_GATE_CONFIG', message: /EISDIR/ })
})

t.test('an agent’s key is made once, kept where only it can read, and signs', async t => {
  const state = join(directory.path, 'a', 'state')
  await t.rejects(readKey(state), { code: 'ERR_GATE_UNAUTHENTICATED', hint: /gate-agent enroll/ })
  const old = process.umask(0)
  try {
    const made = await makeKey(state)
    t.equal((await stat(state)).mode & 0o777, 0o700)
    t.equal((await stat(join(state, 'agent.key'))).mode & 0o777, 0o600)
    t.equal((await makeKey(state)).publicKey, made.publicKey)
    const read = await readKey(state)
    t.equal(read.publicKey, made.publicKey)
    const key = createPublicKey({ key: Buffer.from(made.publicKey, 'base64url'), format: 'der', type: 'spki' })
    t.equal(key.asymmetricKeyType, 'ed25519')
    const bytes = Buffer.from('nonce')
    t.ok(verify(null, bytes, key, Buffer.from(read.sign(bytes), 'base64url')))
    t.notOk(verify(null, Buffer.from('other'), key, Buffer.from(read.sign(bytes), 'base64url')))
    t.notMatch(JSON.stringify(made) + made.publicKey, 'PRIVATE')
  } finally {
    process.umask(old)
  }
})

t.test('a key that cannot be read is not replaced', async t => {
  const state = join(directory.path, 'broken')
  await mkdir(state)
  await writeFile(join(state, 'agent.key'), 'no key')
  for (const use of [readKey, makeKey]) await t.rejects(use(state), { code: 'ERR_GATE_UNAUTHENTICATED' })
  t.equal(await readFile(join(state, 'agent.key'), 'utf8'), 'no key')
})
