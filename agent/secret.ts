// Reads a secret from where the configuration says: a file, an environment variable, a command's output.
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { GateError } from '@gate/shared/errors'
import type { SecretSource } from './config.ts'
import { environment } from './environment.ts'

const run = promisify(execFile)
const COMMAND_TIMEOUT_MS = 10_000
const MAX_SECRET_BYTES = 64 * 1024

/** @throws {GateError} ERR_GATE_TARGET_LOGIN when there is no secret; the message names the place, never the content. */
export async function readSecret(source: SecretSource): Promise<string> {
  try {
    if ('file' in source) return withoutNewline(await readFile(source.file, 'utf8'))
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
    throw new GateError('ERR_GATE_TARGET_LOGIN', "the environment variable with the target's password is not set")
  return value
}

function withoutNewline(text: string): string {
  return text.replace(/\r?\n$/, '')
}
