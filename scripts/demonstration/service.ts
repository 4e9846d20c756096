// The billing service of the demo: a few customers, and refunds that it remembers. Started as a process of its own.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

const customers = [
  {
    id: 1,
    name: 'Lena Okafor',
    email: 'lena.okafor@mail.example',
    card: { number: '4539578763621486', holder: 'L OKAFOR' },
  },
  {
    id: 2,
    name: 'Jonas Weber',
    email: 'jonas.weber@post.example',
    card: { number: '5425233430109903', holder: 'J WEBER' },
  },
]
/** More is not remembered. */
const MAX_REFUNDS = 1_000
const MAX_BODY_BYTES = 64 * 1024
const refunds: string[] = []

function answer(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(`${JSON.stringify(value)}\n`)
}

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request) {
    length += (chunk as Buffer).length
    if (length <= MAX_BODY_BYTES) chunks.push(chunk as Buffer)
  }
  if (request.headers.authorization !== `Bearer ${process.env['BILLING_TOKEN']}`) return answer(response, 401, {})
  const refund = /^\/refunds\/(\d+)$/.exec(request.url ?? '')
  if (request.url === '/customers') return answer(response, 200, { customers })
  if (request.url === '/refunds') return answer(response, 200, { refunds })
  if (refund === null || request.method !== 'POST') return answer(response, 404, { error: 'not found' })
  if (length > MAX_BODY_BYTES || refunds.length >= MAX_REFUNDS) return answer(response, 413, { error: 'too much' })
  refunds.push(`${refund[1]}: ${Buffer.concat(chunks).toString('utf8')}`)
  return answer(response, 201, { refunded: Number(refund[1]) })
}

const server = createServer((request, response) => void serve(request, response))
server.listen(0, '127.0.0.1', () => process.stdout.write(`ready ${(server.address() as AddressInfo).port}\n`))
