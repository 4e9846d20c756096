// gate at a real terminal: that of util-linux's script(1).
import { existsSync } from 'node:fs'
import { programs } from './gate.ts'
import { type Running, start } from './process.ts'

/** util-linux's program that gives a program a terminal. */
export const SCRIPT = '/usr/bin/script'
export const hasScript = existsSync(SCRIPT)

/** Runs a gate command in a terminal of 80 columns and 24 lines. */
export function atTerminal(
  home: string,
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>> = {},
): Running {
  const command = `stty cols 80 rows 24; exec ${process.execPath} ${programs.gate} ${args.join(' ')}`
  return start(SCRIPT, ['-qefc', command, '/dev/null'], {
    env: {
      GATE_HOME: home,
      GATE_KEYCHAIN: 'file',
      GATE_RELAY: undefined,
      CI: undefined,
      TERM: 'xterm',
      NO_COLOR: undefined,
      FORCE_COLOR: undefined,
      ...env,
    },
  })
}
