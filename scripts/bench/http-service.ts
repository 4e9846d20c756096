// The service that the HTTP benchmark asks: prepared answers, nothing computed.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

const customer = (id: number): object => ({
  id,
  name: `name ${id}`,
  email: `user${id}@example.com`,
  address: { street: `${id} Long Street`, city: 'Town', zip: String(10_000 + id) },
  tags: ['a', 'b'],
  balance: id * 1.5,
})

/** JSON of about so many bytes: a list of customers. */
function documentOf(bytes: number): Buffer {
  const each = JSON.stringify(customer(1)).length + 1
  return Buffer.from(
    JSON.stringify({
      customers: Array.from({ length: Math.max(1, Math.floor(bytes / each)) }, (_, id) => customer(id)),
    }),
  )
}

const documents = new Map([
  ['/small', documentOf(1_000)],
  ['/large', documentOf(1_000_000)],
])

const server = createServer((request, response) => {
  const body = documents.get(request.url ?? '') ?? Buffer.from('{}')
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length })
  response.end(body)
})
server.keepAliveTimeout = 0
server.listen(0, '127.0.0.1', () => process.stdout.write(`ready ${(server.address() as AddressInfo).port}\n`))
