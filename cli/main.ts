// From arguments to an exit code: finds the command, and says what went wrong.
import { asGateError, errorCodes } from '@gate/shared/errors'
import { CommanderError } from 'commander'
import type { App } from './app.ts'
import { lockNames } from './commands/locks.ts'
import { requestNames } from './commands/requests.ts'
import { sessionNames } from './commands/sessions.ts'
import { targetNames } from './commands/targets.ts'
import { completeNames, isCompletion, ownScript } from './completion.ts'
import { createProgram } from './program.ts'
import { printable } from './text.ts'
import { usageError } from './usage.ts'

/** What follows `--` belongs to another program. */
function splitArguments(args: readonly string[]): { own: readonly string[]; command: readonly string[] } {
  const at = args.indexOf('--')
  return at === -1 || isCompletion(args)
    ? { own: args, command: [] }
    : { own: args.slice(0, at), command: args.slice(at + 1) }
}

function report(app: App, args: readonly string[], thrown: unknown): number {
  const error = thrown instanceof CommanderError ? usageError(thrown) : asGateError(thrown)
  // Help was shown: asked for, or where a command was missing.
  if (error === undefined) return (thrown as CommanderError).exitCode === 0 ? 0 : errorCodes.ERR_GATE_USAGE.exit
  if (args.includes('--json')) app.note(JSON.stringify({ error: error.toJSON() }))
  else {
    app.note(`${app.style.bad('gate:')} ${printable(error.message)}`)
    if (error.detail !== undefined) app.note(`  ${printable(error.detail)}`)
    if (error.hint !== undefined) app.note(`  ${printable(error.hint)}`)
    if (error.code === 'ERR_GATE_INTERNAL' && error.cause instanceof Error)
      app.note(app.style.dim(printable(error.cause.stack ?? error.cause.message)))
  }
  return errorCodes[error.code].exit
}

/** Runs the command that the arguments say, and gives the code with which the program ends. It never throws. */
export async function main(app: App, args: readonly string[]): Promise<number> {
  const { own, command } = splitArguments(args)
  let code = 0
  try {
    if (isCompletion(own)) {
      const names = await completeNames(app, own, {
        targets: async () => (await targetNames(app)).map(({ name, protocol }) => ({ name, detail: protocol })),
        requests: () => requestNames(app),
        sessions: open => sessionNames(app, open),
        locks: () => lockNames(app),
      })
      if (names !== undefined) {
        for (const name of names) app.print(name)
        app.print(':4')
        return 0
      }
    }
    const script = ownScript(own)
    if (script !== undefined) {
      app.print(script)
      return 0
    }
    await createProgram(app, command, exitCode => {
      code = exitCode
    }).parseAsync(own, { from: 'user' })
    return code
  } catch (thrown) {
    return report(app, args, thrown)
  }
}
