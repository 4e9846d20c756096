// How the agent logs in to HTTP services: each kind against a service that checks it, and never a word of it in errors.

import { rm, writeFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { join } from 'node:path'
import t from 'tap'
import { Client, type Dispatcher, request } from 'undici'
import { gateError, startFront, startService } from '../../support/http-connector.ts'
import { temporaryDirectory } from '../../support/tmp.ts'

const SECRET = 'hunter2+/%&=:'
process.env['GATE_TEST_SECRET'] = SECRET
process.env['GATE_TEST_TOKEN'] = 'abc.def-ghi'
process.env['GATE_TEST_LINES'] = 'abc\r\nX-Admin: yes'

/** What a service sees of one request through the agent. */
async function seenBy(settings: object, headers: Record<string, string> = {}): Promise<IncomingMessage['headers']> {
  let seen: IncomingMessage['headers'] = {}
  await using service = await startService((incoming, outgoing) => {
    seen = incoming.headers
    outgoing.end()
  })
  await using front = await startFront({ url: service.url, ...settings })
  await (await request(front.url, { headers })).body.dump()
  return seen
}

t.test('bearer, basic and a header of any name take the place of what the client says', async t => {
  const mine = {
    authorization: 'Bearer mine',
    'x-api-key': 'mine',
    X_Api_Key: 'mine',
    'x.api.key': 'mine',
    'X!Api~Key': 'mine',
  }
  t.match(await seenBy({ credential: { bearer: { environment: 'GATE_TEST_TOKEN' } } }, mine), {
    authorization: 'Bearer abc.def-ghi',
  })
  const basic = await seenBy(
    { credential: { basic: { user: 'gate', password: { environment: 'GATE_TEST_SECRET' } } } },
    mine,
  )
  t.equal(Buffer.from(basic.authorization?.slice(6) ?? '', 'base64').toString(), `gate:${SECRET}`)
  const header = await seenBy(
    {
      credential: { header: { name: 'X-Api-Key', value: { environment: 'GATE_TEST_TOKEN' } } },
      pass: ['authorization'],
    },
    mine,
  )
  t.match(header, { authorization: 'Bearer mine', 'x-api-key': 'abc.def-ghi' })
  for (const name of ['x_api_key', 'x.api.key', 'x!api~key']) t.equal(header[name], undefined, name)
  t.equal((await seenBy({}, mine)).authorization, undefined)
})

const ownKeys = {
  ...{ 'x-api-key': '1', api_key: '2', 'private-token': '3', 'x-vault-token': '4', 'x-amz-security-token': '5' },
  ...{ 'ocp-apim-subscription-key': '6', sudo: 'root', 'impersonate-user': 'root', 'x.auth.token': '9' },
}
const otherFields = { 'x-csrf-token': '1', 'lock-token': '2', 'x-request-id': '3', 'x-ms-continuation-token': '4' }

t.test('keys of the client’s own do not speak beside the credential, unless the target lets them', async t => {
  const credential = { bearer: { environment: 'GATE_TEST_TOKEN' } }
  const all = { ...ownKeys, ...otherFields }
  const kept = async (settings: object): Promise<string[]> => {
    const seen = await seenBy(settings, all)
    return Object.keys(all).filter(name => seen[name] !== undefined)
  }
  t.same(await kept({ credential }), Object.keys(otherFields))
  t.same(await kept({ credential, pass: ['X-API-Key', 'sudo'] }), ['x-api-key', 'sudo', ...Object.keys(otherFields)])
  t.same(await kept({}), Object.keys(all), 'where nobody else logs in')
  const asked: string[] = []
  await using service = await startService((incoming, outgoing) => {
    asked.push(incoming.url ?? '')
    outgoing.end()
  })
  await using front = await startFront({ url: service.url, credential, pass: ['private_token', 'jwt'] })
  for (const query of [
    ...['access_token=1', 'a=1&API%5FKEY=2', 'a;apikey=1', 'access_token[]=1', 'accessToken', 'subscription-key=1'],
    ...['X-Amz-Credential=1', 'sudo=root', 'x-api-key=', '?oauth_token=1'],
    // What stands in it tells.
    ...[
      'token=eyJhbGciOiJub25lIn0.eyJzdWIiOiJib2IifQ.',
      `a=1;key=AIza${'x'.repeat(35)}`,
      `Token=ghp_${'x'.repeat(36)}`,
    ],
    ...['sv=2024&sr=b&sig=abc%3D', 'token[]=Bearer%20glpat-xxxx'],
  ]) {
    const error = await gateError(await request(`${front.url}/a?${query}`))
    t.match(error, { header: 'ERR_GATE_PROTOCOL', body: { message: /the agent logs in/, hint: /pass: / } }, query)
  }
  t.same(asked, [])
  for (const query of [
    ...['private_token=1', 'token=2', 'key=3', 'a=access_token', 'page_token=1', 'x=?access_token'],
    ...['jwt=eyJhbGciOiJub25lIn0.eyJzdWIiOiJib2IifQ.', 'token=eyJwYWdlIjoyfQ', 'key=sk-12', 'sig=1', 'se=1&q=AIza'],
  ])
    t.equal((await request(`${front.url}/a?${query}`)).statusCode, 200, query)
})

t.test(
  'a credential that is not to be had, or that no header can hold, ends the request before the service',
  async t => {
    await using service = await startService(() => {})
    for (const bearer of [
      { environment: 'GATE_TEST_NOT_SET' },
      { environment: 'GATE_TEST_LINES' },
      { file: '/no/such/hunter2' },
      { command: ['sh', '-c', 'echo hunter2; exit 1'] },
      { command: ['true'] },
    ]) {
      await using front = await startFront({ url: service.url, credential: { bearer } })
      const error = await gateError(await request(front.url))
      t.match(error, { status: 502, header: 'ERR_GATE_TARGET_LOGIN', body: { code: 'ERR_GATE_TARGET_LOGIN' } })
      t.notMatch(JSON.stringify(error), /hunter2|abc|X-Admin/)
    }
    t.equal(service.opened, 0)
  },
)

t.test('a secret that was rotated is used within seconds', async t => {
  await using directory = await temporaryDirectory('secret')
  const file = join(directory.path, 'token')
  await writeFile(file, 'first\n')
  let seen: string | undefined
  await using service = await startService((incoming, outgoing) => {
    seen = incoming.headers.authorization
    outgoing.end()
  })
  await using front = await startFront({ url: service.url, credential: { bearer: { file } } })
  const ask = async (): Promise<void> => (await request(front.url)).body.dump()
  await ask()
  t.equal(seen, 'Bearer first')
  await writeFile(file, 'second\n')
  for (let tries = 0; seen !== 'Bearer second' && tries < 200; tries += 1) {
    await new Promise(resolve => setTimeout(resolve, 100))
    await ask()
  }
  t.equal(seen, 'Bearer second')
  await rm(file)
})

t.test('a login that holds for a connection serves the client that made it, and nobody else', async t => {
  // As NTLM and Negotiate do: who has shown the token is known from then on, by the connection alone.
  const loggedIn = new WeakSet<object>()
  await using service = await startService(({ socket, headers }, outgoing) => {
    if (headers.authorization === 'NTLM TlRM') loggedIn.add(socket)
    if (loggedIn.has(socket)) return void outgoing.end('welcome')
    outgoing.writeHead(
      401,
      [
        ['WWW-Authenticate', 'Negotiate'],
        ['WWW-Authenticate', 'NTLM'],
        ['X-Empty', ''],
      ].flat(),
    )
    outgoing.end()
  })
  await using front = await startFront({ url: service.url, pass: ['authorization'] })
  const [alice, bob] = [new Client(front.url), new Client(front.url)]
  const ask = async (who: Client, headers: Record<string, string> = {}): Promise<Dispatcher.ResponseData> => {
    const answer = await who.request({ method: 'GET', path: '/', headers })
    await answer.body.dump()
    return answer
  }
  t.match(await ask(alice), { statusCode: 401, headers: { 'www-authenticate': ['Negotiate', 'NTLM'], 'x-empty': '' } })
  for (let round = 0; round < 5; round += 1) {
    t.equal((await ask(alice, round === 0 ? { authorization: 'NTLM TlRM' } : {})).statusCode, 200)
    t.equal((await ask(bob)).statusCode, 401)
  }
  await Promise.all([alice.close(), bob.close()])

  await using closed = await startFront({ url: service.url })
  const without = await request(closed.url, { headers: { authorization: 'NTLM TlRM' } })
  await without.body.dump()
  t.equal(without.statusCode, 401, 'where no login passes, this one does not')
  t.equal(without.headers['www-authenticate'], undefined)
})
