// What an agent keeps of relays' records: the newest checkpoint, on a disk that may fail.
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Checkpoints } from '@gate/agent/checkpoints'
import { Recorder } from '@gate/relay/record/recorder'
import { systemClock } from '@gate/shared/clock'
import { type Log, silentLog } from '@gate/shared/log'
import t from 'tap'
import { testTree } from '../support/record.ts'
import { temporaryDirectory } from '../support/tmp.ts'

t.test('a disk that fails accuses nobody, and what comes afterwards is kept', async t => {
  await using directory = await temporaryDirectory('checkpoints')
  const recorder = await Recorder.open(join(directory.path, 'record'), testTree, systemClock, silentLog)
  const errors: string[] = []
  const log: Log = { ...silentLog, error: event => void errors.push(event) }
  const state = join(directory.path, 'state')
  const checkpoints = await Checkpoints.open(state, log)
  await writeFile(state, 'a file where the directory should be')
  const take = async (): Promise<number> => {
    recorder.append({ type: 'audit', by: 'somebody', from: 1 })
    const { size } = await recorder.seal()
    const { checkpoint, proof } = await recorder.consistency(checkpoints.held()[0]?.size ?? 0)
    await checkpoints.take({ verifier: recorder.verifier.text, checkpoint, proof: [...proof] })
    return size
  }
  await take()
  t.same(errors, ['record.checkpoint-not-kept'])
  await rm(state)
  const size = await take()
  t.same(errors, ['record.checkpoint-not-kept'])
  t.match(await readFile(join(state, 'checkpoints.json'), 'utf8'), new RegExp(`\\\\n${size}\\\\n`))
  t.same((await Checkpoints.open(state, log)).held(), checkpoints.held())
  await recorder.close()
})
