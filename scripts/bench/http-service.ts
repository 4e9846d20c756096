// The service that the HTTP benchmark asks: prepared answers, nothing computed.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
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

const zeros = Buffer.alloc(64 * 1024)
const rows = Buffer.from(`${JSON.stringify(customer(1))}\n`.repeat(400))

/** Sends whole pieces, at least so many bytes, as fast as they are taken. */
function stream(response: ServerResponse, type: string, piece: Buffer, bytes: number): void {
  response.writeHead(200, { 'content-type': type })
  let left = bytes
  const more = (): void => {
    for (; left > 0; left -= piece.length) {
      if (response.write(piece)) continue
      left -= piece.length
      return void response.once('drain', more)
    }
    response.end()
  }
  more()
}

function sink(request: IncomingMessage, response: ServerResponse): void {
  let bytes = 0
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length
  })
  request.on('end', () => response.end(String(bytes)))
}

const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? '', 'http://service')
  const bytes = Number(searchParams.get('bytes'))
  if (pathname === '/zeros') return stream(response, 'application/octet-stream', zeros, bytes)
  if (pathname === '/rows') return stream(response, 'application/x-ndjson', rows, bytes)
  if (pathname === '/sink') return sink(request, response)
  const body = documents.get(request.url ?? '') ?? Buffer.from('{}')
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length })
  response.end(body)
})
server.keepAliveTimeout = 0
server.listen(0, '127.0.0.1', () => process.stdout.write(`ready ${(server.address() as AddressInfo).port}\n`))
