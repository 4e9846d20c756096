// Commands of gate in the test's own process: to start node for each costs seconds where tests give many.
import type { App } from '@gate/cli/app'
import { readCliConfig } from '@gate/cli/config'
import { main } from '@gate/cli/main'
import { createStyle } from '@gate/cli/text'
import { systemClock } from '@gate/shared/clock'
import type { Finished } from './process.ts'

/** What commands start from for somebody whose gate directory is `home`, outside a terminal. */
export function appOf(home: string, print: (text: string) => void, note: (text: string) => void): App {
  const config = readCliConfig({ GATE_HOME: home, GATE_KEYCHAIN: 'file' })
  const plain = { ...config, interactive: false, color: false, canOpenBrowser: false }
  return { config: plain, clock: systemClock, style: createStyle(plain), print, note }
}

/** Runs one to its end. */
export async function runInProcess(home: string, args: readonly string[]): Promise<Finished> {
  const [stdout, stderr]: [string[], string[]] = [[], []]
  const app = appOf(
    home,
    text => void stdout.push(`${text}\n`),
    text => void stderr.push(`${text}\n`),
  )
  const code = await main(app, args)
  return { code, signal: null, stdout: stdout.join(''), stderr: stderr.join('') }
}
