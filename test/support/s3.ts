// A real server of S3's protocol, Versity's gateway over a directory; and a connection to it on which things go wrong.
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3'
import { freePort } from './net.ts'
import { type Running, run, start } from './process.ts'
import { temporaryDirectory } from './tmp.ts'

const MODULE = 'github.com/versity/versitygw/cmd/versitygw@v1.8.0'
const cache = fileURLToPath(new URL('../../../node_modules/.cache/gate-versitygw-1.8.0', import.meta.url))
const BUILD_TIMEOUT_MS = 600_000

export const BUCKET = 'gate-records'
export const credentials = { accessKeyId: 'gate-test', secretAccessKey: 'gate-test-secret' }

/** The server's program, built once with Go; otherwise the reason why there is none. */
export async function s3Program(): Promise<{ readonly program: string } | { readonly missing: string }> {
  const program = join(cache, 'versitygw')
  if (existsSync(program)) return { program }
  try {
    await mkdir(cache, { recursive: true })
    const env = { GOBIN: cache, CGO_ENABLED: '0' }
    const done = await run('go', ['install', MODULE], { env }, BUILD_TIMEOUT_MS)
    if (done.code === 0) return { program }
    return { missing: `NOT TESTED: the S3 server cannot be built: ${done.stderr.trim().split('\n').at(-1)}` }
  } catch (thrown) {
    return { missing: `NOT TESTED: the S3 server cannot be built without Go (${(thrown as Error).message})` }
  }
}

export interface S3Server extends AsyncDisposable {
  readonly endpoint: string
  readonly port: number
  /** What is in the bucket, as files. */
  readonly files: string
  kill(): Promise<void>
  restart(): Promise<void>
}

export async function startS3(program: string): Promise<S3Server> {
  const directory = await temporaryDirectory('s3')
  const port = await freePort()
  const endpoint = `http://127.0.0.1:${port}`
  const launch = async (): Promise<Running> => {
    const started = start(program, ['--port', `127.0.0.1:${port}`, 'posix', directory.path], {
      env: { ROOT_ACCESS_KEY: credentials.accessKeyId, ROOT_SECRET_KEY: credentials.secretAccessKey },
    })
    await started.waitFor(/http:\/\/127\.0\.0\.1/)
    return started
  }
  let current = await launch()
  const client = new S3Client({ region: 'us-east-1', endpoint, credentials, forcePathStyle: true })
  await client.send(new CreateBucketCommand({ Bucket: BUCKET }))
  client.destroy()
  return {
    endpoint,
    port,
    files: join(directory.path, BUCKET),
    kill: async () => {
      current.kill('SIGKILL')
      await current.finished()
    },
    restart: async () => {
      current = await launch()
    },
    [Symbol.asyncDispose]: async () => {
      await current[Symbol.asyncDispose]()
      await directory[Symbol.asyncDispose]()
    },
  }
}

/** What happens to a request on its way. */
export type Fault =
  | 'none'
  | 'error 500'
  | 'no answer'
  | 'half a request'
  | 'answer lost'
  | 'other bytes'
  | 'other checksum'

export interface Wire extends AsyncDisposable {
  readonly endpoint: string
  /** Chooses for each request what happens to it. */
  fault: (method: string, path: string) => Fault
  readonly requests: { readonly method: string; readonly path: string; readonly status: number | undefined }[]
}

/** Stands before a server and hands everything on, as long as nothing else is asked for. */
export async function startWire(server: S3Server): Promise<Wire> {
  const requests: { method: string; path: string; status: number | undefined }[] = []
  const wire = { fault: (_method: string, _path: string): Fault => 'none' }
  const serve = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    const { method = '', url: path = '' } = incoming
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(chunk as Buffer)
    const body = Buffer.concat(chunks)
    const fault = wire.fault(method, path)
    const entry: (typeof requests)[number] = { method, path, status: undefined }
    requests.push(entry)
    if (fault === 'no answer') return
    if (fault === 'error 500') return void outgoing.writeHead(500).end()
    if (fault === 'half a request') {
      const half = httpRequest({ port: server.port, method, path, headers: incoming.headers })
      half.on('error', () => {})
      half.write(body.subarray(0, body.length / 2), () => half.destroy())
      return void outgoing.destroy()
    }
    if (fault === 'other bytes' && body.length > 0) body[body.length - 1] = (body.at(-1) ?? 0) ^ 1
    const passed = httpRequest({ port: server.port, method, path, headers: incoming.headers }, answer => {
      entry.status = answer.statusCode
      if (fault === 'answer lost') return void answer.resume().on('end', () => outgoing.destroy())
      const headers = { ...answer.headers }
      if (fault === 'other checksum') headers['x-amz-checksum-sha256'] = Buffer.alloc(32).toString('base64')
      outgoing.writeHead(answer.statusCode ?? 500, headers)
      answer.pipe(outgoing)
    })
    passed.on('error', () => outgoing.destroy())
    passed.end(body)
  }
  const listener = createServer((incoming, outgoing) => void serve(incoming, outgoing).catch(() => outgoing.destroy()))
  await new Promise<void>(resolve => listener.listen(0, '127.0.0.1', resolve))
  const { port } = listener.address() as AddressInfo
  return Object.assign(wire, {
    endpoint: `http://127.0.0.1:${port}`,
    requests,
    [Symbol.asyncDispose]: async () => {
      listener.closeAllConnections()
      await new Promise(resolve => listener.close(resolve))
    },
  })
}
