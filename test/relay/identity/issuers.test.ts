// ID tokens of real providers, signed with real keys: who passes, and every way in which a token is not what it says.
import { createHmac, randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { IssuerConfig } from '@gate/relay/config'
import { createIssuers, type Issuers } from '@gate/relay/identity/issuers'
import { GateError } from '@gate/shared/errors'
import fc from 'fast-check'
import { exportJWK, exportSPKI, generateKeyPair, type JWK, type JWTPayload, SignJWT } from 'jose'
import t from 'tap'
import { freePort } from '../../support/net.ts'

interface Key {
  readonly jwk: JWK
  readonly kid: string
  readonly alg: string
  readonly privateKey: Awaited<ReturnType<typeof generateKeyPair>>['privateKey']
  readonly publicKey: Awaited<ReturnType<typeof generateKeyPair>>['publicKey']
}

async function newKey(alg = 'ES256'): Promise<Key> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true })
  const kid = randomUUID()
  return { privateKey, publicKey, kid, alg, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' } }
}

/** A provider as far as the relay sees one: metadata and keys over HTTP. oidc-provider cannot be made to sign what it must not. */
async function startProvider(port = 0) {
  let keys: Key[] = [await newKey()]
  const asked = { metadata: 0, keys: 0 }
  let answer: (request: IncomingMessage, response: ServerResponse) => boolean = () => false
  const server = createServer((request, response) => {
    if (answer(request, response)) return
    response.setHeader('content-type', 'application/json')
    if (request.url === '/keys') {
      asked.keys += 1
      response.end(JSON.stringify({ keys: keys.map(({ jwk }) => jwk) }))
    } else if (request.url === '/.well-known/openid-configuration') {
      asked.metadata += 1
      response.end(JSON.stringify({ issuer, jwks_uri: `${issuer}/keys`, authorization_endpoint: `${issuer}/auth` }))
    } else {
      response.statusCode = 404
      response.end('{}')
    }
  })
  await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    issuer,
    asked,
    get key(): Key {
      const [key] = keys
      if (key === undefined) throw new Error('no key')
      return key
    },
    publish: (next: Key[]) => {
      keys = next
    },
    answerWith: (next: typeof answer) => {
      answer = next
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}
type Provider = Awaited<ReturnType<typeof startProvider>>

const config = (issuer: string, more: Partial<IssuerConfig> = {}): IssuerConfig => ({
  issuer,
  client_id: 'gate-cli',
  scopes: ['openid'],
  groups_claim: 'groups',
  group_prefix: '',
  algorithms: ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'],
  clock_tolerance: 30_000,
  ...more,
})

const seconds = (ahead: number): number => Math.floor(Date.now() / 1000) + ahead

/** Claims as they should not be, too. */
type Claims = Record<string, unknown>

const claims = (provider: Provider, more: Claims = {}): Claims => ({
  iss: provider.issuer,
  aud: 'gate-cli',
  sub: 'alice',
  iat: seconds(0),
  exp: seconds(600),
  email: 'alice@example.com',
  name: 'Alice Ash',
  groups: ['engineers'],
  ...more,
})

const sign = (payload: Claims, key: Key, header: Record<string, unknown> = {}): Promise<string> =>
  new SignJWT(payload as JWTPayload).setProtectedHeader({ alg: key.alg, kid: key.kid, ...header }).sign(key.privateKey)

const base64 = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

/** What the relay says; never more than that it is not accepted, and why. */
async function refusal(issuers: Issuers, token: string): Promise<string> {
  try {
    const { subject } = await issuers.verify(token)
    return `ACCEPTED ${subject.id}`
  } catch (thrown) {
    if (!(thrown instanceof GateError)) return `threw ${String(thrown)}`
    if (thrown.code !== 'ERR_GATE_TOKEN') return `${thrown.code} ${thrown.message}`
    return thrown.message.replace(/^the ID token is not accepted: /, '')
  }
}

const provider = await startProvider()
t.teardown(() => provider[Symbol.asyncDispose]())
const issuers = createIssuers([config(provider.issuer)])
const accepted = async (more: Claims, own = issuers) =>
  (await own.verify(await sign(claims(provider, more), provider.key))).subject
const refused = async (more: Claims, own = issuers, header: Record<string, unknown> = {}): Promise<string> =>
  refusal(own, await sign(claims(provider, more), provider.key, header))

t.test('a good token is the person that it names', async t => {
  const exp = seconds(300)
  const { subject, expiresMs } = await issuers.verify(await sign(claims(provider, { exp }), provider.key))
  t.equal(expiresMs, exp * 1000)
  t.same(subject, {
    id: `${provider.issuer}|alice`,
    issuer: provider.issuer,
    email: 'alice@example.com',
    name: 'Alice Ash',
    groups: ['engineers'],
  })
  t.match(await accepted({ email_verified: true }), { email: 'alice@example.com' })
  t.match(await accepted({ aud: ['gate-cli'] }), { id: /alice/ })
  t.match(await accepted({ aud: ['other', 'gate-cli'], azp: 'gate-cli' }), { id: /alice/ })
  t.match(await accepted({ name: undefined, email: undefined, groups: undefined }), {
    name: undefined,
    email: undefined,
    groups: [],
  })
  t.same(provider.asked, { metadata: 1, keys: 1 }, 'and the provider was asked once')
})

t.test('an address that nobody verified is not taken for the person’s', async t => {
  for (const email_verified of [false, 'false']) {
    t.equal((await accepted({ email_verified })).email, undefined, JSON.stringify(email_verified))
  }
  t.equal((await accepted({ email_verified: 'true' })).email, 'alice@example.com')
  t.equal((await accepted({ email: { a: 1 }, name: ['x'] })).email, undefined)
  t.equal((await accepted({ name: 'x'.repeat(2000) })).name?.length, 512)
})

t.test('a token that says it needs no signature, or takes the public key for a shared secret, is refused', async t => {
  const { key } = provider
  const body = base64(claims(provider))
  for (const alg of ['none', 'None', 'NONE', '', null]) {
    const head = base64({ alg, kid: key.kid })
    for (const token of [`${head}.${body}.`, `${head}.${body}.AAAA`, `${head}.${body}`]) {
      t.notMatch(await refusal(issuers, token), /ACCEPTED|threw|ERR_/, `${alg}`)
    }
  }
  const rsa = await newKey('RS256')
  provider.publish([rsa])
  const fresh = createIssuers([config(provider.issuer)])
  t.match(await refusal(fresh, await sign(claims(provider), rsa)), /^ACCEPTED/)
  const secrets = [
    await exportSPKI(rsa.publicKey),
    JSON.stringify(rsa.jwk),
    Buffer.from(rsa.jwk.n ?? '', 'base64url'),
    '',
  ]
  for (const secret of secrets) {
    for (const header of [{ alg: 'HS256', kid: rsa.kid }, { alg: 'HS256' }]) {
      const signed = `${base64(header)}.${body}`
      const mac = createHmac('sha256', secret).update(signed).digest('base64url')
      t.equal(await refusal(fresh, `${signed}.${mac}`), 'its signature algorithm is not allowed')
    }
  }
  // An algorithm that the relay's file does not list, though the provider's key is good.
  const strict = createIssuers([config(provider.issuer, { algorithms: ['ES256'] })])
  t.equal(await refusal(strict, await sign(claims(provider), rsa)), 'its signature algorithm is not allowed')
  provider.publish([key])
})

t.test('a token with another’s signature, or with a key of its own, is refused', async t => {
  const own = await newKey()
  const { kid } = provider.key
  const body = claims(provider)
  t.equal(await refusal(issuers, await sign(body, own, { kid })), 'its signature is wrong')
  t.equal(await refusal(issuers, await sign(body, own, { kid, jwk: own.jwk })), 'its signature is wrong')
  const jku = `${provider.issuer}/evil`
  t.equal(await refusal(issuers, await sign(body, own, { kid, jku, x5u: jku })), 'its signature is wrong')
  t.equal(await refusal(issuers, await sign(body, own)), 'it is signed with a key that the provider does not publish')
  const [head = '', , signature = ''] = (await sign(body, provider.key)).split('.')
  t.equal(await refusal(issuers, `${head}.${base64({ ...body, sub: 'bob' })}.${signature}`), 'its signature is wrong')
  const critical = await new SignJWT(body as JWTPayload)
    .setProtectedHeader({ alg: provider.key.alg, kid, crit: ['must'], must: true })
    .sign(provider.key.privateKey, { crit: { must: true } })
  t.equal(await refusal(issuers, critical), 'it cannot be verified', 'a rule that the relay does not know')
})

t.test('a token for somebody else, from somebody else, or of another kind is refused', async t => {
  t.equal(await refused({ aud: 'another-client' }), 'it is for another audience')
  t.equal(await refused({ aud: ['another-client'] }), 'it is for another audience')
  t.equal(await refused({ aud: 'gate-cli ' }), 'it is for another audience')
  t.equal(await refused({ aud: undefined }), 'it is for another audience')
  t.equal(await refused({ aud: ['gate-cli', 'other'] }), 'it has several audiences and no azp')
  t.equal(await refused({ azp: 'other' }), 'it was issued to another client (azp)')
  t.equal(await refused({ aud: ['gate-cli', 'other'], azp: 'other' }), 'it was issued to another client (azp)')
  t.equal(await refused({ azp: ['gate-cli'] }), 'it was issued to another client (azp)')
  for (const iss of [`${provider.issuer}/`, 'https://evil.example', '', undefined, [provider.issuer], { a: 1 }, 5]) {
    t.equal(await refused({ iss }), 'its issuer is not one of this relay', JSON.stringify(iss))
  }
  for (const typ of ['at+jwt', 'AT+JWT', 'application/at+jwt']) {
    t.equal(await refused({}, issuers, { typ }), 'it is an access token')
  }
  t.match(await refused({}, issuers, { typ: 'JWT' }), /^ACCEPTED/)
})

t.test('a token that is too old, from the future, or without its times is refused', async t => {
  t.equal(await refused({ exp: seconds(-31) }), 'it has expired')
  t.match(await refused({ exp: seconds(-20) }), /^ACCEPTED/, 'the clocks may differ by half a minute')
  t.equal(await refused({ nbf: seconds(60) }), 'it is not valid yet (nbf)')
  t.match(await refused({ nbf: seconds(20) }), /^ACCEPTED/)
  t.equal(await refused({ iat: seconds(60) }), 'it was issued in the future; check the clocks')
  t.match(await refused({ iat: seconds(20) }), /^ACCEPTED/)
  const strict = createIssuers([config(provider.issuer, { clock_tolerance: 0 })])
  t.equal(await refused({ exp: seconds(-2) }, strict), 'it has expired')
  for (const claim of ['exp', 'iat', 'sub']) {
    t.equal(await refused({ [claim]: undefined }), `the claim ${claim} is missing or wrong`)
  }
  for (const claim of ['exp', 'iat', 'nbf']) {
    for (const value of ['2099-01-01', [seconds(60)], null, {}]) {
      t.notMatch(await refused({ [claim]: value }), /ACCEPTED|threw|ERR_/, `${claim} ${JSON.stringify(value)}`)
    }
  }
})

t.test('a sub that is no text is nobody', async t => {
  for (const sub of ['', 'x'.repeat(513), 5, true, null, {}, ['alice'], { length: 1 }]) {
    t.match(await refused({ sub }), /sub is missing|claim sub is missing/, JSON.stringify(sub).slice(0, 40))
  }
})

t.test('groups', async t => {
  await t.test('that are no list of names are refused, not left out', async t => {
    const wrong = ['engineers', 5, true, null, { 0: 'dba' }, [['dba']], ['dba', 5], ['dba', null], ['x'.repeat(513)]]
    for (const groups of [...wrong, Array.from({ length: 1001 }, (_, index) => `g${index}`)]) {
      t.equal(
        await refused({ groups }),
        'the claim groups is no list of at most 1000 group names',
        JSON.stringify(groups).slice(0, 40),
      )
    }
    t.equal((await accepted({ groups: Array.from({ length: 1000 }, (_, index) => `g${index}`) })).groups.length, 1000)
    t.match((await accepted({ groups: ['dba', 'dba'] })).groups, ['dba'])
  })

  await t.test('that the provider cut short are refused, in both ways that Microsoft Entra says so', async t => {
    const cut = /^the provider cut the claim groups short/
    const _claim_names = { groups: 'src1' }
    const _claim_sources = { src1: { endpoint: 'https://graph.example/groups' } }
    t.match(await refused({ groups: undefined, _claim_names, _claim_sources }), cut)
    t.match(await refused({ groups: ['dba'], _claim_names, _claim_sources }), cut)
    t.match(await refused({ groups: undefined, hasgroups: true }), cut)
    t.match(await refused({ _claim_names: { roles: 'src1' } }), /^ACCEPTED/)
    t.match(await refused({ _claim_names: 'groups', hasgroups: false }), /^ACCEPTED/)
  })

  await t.test('come from the claim that the relay’s file names, with its prefix', async t => {
    const url = 'https://example.com/roles'
    const own = createIssuers([config(provider.issuer, { groups_claim: url, group_prefix: 'corp:' })])
    t.same((await accepted({ [url]: ['dba', ''] }, own)).groups, ['corp:dba', 'corp:'])
    t.same((await accepted({}, own)).groups, [], 'and from no other')
    for (const groups_claim of ['__proto__', 'constructor', 'toString']) {
      const odd = createIssuers([config(provider.issuer, { groups_claim })])
      t.same((await accepted({}, odd)).groups, [], groups_claim)
    }
  })
})

t.test('a token that is huge is refused unread, and garbage is garbage', async t => {
  const before = { ...provider.asked }
  t.equal(await refused({ padding: 'x'.repeat(16 * 1024) }), 'it is too long')
  t.match(await refused({ padding: 'x'.repeat(8 * 1024) }), /^ACCEPTED/)
  const body = base64(claims(provider))
  const garbage = [
    ...['', '.', '..', '...', 'a.b.c', `${body}`, `.${body}.`, `x.${body}.y`, `${base64('{')}.${body}.y`, '\0.\0.\0'],
    ...[`${base64('null')}.${body}.y`, `${base64('[]')}.${body}.y`, `${base64('"x"')}.${body}.y`, `a.${body}.b.c.d`],
    ...[`${base64({ alg: 'ES256', typ: 5 })}.${body}.y`, `${base64({ alg: {}, typ: {} })}.${body}.y`],
    ...[
      `${base64({ alg: 'ES256', kid: 5 })}.${body}.y`,
      `${base64({ alg: 'ES256', kid: provider.key.kid })}.${body}.é`,
    ],
    ...[`${base64({})}.${base64('null')}.`, `${base64({})}.${base64('[]')}.`, `${base64({})}.${base64('"x"')}.`],
  ]
  for (const token of garbage)
    t.notMatch(await refusal(issuers, token), /ACCEPTED|threw|ERR_/, JSON.stringify(token).slice(0, 60))
  const json = fc.json({ maxDepth: 2 })
  const header = fc.record({ alg: fc.jsonValue(), typ: fc.jsonValue(), kid: fc.jsonValue() }, { requiredKeys: [] })
  const part = fc.oneof(fc.string(), json.map(base64), header.map(base64), fc.constant(body))
  await fc.assert(
    fc.asyncProperty(fc.array(part, { maxLength: 5 }), async parts => {
      const said = await refusal(issuers, parts.join('.'))
      return !/ACCEPTED|threw|ERR_/.test(said)
    }),
    { numRuns: 500 },
  )
  t.equal(provider.asked.metadata, before.metadata)
})

t.test('keys that the provider exchanges', async t => {
  await using rotating = await startProvider()
  const own = createIssuers([config(rotating.issuer)])
  const old = rotating.key
  const verify = async (key: Key): Promise<string> => refusal(own, await sign(claims(rotating), key))
  t.match(await verify(old), /^ACCEPTED/)
  const next = await newKey('RS256')
  rotating.publish([next, old])
  t.equal(await verify(next), 'it is signed with a key that the provider does not publish', 'asked a moment ago')
  t.equal(rotating.asked.keys, 1, 'a flood of unknown keys is no flood for the provider')
  // Date.now alone is a fake here: keys are read again at most every 30 seconds.
  const { now } = Date
  try {
    Date.now = () => now() + 31_000
    t.match(await verify(next), /^ACCEPTED/)
    t.match(await verify(old), /^ACCEPTED/, 'both, while both are published')
    t.equal(rotating.asked.keys, 2)
    rotating.publish([next])
    Date.now = () => now() + 12 * 60_000
    t.equal(
      await refusal(own, await sign(claims(rotating), next)).then(said => said.slice(0, 8)),
      'ACCEPTED',
      'read anew after ten minutes',
    )
    t.equal(await verify(old), 'it is signed with a key that the provider does not publish')
  } finally {
    Date.now = now
  }
})

t.test('several providers', async t => {
  await using other = await startProvider()
  const both = createIssuers([config(provider.issuer), config(other.issuer, { group_prefix: 'partner:' })])

  await t.test('that each have an alice have two people of that name', async t => {
    const first = (await both.verify(await sign(claims(provider), provider.key))).subject
    const second = (await both.verify(await sign(claims(other), other.key))).subject
    t.not(first.id, second.id)
    t.same([first.groups, second.groups], [['engineers'], ['partner:engineers']])
  })

  await t.test('cannot speak for each other', async t => {
    t.match(
      await refusal(both, await sign(claims(provider), other.key)),
      'it is signed with a key that the provider does not publish',
    )
    t.equal(
      await refusal(both, await sign(claims(provider), other.key, { kid: provider.key.kid })),
      'its signature is wrong',
    )
    other.publish([{ ...other.key, jwk: { ...other.key.jwk, kid: provider.key.kid } }])
    t.equal(
      await refusal(both, await sign(claims(provider), other.key, { kid: provider.key.kid })),
      'its signature is wrong',
      'also when one publishes its key under the other’s name',
    )
  })
})

t.test('a provider that does not answer lets nobody in, and is found when it comes back', async t => {
  const port = await freePort()
  const gone = `http://127.0.0.1:${port}`
  const own = createIssuers([config(gone)])
  const unsigned = `${base64({ alg: 'ES256' })}.${base64({ iss: gone })}.AAAA`
  await t.rejects(own.verify(unsigned), { code: 'ERR_GATE_UNAUTHENTICATED', message: /does not answer/ })
  await using back = await startProvider(port)
  t.match(await refusal(own, await sign(claims(back), back.key)), /^ACCEPTED/)
})

t.test('a provider whose answers are wrong lets nobody in', async t => {
  await using odd = await startProvider()
  const json = (response: ServerResponse, body: unknown): true => {
    response.setHeader('content-type', 'application/json')
    response.end(typeof body === 'string' ? body : JSON.stringify(body))
    return true
  }
  const metadata = { issuer: odd.issuer, jwks_uri: `${odd.issuer}/keys` }
  const wrong: [string, (request: IncomingMessage, response: ServerResponse) => boolean][] = [
    ['the metadata of another issuer', (_, response) => json(response, { ...metadata, issuer: provider.issuer })],
    ['metadata without keys', (_, response) => json(response, { issuer: odd.issuer })],
    ['no JSON', (_, response) => json(response, '<html>')],
    [
      'an error instead of keys',
      (request, response) => {
        if (request.url !== '/keys') return false
        response.statusCode = 500
        return json(response, 'the database is down')
      },
    ],
    ['keys that are none', (request, response) => request.url === '/keys' && json(response, { keys: 'x' })],
  ]
  for (const [what, answer] of wrong) {
    odd.answerWith(answer)
    const said = await refusal(createIssuers([config(odd.issuer)]), await sign(claims(odd), odd.key))
    t.notMatch(said, /ACCEPTED|threw|database/, `${what}: ${said}`)
  }
})
