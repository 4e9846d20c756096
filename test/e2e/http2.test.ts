// Services of HTTP/2, and one that was thought to be, through real processes, asked by curl as ever.
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import t from 'tap'
import { createAuthority } from '../support/certificates.ts'
import type { Connection } from '../support/gate.ts'
import { startService } from '../support/http-connector.ts'
import { startHttpWorld } from '../support/http-world.ts'
import { startHttp2 } from '../support/http2-service.ts'
import { run } from '../support/process.ts'
import { temporaryDirectory } from '../support/tmp.ts'

const policy = `
targets:
  - match: { name: orders }
    allow: { groups: [engineers, support] }
    rules:
      - { name: everything, allow: [engineers, support] }
      - { name: no-deletes, when: 'op.action == "delete"', deny: "Nothing is deleted." }
    mask:
      - { fields: ["email"], for: { groups: [support] }, with: redact }
`

const customer = '{"id": 7, "email": "ann@example.com"}'

t.test('HTTP/2 services are decided, masked and recorded like others', async t => {
  const asked: string[] = []
  await using service = await startHttp2((stream, headers) => {
    asked.push(`${headers[':method']} ${headers[':path']} ${headers.authorization}`)
    void (async () => {
      let body = ''
      for await (const chunk of stream) body += String(chunk)
      stream.respond({ ':status': 200, 'content-type': 'application/json', etag: '"1"' })
      stream.end(body === '' ? customer : body)
    })()
  })
  await using world = await startHttpWorld({
    policy,
    target: `  - name: orders
    protocol: http
    http_version: "2"
    url: ${service.url}/v1
    credential: { bearer: { environment: SERVICE_TOKEN } }
`,
  })
  const [alice, carol] = [await world.person('alice'), await world.person('carol')]
  await using open = await alice.connect('orders')
  await using masked = await carol.connect('orders')
  const curl = async ({ port }: Connection, path: string, ...args: string[]): Promise<string> =>
    (await run('curl', ['-s', ...args, `http://127.0.0.1:${port}${path}`])).stdout
  t.equal(await curl(open, '/customers/7'), customer)
  t.equal(await curl(masked, '/customers/7'), customer.replace('ann@example.com', '****'))
  t.equal(await curl(open, '/orders', '-d', '{"of": 7}', '-H', 'content-type: application/json'), '{"of": 7}')
  t.match(await curl(open, '/orders/1', '-X', 'DELETE'), /Nothing is deleted/)
  t.same(asked, [
    'GET /v1/customers/7 Bearer service-token',
    'GET /v1/customers/7 Bearer service-token',
    'POST /v1/orders Bearer service-token',
  ])
  for (const session of service.sessions) if (!session.closed) await once(session, 'close')
  t.pass('connections that nobody uses are closed')
})

t.test('a service whose TLS agrees to HTTP/1.1 only: the client and the agent’s log are told what to do', async t => {
  await using directory = await temporaryDirectory('http2-e2e')
  const authority = await createAuthority(directory.path)
  const { certificate, key } = await authority.issue('here')
  const tls = { cert: await readFile(certificate), key: await readFile(key), ALPNProtocols: ['http/1.1'] }
  await using service = await startService((_incoming, outgoing) => outgoing.end('no'), tls)
  await using world = await startHttpWorld({
    policy,
    target: `  - name: orders
    protocol: http
    http_version: "2"
    url: ${service.url}
    ca: ${authority.certificate}
`,
  })
  await using open = await (await world.person('alice')).connect('orders')
  const { stdout } = await run('curl', ['-s', `http://127.0.0.1:${open.port}/customers/7`])
  t.match(JSON.parse(stdout), {
    status: 502,
    code: 'ERR_GATE_TARGET_PROTOCOL',
    detail: /orders does not speak HTTP\/2: .*ALPN/,
    hint: /Set http_version of orders to "1\.1"/,
  })
  const log = world.agent.process().stderr().split('\n')
  const logged = log.find(line => line.includes('request.failed')) ?? ''
  t.match(logged, 'does not speak HTTP/2')
  t.match(logged, 'Set http_version of orders')
})
