// Access tokens by the client credentials grant, from a real provider, for a service that asks it about them.

import { createServer } from 'node:http'
import { TokenSource } from '@gate/agent/connectors/http/oauth2'
import { httpTarget } from '@gate/agent/http-target'
import Provider from 'oidc-provider'
import t from 'tap'
import { request } from 'undici'
import { createHandClock } from '../../support/clock.ts'
import { gateError, startFront, startService } from '../../support/http-connector.ts'
import { freePort } from '../../support/net.ts'

const SECRET = 'hunter2+/%&=:'
process.env['GATE_TEST_SECRET'] = SECRET

interface TokenServer extends AsyncDisposable {
  readonly url: string
  readonly provider: Provider
  readonly asked: string[]
  lifetimeSeconds: number
}

/** oidc-provider with the client credentials grant for one client, by each way to prove itself. */
async function startTokens(): Promise<TokenServer> {
  const port = await freePort()
  const issuer = `http://127.0.0.1:${port}`
  const client = (id: string, method: 'client_secret_basic' | 'client_secret_post') => ({
    client_id: id,
    client_secret: SECRET,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    token_endpoint_auth_method: method,
  })
  const state = { lifetimeSeconds: 600 }
  const provider = new Provider(issuer, {
    clients: [client('by basic:+%', 'client_secret_basic'), client('by-post', 'client_secret_post')] as never,
    scopes: ['read', 'write'],
    ttl: { ClientCredentials: () => state.lifetimeSeconds },
    features: { clientCredentials: { enabled: true }, devInteractions: { enabled: false } },
    cookies: { keys: ['a test provider has nothing to protect'] },
  })
  const asked: string[] = []
  const handle = provider.callback()
  const server = createServer((incoming, outgoing) => {
    asked.push(`${incoming.method} ${incoming.url}`)
    void handle(incoming, outgoing)
  })
  await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
  return Object.assign(state, {
    url: `${issuer}/token`,
    provider,
    asked,
    [Symbol.asyncDispose]: () =>
      new Promise<void>(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  })
}

t.test('OAuth 2: one token for all, with the scopes, by either way to prove oneself', async t => {
  await using tokens = await startTokens()
  for (const [client_id, auth] of [
    ['by basic:+%', 'basic'],
    ['by-post', 'post'],
  ] as const) {
    tokens.asked.length = 0
    const accepted: (string | undefined)[] = []
    await using service = await startService((incoming, outgoing) => {
      const token = incoming.headers.authorization?.replace(/^Bearer /, '') ?? ''
      tokens.provider.ClientCredentials.find(token).then(
        found => {
          accepted.push(found?.scope)
          outgoing.writeHead(found === undefined ? 401 : 200).end()
        },
        () => outgoing.destroy(),
      )
    })
    await using front = await startFront({
      url: service.url,
      credential: {
        oauth2: {
          token_url: tokens.url,
          client_id,
          client_secret: { environment: 'GATE_TEST_SECRET' },
          scopes: ['read', 'write'],
          auth,
        },
      },
    })
    const statuses = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const answer = await request(front.url)
        await answer.body.dump()
        return answer.statusCode
      }),
    )
    t.same(new Set(statuses), new Set([200]), auth)
    t.same(new Set(accepted), new Set(['read write']), auth)
    t.same(tokens.asked, ['POST /token'], auth)
  }
})

t.test('OAuth 2: a token is renewed before it expires, and once after it was refused', async t => {
  await using tokens = await startTokens()
  const clock = createHandClock()
  const config = httpTarget.parse({
    name: 'billing-api',
    protocol: 'http',
    url: 'http://127.0.0.1',
    credential: {
      oauth2: {
        token_url: tokens.url,
        client_id: 'by-post',
        client_secret: { environment: 'X' },
        scopes: ['read'],
        auth: 'post',
      },
    },
  }).credential
  if (config === undefined || !('oauth2' in config)) throw new Error('oauth2')
  const source = new TokenSource('billing-api', config.oauth2, async () => SECRET, clock)
  const first = await source.token()
  clock.advance(569_000)
  t.equal(await source.token(), first)
  clock.advance(2_000)
  const second = await source.token()
  t.not(second, first)

  source.refused(first)
  await new Promise(resolve => setImmediate(resolve))
  t.equal(await source.token(), second, 'a token of before was refused, not this one')
  source.refused(second)
  await new Promise(resolve => setImmediate(resolve))
  const third = await source.token()
  t.not(third, second)
  source.refused(third)
  await new Promise(resolve => setImmediate(resolve))
  t.equal(await source.token(), third, 'a service that refuses every token is no reason to ask for ever more')
  clock.advance(11_000)
  source.refused(third)
  await new Promise(resolve => setImmediate(resolve))
  t.not(await source.token(), third)

  // One that hardly lives is used for half its life.
  tokens.lifetimeSeconds = 20
  clock.advance(600_000)
  const short = await source.token()
  clock.advance(9_000)
  t.equal(await source.token(), short)
  clock.advance(2_000)
  t.not(await source.token(), short)
})

t.test('OAuth 2: a request that was refused is not repeated, the next one has a new token', async t => {
  await using tokens = await startTokens()
  const seen: string[] = []
  await using service = await startService((incoming, outgoing) => {
    seen.push(incoming.headers.authorization ?? '')
    outgoing.writeHead(seen.length === 1 ? 401 : 200, { 'www-authenticate': 'Bearer' }).end()
  })
  await using front = await startFront({
    url: service.url,
    credential: {
      oauth2: {
        token_url: tokens.url,
        client_id: 'by-post',
        client_secret: { environment: 'GATE_TEST_SECRET' },
        auth: 'post',
      },
    },
  })
  const first = await request(front.url, { method: 'POST', body: 'x' })
  await first.body.dump()
  t.equal(first.statusCode, 401)
  t.equal(first.headers['www-authenticate'], undefined)
  t.equal(seen.length, 1)
  const second = await request(front.url)
  await second.body.dump()
  t.equal(second.statusCode, 200)
  t.not(seen[1], seen[0])
})

t.test('OAuth 2: no token, no request; the error says why and holds no secret', async t => {
  await using tokens = await startTokens()
  await using service = await startService(() => {})
  process.env['GATE_TEST_WRONG'] = 'wrong-secret'
  const oauth2 = {
    token_url: tokens.url,
    client_id: 'by-post',
    client_secret: { environment: 'GATE_TEST_WRONG' },
    auth: 'post',
  }
  for (const [settings, expected] of [
    [oauth2, /answered 401: invalid_client/],
    [{ ...oauth2, token_url: `http://127.0.0.1:${await freePort()}/` }, /ECONNREFUSED/],
    [{ ...oauth2, token_url: service.url.replace('http', 'https') }, /does not answer/],
    [{ ...oauth2, token_url: `${tokens.url}/no` }, /answered 40\d/],
  ] as const) {
    await using front = await startFront({ url: service.url, credential: { oauth2: settings } })
    const error = await gateError(await request(front.url))
    t.match(error, { status: 502, header: 'ERR_GATE_TARGET_LOGIN', body: { message: expected } })
    t.notMatch(JSON.stringify(error), /wrong-secret|127\.0\.0\.1/)
  }
})
