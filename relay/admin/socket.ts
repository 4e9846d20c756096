// The operator's own door: a Unix socket in the state directory, for commands that only who runs the relay may give.
import { chmod, rm } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { GateError } from '@gate/shared/errors'
import Fastify from 'fastify'
import * as z from 'zod'
import type { Enrolments } from '../identity/enrolments.ts'

/** sun_path of unix(7) is 108 bytes on Linux, 104 elsewhere. */
const MAX_PATH_BYTES = 103
const ANSWER_TIMEOUT_MS = 10_000

const enrolment = z.strictObject({
  agent: z.string(),
  targets: z.array(z.string()).min(1).max(100),
  validMs: z.int().min(1000),
})
const answer = z.object({ token: z.string().optional(), message: z.string().optional() })

export function socketPath(state: string): string {
  return join(state, 'admin.sock')
}

/** @throws {GateError} ERR_GATE_CONFIG when the path is too long for a socket. */
export async function openAdminSocket(state: string, enrolments: Enrolments): Promise<AsyncDisposable> {
  const path = socketPath(state)
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) {
    throw new GateError(
      'ERR_GATE_CONFIG',
      `${path} is too long for a socket (${MAX_PATH_BYTES} bytes); choose a shorter state directory`,
    )
  }
  // The lock on the state directory says that nobody else is listening.
  await rm(path, { force: true })
  const app = Fastify({ forceCloseConnections: true })
  app.post('/enrolments', async received => {
    const { agent, targets, validMs } = enrolment.parse(received.body)
    return { token: await enrolments.create(agent, targets, validMs) }
  })
  await app.listen({ path })
  await chmod(path, 0o600)
  return { [Symbol.asyncDispose]: () => app.close() }
}

/** Asks the relay that runs in this state directory for an enrolment token; undefined when none runs. */
export async function askForEnrolment(state: string, body: z.infer<typeof enrolment>): Promise<string | undefined> {
  const text = await post(socketPath(state), '/enrolments', JSON.stringify(body))
  if (text === undefined) return undefined
  const { token, message } = answer.parse(JSON.parse(text))
  if (token === undefined) throw new GateError('ERR_GATE_USAGE', message ?? 'the relay refused')
  return token
}

function post(socket: string, path: string, body: string): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        socketPath: socket,
        path,
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        timeout: ANSWER_TIMEOUT_MS,
      },
      response => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('end', () => resolve(Buffer.concat(chunks).toString('utf8')))
      },
    )
    sent.on('timeout', () => sent.destroy(new Error('the relay does not answer')))
    sent.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') resolve(undefined)
      else reject(error)
    })
    sent.end(body)
  })
}
