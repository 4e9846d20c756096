// A process that writes a record as it is told on standard input, one word a line, and says what came of it. Argument: directory.
// `append` and `later` write an event of about 1 kB, `sync` waits for the disk.

import { createInterface } from 'node:readline'
import { Recorder } from '@gate/relay/record/recorder'
import { systemClock } from '@gate/shared/clock'
import { asGateError } from '@gate/shared/errors'
import { silentLog } from '@gate/shared/log'
import { testTree } from './record.ts'

const [directory = ''] = process.argv.slice(2)
// As the relay does: a file that may not grow is then an error and not the end.
process.on('SIGXFSZ', () => {})
const recorder = await Recorder.open(directory, testTree, systemClock, silentLog)
const say = (text: string): void => void process.stdout.write(`${text}\n`)
say('open')
let told = 0
for await (const word of createInterface({ input: process.stdin })) {
  told += 1
  try {
    const body = { type: 'outcome' as const, session: 's_1', command: told, status: 'x'.repeat(1000) }
    if (word === 'append') say(`${told} written ${recorder.append(body)}`)
    else if (word === 'later') {
      recorder.later(body)
      say(`${told} later`)
    } else {
      await recorder.sync()
      say(`${told} synced`)
    }
  } catch (thrown) {
    const error = asGateError(thrown)
    say(`${told} ${error.code} ${(error.cause as NodeJS.ErrnoException | undefined)?.code}`)
  }
}
await recorder.close()
say('closed')
