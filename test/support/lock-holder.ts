// A process that takes a lock, says so, and keeps it until its standard input ends. Arguments: path, patience in ms.
import { systemClock } from '@gate/shared/clock'
import { asGateError } from '@gate/shared/errors'
import { takeLock } from '@gate/shared/lock'

const [path = '', patience = '0'] = process.argv.slice(2)
try {
  await using _lock = await takeLock(path, Number(patience), systemClock)
  process.stdout.write('taken\n')
  for await (const _chunk of process.stdin);
  process.stdout.write('given back\n')
} catch (thrown) {
  process.stdout.write(`${asGateError(thrown).code}\n`)
}
