// The relay's key, pinned at first sight, with real certificates and TLS servers.
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { connect, createServer as createTlsServer } from 'node:tls'
import { changed, fingerprintOf, type Pin, pinnedTls, probe } from '@gate/cli/pin'
import { GateError } from '@gate/shared/errors'
import t from 'tap'
import { createAuthority, type KeyPair } from '../support/certificates.ts'
import { freePort } from '../support/net.ts'
import { run } from '../support/process.ts'
import { temporaryDirectory } from '../support/tmp.ts'

const directory = await temporaryDirectory('pin')
t.teardown(() => directory[Symbol.asyncDispose]())
const authority = await createAuthority(directory.path)

async function serve(pair: KeyPair, chain = '') {
  const server = createTlsServer(
    { cert: (await readFile(pair.certificate, 'utf8')) + chain, key: await readFile(pair.key) },
    socket => {
      socket.on('error', () => {})
      socket.end('hello')
    },
  )
  server.on('tlsClientError', () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: new URL(`https://127.0.0.1:${port}`),
    [Symbol.asyncDispose]: async () => {
      await new Promise(resolve => server.close(resolve))
    },
  }
}

/** What a client that is pinned says of a relay: its greeting, or the error. */
function greet(url: URL, pin: Pin): Promise<string> {
  return new Promise(resolve => {
    const socket = connect({ host: url.hostname, port: Number(url.port), ...pinnedTls(url.origin, pin) })
    socket.once('error', (error: NodeJS.ErrnoException) => {
      resolve(error instanceof GateError ? `${error.code} ${error.detail}` : String(error.code))
    })
    socket.once('data', data => resolve(String(data)))
  })
}

t.test('a relay whose authority nobody knows is pinned with its certificate, and served by that key only', async t => {
  const first = await authority.issue('first')
  const second = await authority.issue('second')
  await using relay = await serve(first)
  const pin = await probe(relay.url)
  const certificate = new X509Certificate(await readFile(first.certificate))
  t.equal(pin.fingerprint, fingerprintOf(certificate))
  t.match(pin.fingerprint, /^SHA256:[\w+/]{43}=$/)
  t.match(pin.certificate, 'BEGIN CERTIFICATE')
  t.equal(await greet(relay.url, pin), 'hello')

  await using impostor = await serve(second)
  t.not((await probe(impostor.url)).fingerprint, pin.fingerprint)
  const said = await greet(impostor.url, pin)
  t.not(said, 'hello')
  // Also one that shows our certificate's issuer along with its own.
  await using chained = await serve(second, await readFile(authority.certificate, 'utf8'))
  t.not(await greet(chained.url, pin), 'hello')
  t.equal(
    await greet(relay.url, { ...pin, fingerprint: 'SHA256:other' }),
    `ERR_GATE_RELAY_CHANGED pinned SHA256:other, now ${pin.fingerprint}`,
  )
})

t.test('a certificate of an authority that this machine trusts is pinned by its key alone', async t => {
  const good = await authority.issue('good')
  const other = await authority.issue('other')
  const foreign = await authority.issue('foreign', { hosts: ['gate.example.com'] })
  await using relay = await serve(good)
  await using impostor = await serve(other)
  await using misnamed = await serve(foreign)
  // Which authorities a process trusts is read from its environment at its start.
  const script = `
    import { connect } from 'node:tls'
    import { pinnedTls, probe } from '@gate/cli/pin'
    const [good, other, misnamed] = process.argv.slice(1).map(url => new URL(url))
    const greet = (url, pin) => new Promise(resolve => {
      const socket = connect({ host: url.hostname, port: Number(url.port), ...pinnedTls(url.origin, pin) })
      socket.once('error', error => resolve(error.code))
      socket.once('data', data => resolve(String(data)))
    })
    const pin = await probe(good)
    const wrongName = await probe(misnamed)
    console.log(JSON.stringify({
      certificate: pin.certificate === undefined,
      good: await greet(good, pin),
      other: await greet(other, pin),
      misnamed: wrongName.certificate === undefined,
      claimed: await greet(misnamed, { fingerprint: wrongName.fingerprint }),
    }))`
  const { stdout, stderr } = await run(
    process.execPath,
    ['--input-type=module', '-e', script, relay.url.href, impostor.url.href, misnamed.url.href],
    { env: { NODE_EXTRA_CA_CERTS: authority.certificate } },
  )
  t.same(stdout === '' ? stderr : JSON.parse(stdout), {
    certificate: true,
    good: 'hello',
    other: 'ERR_GATE_RELAY_CHANGED',
    misnamed: false,
    claimed: 'ERR_TLS_CERT_ALTNAME_INVALID',
  })
})

t.test('a relay that was not pinned has no options, and one that changed says how to go on', async t => {
  t.equal(pinnedTls('http://127.0.0.1', undefined), undefined)
  const error = changed('https://gate.example.com', 'SHA256:a', 'SHA256:b')
  t.match(error, {
    code: 'ERR_GATE_RELAY_CHANGED',
    detail: 'pinned SHA256:a, now SHA256:b',
    hint: /gate login --relay https:\/\/gate\.example\.com --fingerprint SHA256:b$/,
  })
})

t.test('a relay that is not there, or speaks no TLS, cannot be reached', async t => {
  const code = 'ERR_GATE_RELAY_UNREACHABLE'
  await t.rejects(probe(new URL(`https://127.0.0.1:${await freePort()}`)), { code, message: /ECONNREFUSED/ })
  for (const answer of ['HTTP/1.1 400 Bad Request\r\n\r\n', '']) {
    const server = createServer(socket => {
      socket.on('error', () => {})
      socket.end(answer)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    await t.rejects(probe(new URL(`https://127.0.0.1:${(server.address() as AddressInfo).port}`)), { code })
    server.close()
  }
})
