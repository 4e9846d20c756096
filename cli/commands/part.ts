// gate relay and gate agent: the other programs, where they are installed.
import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { GateError } from '@gate/shared/errors'

/** Starts gate-relay or gate-agent in place of this program. The packages do not depend on each other: it may not be there. */
export function runPart(part: 'relay' | 'agent', args: readonly string[]): Promise<number> {
  let script: string
  try {
    script = join(
      dirname(createRequire(import.meta.url).resolve(`@gate/${part}/package.json`)),
      'bin',
      `gate-${part}.js`,
    )
  } catch (cause) {
    throw new GateError('ERR_GATE_NOT_FOUND', `gate-${part} is not installed here`, {
      cause,
      hint: `Install the package @gate/${part}.`,
    })
  }
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [script, ...args], { stdio: 'inherit' })
    const pass = (signal: NodeJS.Signals): void => void child.kill(signal)
    process.on('SIGINT', () => {})
    process.on('SIGTERM', pass)
    child.once('error', reject)
    child.once('close', (code, signal) => resolve(code ?? (signal === null ? 1 : 143)))
  })
}
