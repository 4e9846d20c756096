// Reads a secret from where the configuration says: a file, an environment variable, a command's output.
import { execFile } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { promisify } from 'node:util'
import { GateError } from '@gate/shared/errors'
import { environment } from './environment.ts'
import type { SecretSource } from './secret-source.ts'

const run = promisify(execFile)
const COMMAND_TIMEOUT_MS = 10_000
const MAX_SECRET_BYTES = 64 * 1024

/** @throws {GateError} ERR_GATE_TARGET_LOGIN when there is no secret; the message names the place, never the content. */
export async function readSecret(source: SecretSource): Promise<string> {
  try {
    if ('file' in source) return withoutNewline(await readStart(source.file))
    if ('command' in source) {
      const [program = '', ...args] = source.command
      const { stdout } = await run(program, args, { timeout: COMMAND_TIMEOUT_MS, maxBuffer: MAX_SECRET_BYTES })
      return withoutNewline(stdout)
    }
  } catch (cause) {
    const place = 'file' in source ? 'the password file' : 'the password command'
    throw new GateError('ERR_GATE_TARGET_LOGIN', `${place} of the target cannot be read`, { cause })
  }
  const value = environment(source.environment)
  if (value === undefined)
    throw new GateError('ERR_GATE_TARGET_LOGIN', "the environment variable with the target's password is not set", {
      hint: 'Whoever runs the agent sets the one that agent.yaml names, and starts the agent again.',
    })
  return value
}

/** The file's text, unless it is so long that it can be no secret. */
async function readStart(path: string): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of createReadStream(path, { end: MAX_SECRET_BYTES })) chunks.push(chunk as Buffer)
  const bytes = Buffer.concat(chunks)
  if (bytes.length > MAX_SECRET_BYTES) throw new Error('too long')
  return bytes.toString('utf8')
}

function withoutNewline(text: string): string {
  return text.replace(/\r?\n$/, '')
}
