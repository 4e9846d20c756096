// Where parts of the record are kept beside this machine: an S3-compatible bucket. The only file that knows the client.
import { hash } from 'node:crypto'
import type { S3Client } from '@aws-sdk/client-s3'
import { GateError } from '@gate/shared/errors'

export interface S3Config {
  /** Undefined: AWS itself. */
  readonly endpoint?: string | undefined
  readonly region: string
  readonly bucket: string
  /** Before every name in the bucket. */
  readonly prefix: string
  /** Undefined: the environment, the shared configuration files or the role of the machine, as the client finds them. */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string } | undefined
  readonly forcePathStyle: boolean
}

/** What the record asks of a store of objects. Every call ends in bounded time, with an answer or an error. */
export interface ObjectStore {
  /** Undefined when there is none of that name. */
  get(name: string): Promise<Buffer | undefined>
  /**
   * Resolves when the store has these bytes and has said so with their checksum.
   * @throws {GateError} ERR_GATE_TAMPERED when `once` and the store has other bytes under that name.
   */
  put(name: string, bytes: Buffer, how: 'once' | 'replace'): Promise<void>
  /** What is not there is not an error. */
  delete(name: string): Promise<void>
  close(): void
}

const CONNECT_TIMEOUT_MS = 5_000
const REQUEST_TIMEOUT_MS = 20_000
const MAX_CONNECTIONS = 16

/** Opens a bucket; nothing is asked of it yet. The client is only loaded here: it takes half a second, and most relays have no bucket. */
export async function openBucket(config: S3Config, requestTimeoutMs = REQUEST_TIMEOUT_MS): Promise<ObjectStore> {
  const sdk = await import('@aws-sdk/client-s3')
  const client = new sdk.S3Client({
    region: config.region,
    ...(config.endpoint === undefined ? {} : { endpoint: config.endpoint }),
    ...(config.credentials === undefined ? {} : { credentials: config.credentials }),
    forcePathStyle: config.forcePathStyle,
    // Who uploads tries again by itself, with one backoff for everything.
    maxAttempts: 1,
    // We send SHA-256 of what we send; other servers than AWS's stumble over checksums that nobody asked for.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: {
      connectionTimeout: CONNECT_TIMEOUT_MS,
      requestTimeout: requestTimeoutMs,
      throwOnRequestTimeout: true,
      httpAgent: { maxSockets: MAX_CONNECTIONS },
      httpsAgent: { maxSockets: MAX_CONNECTIONS },
    },
  })
  return new Bucket(sdk, client, config, requestTimeoutMs)
}

type Sdk = typeof import('@aws-sdk/client-s3')

class Bucket implements ObjectStore {
  readonly #sdk: Sdk
  readonly #client: S3Client
  readonly #bucket: string
  readonly #prefix: string
  readonly #timeoutMs: number

  constructor(sdk: Sdk, client: S3Client, { bucket, prefix }: S3Config, timeoutMs: number) {
    this.#sdk = sdk
    this.#client = client
    this.#bucket = bucket
    this.#prefix = prefix
    this.#timeoutMs = timeoutMs
  }

  #place(name: string): { Bucket: string; Key: string } {
    return { Bucket: this.#bucket, Key: `${this.#prefix}${name}` }
  }

  /** The client's own timeout ends when the first bytes came. */
  #limit(): { abortSignal: AbortSignal } {
    return { abortSignal: AbortSignal.timeout(this.#timeoutMs) }
  }

  async get(name: string): Promise<Buffer | undefined> {
    try {
      const limit = this.#limit()
      const { Body } = await this.#client.send(new this.#sdk.GetObjectCommand(this.#place(name)), limit)
      if (Body === undefined) throw new GateError('ERR_GATE_RECORD', 'an answer without a body')
      return await wholeBody(Body as AsyncIterable<Uint8Array> & { destroy(): void }, limit.abortSignal)
    } catch (cause) {
      if (cause instanceof this.#sdk.NoSuchKey || statusOf(cause) === 404) return undefined
      throw this.#failed('read', name, cause)
    }
  }

  async put(name: string, bytes: Buffer, how: 'once' | 'replace'): Promise<void> {
    const checksum = hash('sha256', bytes, 'base64')
    try {
      const command = new this.#sdk.PutObjectCommand({
        ...this.#place(name),
        Body: bytes,
        ContentLength: bytes.length,
        ContentType: 'application/octet-stream',
        ChecksumSHA256: checksum,
        ...(how === 'once' ? { IfNoneMatch: '*' } : {}),
      })
      const { ChecksumSHA256: said } = await this.#client.send(command, this.#limit())
      if (said === checksum) return
      if (said !== undefined) throw new GateError('ERR_GATE_RECORD', 'what was stored has another checksum')
    } catch (cause) {
      // It is there already: from a try whose answer was lost, or from before a crash.
      if (how === 'replace' || statusOf(cause) !== 412) throw this.#failed('written', name, cause)
    }
    await this.#compare(name, bytes)
  }

  /** Where the store has not said which bytes it has. */
  async #compare(name: string, bytes: Buffer): Promise<void> {
    const there = await this.get(name)
    if (there?.equals(bytes) === true) return
    throw new GateError('ERR_GATE_TAMPERED', `the bucket ${this.#bucket} has another ${this.#prefix}${name}`, {
      hint: 'A bucket and prefix hold the record of one relay; gate audit verify on a copy says what is different.',
    })
  }

  async delete(name: string): Promise<void> {
    try {
      await this.#client.send(new this.#sdk.DeleteObjectCommand(this.#place(name)), this.#limit())
    } catch (cause) {
      if (statusOf(cause) !== 404) throw this.#failed('deleted', name, cause)
    }
  }

  #failed(what: string, name: string, cause: unknown): GateError {
    const said = cause instanceof GateError ? cause.message : ((cause as Error).name ?? 'unknown error')
    return new GateError('ERR_GATE_RECORD', `${this.#prefix}${name} cannot be ${what} in ${this.#bucket} (${said})`, {
      cause,
    })
  }

  close(): void {
    this.#client.destroy()
  }
}

/** Parts are small: a bundle has at most 16 MiB. */
const MAX_PART_BYTES = 32 * 1024 * 1024

async function wholeBody(body: AsyncIterable<Uint8Array> & { destroy(): void }, signal: AbortSignal): Promise<Buffer> {
  const stop = (): void => body.destroy()
  signal.addEventListener('abort', stop, { once: true })
  try {
    const chunks: Uint8Array[] = []
    let size = 0
    for await (const chunk of body) {
      size += chunk.length
      if (size > MAX_PART_BYTES)
        throw new GateError('ERR_GATE_RECORD', `an object of more than ${MAX_PART_BYTES} bytes`)
      chunks.push(chunk)
    }
    return Buffer.concat(chunks)
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

function statusOf(cause: unknown): number | undefined {
  return (cause as { readonly $metadata?: { readonly httpStatusCode?: number } }).$metadata?.httpStatusCode
}
