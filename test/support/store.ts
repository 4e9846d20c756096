// An embedded store in a directory of its own, from the seed that scripts/test makes once.
import { join } from 'node:path'
import { openStore, type Store } from '@gate/relay/store/store'
import { systemClock } from '@gate/shared/clock'
import { silentLog } from '@gate/shared/log'
import { copyDirectory, temporaryDirectory } from './tmp.ts'

export interface EmbeddedStore extends Store {
  readonly directory: string
}

export async function startStore(): Promise<EmbeddedStore> {
  const temporary = await temporaryDirectory('store')
  const directory = join(temporary.path, 'store')
  const seed = process.env['GATE_TEST_SEED']
  if (seed !== undefined) await copyDirectory(seed, directory)
  const store = await openStore({ kind: 'embedded', directory }, systemClock, silentLog)
  let closed = false
  return {
    ...store,
    directory,
    [Symbol.asyncDispose]: async () => {
      if (closed) return
      closed = true
      await store[Symbol.asyncDispose]()
      await temporary[Symbol.asyncDispose]()
    },
  }
}
