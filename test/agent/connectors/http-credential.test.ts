// How the agent logs in to HTTP services: each kind against a service that checks it, and never a word of it in errors.

import { rm, writeFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { refuseConnectionLogin, requestChallenges } from '@gate/agent/connectors/http/headers'
import t from 'tap'
import { request } from 'undici'
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
    'x-api-key': 'mine',
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

t.test('of challenges only those of such logins are taken off', async t => {
  for (const [given, expected] of [
    ['NTLM', ''],
    ['Negotiate', ''],
    ['negotiate YII=, nTlM TlRM==', ''],
    ['Basic realm="x"', 'Basic realm="x"'],
    ['Negotiate, Basic realm="x"', 'Basic realm="x"'],
    ['Basic realm="x", charset="UTF-8", NTLM', 'Basic realm="x", charset="UTF-8"'],
    [
      'Basic realm="a, NTLM, b", Negotiate, Digest nonce="\\"", qop = auth',
      'Basic realm="a, NTLM, b", Digest nonce="\\"", qop = auth',
    ],
    ['NTLM realm="x", other=y, Bearer error=z', 'Bearer error=z'],
    ['NTLM  realm = "x" , Bearer', 'Bearer'],
    [', ,Negotiate,,', ''],
    ['Basic realm="x, Negotiate', ''],
    ['Negotiated, NTLMv3 x', 'Negotiated, NTLMv3 x'],
    ['', ''],
  ] as const)
    t.equal(requestChallenges(given), expected, given)
  for (const part of [',', '"', ' ', 'a', 'a ', '"\\', '\\"', 'NTLM,', '"a",']) {
    const started = performance.now()
    requestChallenges(part.repeat(60_000 / part.length))
    t.ok(performance.now() - started < 500, part)
  }
})

t.test('a login is refused by its scheme alone', async t => {
  for (const given of ['NTLM TlRM', 'negotiate YII=', 'NEGOTIATE', ' Ntlm\tx', 'NTLM,x'])
    t.throws(() => refuseConnectionLogin(given), { code: 'ERR_GATE_USAGE' }, given)
  for (const given of ['Basic TlRM', 'Bearer NTLM', 'NTLMv3 x', ''])
    t.doesNotThrow(() => refuseConnectionLogin(given), given)
})

t.test('a service sees no such login, and its clients no such challenge', async t => {
  let seen = 0
  await using service = await startService((_incoming, outgoing) => {
    seen += 1
    outgoing.writeHead(
      401,
      [
        ['WWW-Authenticate', 'Negotiate'],
        ['WWW-Authenticate', 'NTLM'],
        ['WWW-Authenticate', 'Basic realm="x"'],
        ['X-Empty', ''],
      ].flat(),
    )
    outgoing.end()
  })
  await using front = await startFront({ url: service.url, pass: ['authorization'] })
  const answer = await request(front.url, { headers: { authorization: 'Basic eDp5' } })
  await answer.body.dump()
  t.match(answer.headers, { 'www-authenticate': 'Basic realm="x"', 'x-empty': '' })
  for (const authorization of ['NTLM TlRM', 'negotiate YII='])
    t.match(await gateError(await request(front.url, { headers: { authorization } })), {
      header: 'ERR_GATE_USAGE',
      body: { message: /others share/, hint: /another way/ },
    })
  t.equal(seen, 1)

  await using closed = await startFront({ url: service.url })
  const without = await request(closed.url, { headers: { authorization: 'Negotiate YII=' } })
  await without.body.dump()
  t.equal(without.statusCode, 401, 'where no login passes at all, there is nothing to refuse')
  t.equal(without.headers['www-authenticate'], undefined)
})
