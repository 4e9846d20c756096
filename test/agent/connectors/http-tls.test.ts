// TLS to the service: whom the agent believes, what it shows of itself, and what becomes of doubt.

import { readFile, rename } from 'node:fs/promises'
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import t from 'tap'
import { request } from 'undici'
import { createAuthority } from '../../support/certificates.ts'
import { gateError, startFront, startService } from '../../support/http-connector.ts'
import { temporaryDirectory } from '../../support/tmp.ts'

const directory = await temporaryDirectory('http-tls')
t.teardown(() => directory[Symbol.asyncDispose]())
const authority = await createAuthority(directory.path)
const here = await authority.issue('here')
const elsewhere = await authority.issue('elsewhere', { hosts: ['billing.internal'] })
const agent = await authority.issue('agent')

async function tls(pair: { certificate: string; key: string }): Promise<{ cert: Buffer; key: Buffer }> {
  return { cert: await readFile(pair.certificate), key: await readFile(pair.key) }
}

t.test('a certificate of the pinned authority is believed, one of an unknown authority is not', async t => {
  let seen: string | false | null = null
  await using service = await startService(
    (incoming, outgoing) => {
      seen = (incoming.socket as TLSSocket).alpnProtocol
      outgoing.end('secret')
    },
    await tls(here),
  )
  await using pinned = await startFront({ url: service.url, ca: authority.certificate })
  t.equal(await (await request(pinned.url)).body.text(), 'secret')
  t.not(seen, 'h2')

  await using unpinned = await startFront({ url: service.url })
  const error = await gateError(await request(unpinned.url))
  t.match(error, { status: 502, header: 'ERR_GATE_TARGET_UNREACHABLE', body: { message: /TLS: UNABLE_TO_/ } })
  t.notMatch(JSON.stringify(error), /127\.0\.0\.1|secret/)
})

t.test('a service is told the scheme that it is reached by, whatever the local port speaks', async t => {
  const insisting = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    const { 'x-forwarded-proto': scheme, 'x-forwarded-host': host, forwarded } = incoming.headers
    if (scheme === 'http') outgoing.writeHead(308, { location: `https://${host}/` }).end()
    else outgoing.end(JSON.stringify([scheme, forwarded]))
  }
  const headers = {
    forwarded: 'for=_s_1;host="localhost:5000";proto=http',
    'x-forwarded-host': 'localhost:5000',
    'x-forwarded-proto': 'http',
  }
  await using secure = await startService(insisting, await tls(here))
  await using front = await startFront({ url: secure.url, ca: authority.certificate })
  t.same(await (await request(front.url, { headers })).body.json(), [
    'https',
    'for=_s_1;host="localhost:5000";proto=https',
  ])
  t.same(
    await (await request(front.url, { headers: { forwarded: 'Proto="http", for=x;\tproto=http;by=y' } })).body.json(),
    [null, 'proto=https, for=x;\tproto=https;by=y'],
  )
  await using plain = await startService(insisting)
  await using other = await startFront({ url: plain.url })
  const answer = await request(other.url, { headers })
  t.match({ status: answer.statusCode, location: answer.headers['location'] }, { status: 308, location: '/' })
  await answer.body.dump()
})

t.test('a service that refuses an upload and closes is heard, within TLS as without', async t => {
  const refusing: RequestListener = (_incoming, outgoing) => {
    outgoing.writeHead(413, { connection: 'close' }).end('too much')
  }
  for (const settings of [undefined, await tls(here)]) {
    await using service = await startService(refusing, settings)
    await using front = await startFront({ url: service.url, ca: settings && authority.certificate })
    for (let round = 0; round < 5; round += 1) {
      const body = Readable.from(Array.from({ length: 100 }, () => Buffer.alloc(64 * 1024)))
      const answer = await request(front.url, { method: 'POST', body })
      t.equal(answer.statusCode, 413)
      t.equal(await answer.body.text(), 'too much')
    }
  }
})

t.test('the name in the certificate has to be the host, or the one that is configured', async t => {
  await using service = await startService((_incoming, outgoing) => outgoing.end('secret'), await tls(elsewhere))
  await using wrong = await startFront({ url: service.url, ca: authority.certificate })
  const error = await gateError(await request(wrong.url))
  t.match(error, {
    status: 502,
    header: 'ERR_GATE_TARGET_UNREACHABLE',
    body: { message: /TLS: ERR_TLS_CERT_ALTNAME_INVALID/ },
  })
  await using right = await startFront({
    url: service.url,
    ca: authority.certificate,
    tls_server_name: 'billing.internal',
  })
  t.equal(await (await request(right.url)).body.text(), 'secret')
})

t.test(
  'a client certificate is shown, read anew for each connection, and its absence is the service’s refusal',
  async t => {
    const names: string[] = []
    await using service = await startService(
      (incoming, outgoing) => {
        names.push(String((incoming.socket as TLSSocket).getPeerCertificate().subject?.CN))
        outgoing.writeHead(200, { connection: 'close' }).end('ok')
      },
      { ...(await tls(here)), ca: await readFile(authority.certificate), requestCert: true, rejectUnauthorized: true },
    )
    const [certificate, key] = [join(directory.path, 'client.crt'), join(directory.path, 'client.key')]
    const settings = { url: service.url, ca: authority.certificate }
    await using front = await startFront({ ...settings, client_certificate: certificate, client_key: key })
    t.match(await gateError(await request(front.url)), {
      header: 'ERR_GATE_TARGET_LOGIN',
      body: { message: 'a certificate or key for billing-api cannot be read' },
    })
    await rename(agent.certificate, certificate)
    await rename(agent.key, key)
    t.equal(await (await request(front.url)).body.text(), 'ok')
    const next = await authority.issue('rotated')
    await rename(next.certificate, certificate)
    await rename(next.key, key)
    t.equal(await (await request(front.url)).body.text(), 'ok')
    t.same(names, ['agent', 'rotated'])

    await using without = await startFront(settings)
    t.match(await gateError(await request(without.url)), { status: 502, header: /^ERR_GATE_TARGET_UNREACHABLE$/ })
  },
)

t.test('a service that speaks no TLS is an error, and hears no request', async t => {
  let requests = 0
  await using service = await startService((_incoming, outgoing) => {
    requests += 1
    outgoing.end()
  })
  await using front = await startFront({ url: service.url.replace('http', 'https'), ca: authority.certificate })
  t.match(await gateError(await request(front.url)), {
    status: 502,
    header: 'ERR_GATE_TARGET_UNREACHABLE',
    body: { message: /TLS: / },
  })
  t.equal(requests, 0)
})
