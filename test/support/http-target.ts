// A service for tests: a real node server on loopback that answers by path and keeps what it was asked.
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import { WebSocketServer } from 'ws'
import { zstdStored } from './zstd.ts'

export interface Asked {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export interface HttpService extends AsyncDisposable {
  readonly port: number
  /** Requests in the order in which their bodies ended. */
  readonly asked: Asked[]
  /** Requests whose sender went away before they were answered. */
  readonly aborted: string[]
  /** Code and reason with which WebSockets were closed, as the service was told. */
  readonly closed: string[]
  readonly server: Server
}

export type Answer = (request: IncomingMessage, response: ServerResponse, body: Buffer) => unknown

const customers = [
  { id: 1, name: 'Ann', email: 'ann@secret.example', cards: [{ pan: '4111111111111111', holder: 'Ann' }] },
  { id: 2, name: 'Bob', email: 'bob@secret.example', cards: [] },
]

const encodings: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
  gzip: gzipSync,
  br: brotliCompressSync,
  deflate: deflateSync,
  // Called deflate as well.
  'raw-deflate': deflateRawSync,
  zstd: zstdStored,
}

const send = (
  response: ServerResponse,
  type: string,
  body: string | Buffer,
  more: Record<string, string> = {},
): void => {
  response.writeHead(200, { 'content-type': type, 'content-length': Buffer.byteLength(body), ...more })
  response.end(body)
}

/** An answer that is always the same. */
export const answerWith =
  (type: string, body: string): Answer =>
  (_request, response) =>
    send(response, type, body)

/** Answers that tests ask for by path; others echo the request. */
const answers: Readonly<Record<string, Answer>> = {
  '/customers': (request, response) => {
    const tag = '"v1"'
    if (request.headers['if-none-match'] === tag) {
      response.writeHead(304, { etag: tag })
      return response.end()
    }
    const json = JSON.stringify({ customers })
    return send(response, 'application/json', json, { etag: tag, 'accept-ranges': 'bytes' })
  },
  '/encoded': (request, response) => {
    const name = String(request.headers['x-encoding'])
    const body = encodings[name]?.(Buffer.from(JSON.stringify({ customers }))) ?? Buffer.from('?')
    send(response, 'application/json', body, { 'content-encoding': name.replace('raw-', '') })
  },
  '/bomb': (_request, response) =>
    send(response, 'application/json', gzipSync(Buffer.from(`{"a":"${'0'.repeat(64 * 1024 * 1024)}"}`)), {
      'content-encoding': 'gzip',
    }),
  '/image': (_request, response) => send(response, 'image/png', Buffer.from([0x89, 0x50])),
  '/broken-json': (_request, response) => send(response, 'application/json', '{"email": "ann@secret.example'),
  '/csv': (_request, response) => send(response, 'text/csv', 'id,email\r\n1,ann@secret.example\r\n'),
  '/page': (request, response) => {
    const [, kind = '', status = '200'] = /kind=([^&]*)&status=(\d+)/.exec(request.url ?? '') ?? []
    response.writeHead(Number(status), {
      'content-type': 'application/json',
      'content-range': decodeURIComponent(kind),
    })
    response.end(request.method === 'HEAD' ? undefined : '[{"n":1,"email":"ann@secret.example"}]')
  },
  '/part': (_request, response) => {
    response.writeHead(206, { 'content-type': 'application/json', 'content-range': 'bytes 0-9/100' })
    response.end('{"email":1')
  },
  '/events': (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    let count = 0
    const timer = setInterval(() => {
      count += 1
      response.write(`data: {"n":${count},"email":"ann@secret.example"}\n\n`)
      if (count === 3) {
        clearInterval(timer)
        response.end()
      }
    }, 50)
  },
  // As Kubernetes and grpc-gateway have them.
  '/watch': (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    let count = 0
    const timer = setInterval(() => {
      count += 1
      response.write(`{"type":"ADDED","object":{"n":${count},"email":"ann@secret.example"}}\n`)
      if (count < 3) return
      clearInterval(timer)
      response.end()
    }, 50)
  },
  '/reset': (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/plain', 'content-length': '1000' })
    response.write('beginning')
    setTimeout(() => response.socket?.resetAndDestroy(), 50)
  },
  '/cut-in-chunks': (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/plain' })
    response.write('beginning')
    setTimeout(() => response.socket?.resetAndDestroy(), 50)
  },
  '/whole-in-chunks': (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/plain' })
    response.write('begin')
    setTimeout(() => response.end('ning'), 50)
  },
  '/never': () => {},
  '/trailers': (_request, response) => {
    response.writeHead(200, { trailer: 'x-sum', 'content-type': 'text/plain' })
    response.write('body')
    response.addTrailers({ 'x-sum': '42' })
    response.end()
  },
  '/names': (request, response) => {
    response.writeHead(200, { 'content-type': 'text/plain', 'X-CamelCase': '1', 'WWW-Thing': '2' })
    response.end(request.rawHeaders.filter((_, at) => at % 2 === 0).join(' '))
  },
  '/redirect': (request, response) => {
    response.writeHead(302, { location: String(request.headers['x-to']) })
    response.end()
  },
  '/missing-page': (_request, response) => {
    response.writeHead(404, { 'content-type': 'text/html', 'X-Kept': 'yes', 'X-Owner': 'ann@secret.example' })
    response.end('<p>no ann@secret.example here</p>')
  },
  '/moved-page': (_request, response) => {
    response.writeHead(302, { 'content-type': 'text/html', location: '/elsewhere' })
    response.end('<p>ann@secret.example is elsewhere</p>')
  },
  '/empty-page': (_request, response) => {
    response.writeHead(200, { 'x-kept': 'yes' })
    response.flushHeaders()
    setTimeout(() => response.end(), 10)
  },
  '/empty-error': (_request, response) => {
    response.writeHead(404, { 'x-kept': 'yes' })
    response.flushHeaders()
    setTimeout(() => response.end(), 10)
  },
  '/secrets': (_request, response) =>
    send(response, 'text/plain', 'ok', {
      'set-cookie': 'session=service-cookie',
      'x-owner': 'ann@secret.example',
      'access-control-allow-origin': '*',
    }),
  '/big': (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/octet-stream' })
    const chunk = Buffer.alloc(64 * 1024, 'x')
    let left = 1024
    const more = (): void => {
      while (left > 0) {
        left -= 1
        if (!response.write(chunk)) return void response.once('drain', more)
      }
      response.end()
    }
    more()
  },
}

export async function startHttpService(more: Readonly<Record<string, Answer>> = {}): Promise<HttpService> {
  const asked: Asked[] = []
  const aborted: string[] = []
  const closed: string[] = []
  const all = { ...answers, ...more }
  const server = createServer((request, response) => {
    const { method = '', url = '', headers } = request
    response.on('close', () => {
      if (!response.writableFinished) aborted.push(url)
    })
    const chunks: Buffer[] = []
    request.on('error', () => {})
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const body = Buffer.concat(chunks)
      asked.push({ method, url, headers, body: body.toString('utf8') })
      const answer = all[url.split('?')[0] ?? '']
      if (answer !== undefined) return void answer(request, response, body)
      send(response, 'application/json', JSON.stringify({ method, url, headers, body: body.toString('utf8') }))
    })
  })
  const sockets = new WebSocketServer({ noServer: true, handleProtocols: offered => [...offered][0] ?? false })
  server.on('upgrade', (request, socket, head) => {
    asked.push({ method: 'UPGRADE', url: request.url ?? '', headers: request.headers, body: '' })
    if (request.url === '/no-socket') return void socket.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n')
    sockets.handleUpgrade(request, socket, head, client => {
      client.on('message', (data, isBinary) => client.send(data as Buffer, { binary: isBinary }))
      client.on('close', (code, reason) => closed.push(`${code} ${reason.toString()}`))
      if (request.url === '/break') setTimeout(() => socket.end(), 50)
      if (request.url === '/stream') {
        const timer = setInterval(() => client.send('{"n":1}'), 1)
        client.on('close', () => clearInterval(timer))
      }
      if (request.url === '/bye') client.close(4000, 'ann@secret.example')
      if (request.url === '/greeting') client.send('{"email":"ann@secret.example","n":1}')
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    asked,
    aborted,
    closed,
    server,
    [Symbol.asyncDispose]: async () => {
      for (const client of sockets.clients) client.terminate()
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}
