// What the parser of the command line says, in the form in which everything else is said.
import { GateError } from '@gate/shared/errors'
import type { CommanderError } from 'commander'

/** The error to show; undefined where help or a version was shown in its place. */
export function usageError({ code, message }: CommanderError): GateError | undefined {
  if (['commander.help', 'commander.helpDisplayed', 'commander.version'].includes(code)) return undefined
  const [first = '', ...more] = message.replace(/^error: /, '').split('\n')
  const detail = more.join(' ').trim()
  return new GateError('ERR_GATE_USAGE', first, {
    ...(detail === '' ? {} : { detail }),
    hint: 'gate --help shows what there is, and gate COMMAND --help how to say it.',
  })
}
