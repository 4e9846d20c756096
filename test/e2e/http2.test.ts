// A service that speaks nothing but HTTP/2, through real processes, asked by curl as ever.
import { once } from 'node:events'
import t from 'tap'
import type { Connection } from '../support/gate.ts'
import { startHttpWorld } from '../support/http-world.ts'
import { startHttp2 } from '../support/http2-service.ts'
import { run } from '../support/process.ts'

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
