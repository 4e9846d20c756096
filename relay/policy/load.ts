// Reads policy files and keeps reading them: a file that does not load leaves the old policy in force.
import { readFile, stat } from 'node:fs/promises'
import type { Clock } from '@gate/shared/clock'
import { asGateError, type GateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import type { Vocabulary } from '@gate/shared/model'
import { createPolicy, type Policy } from './decide.ts'
import { describedBy, routesIn } from './openapi.ts'
import { type Abilities, compilePolicy, type PolicySource } from './rules.ts'

/** How often the files' times are looked at; watching by inotify misses editors that replace files and network mounts. */
const CHECK_INTERVAL_MS = 1000

/** @throws {GateError} ERR_GATE_CONFIG naming each mistake and its place. */
export async function readPolicy(
  files: readonly string[],
  vocabulary: Vocabulary,
  abilities: Abilities,
): Promise<Policy> {
  return createPolicy(compilePolicy(await readSources(files), vocabulary, abilities))
}

async function readSources(files: readonly string[]): Promise<PolicySource[]> {
  return Promise.all(
    files.map(async file => {
      const text = await readText(file)
      const openapi = new Map<string, readonly string[]>()
      for (const [name, path] of describedBy(file, text)) openapi.set(name, routesIn(path, await readText(path)))
      return { file, text, openapi }
    }),
  )
}

/** The policy's files and the descriptions that they name. */
async function allFiles(files: readonly string[]): Promise<readonly string[]> {
  const described = files.map(async file => {
    const text = await readFile(file, 'utf8').catch(() => '')
    return [...describedBy(file, text).values()]
  })
  return [...files, ...(await Promise.all(described)).flat()]
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? 'unknown error'
    throw asGateError(cause, 'ERR_GATE_CONFIG', `${file}: cannot be read (${code})`)
  }
}

async function fingerprint(files: readonly string[]): Promise<string> {
  const stats = await Promise.all(
    files.map(file =>
      stat(file).then(
        found => `${found.ino}:${found.size}:${found.mtimeMs}`,
        () => 'gone',
      ),
    ),
  )
  return stats.join('|')
}

export interface PolicyFiles extends AsyncDisposable {
  readonly current: Policy
  /** What is wrong with the newest files, while an older policy is in force. */
  readonly fault: GateError | undefined
}

/** Loads the files once, failing if they are wrong, and then again whenever one changes. */
export async function followPolicy(
  files: readonly string[],
  vocabulary: Vocabulary,
  abilities: Abilities,
  clock: Clock,
  log: Log,
): Promise<PolicyFiles> {
  const stop = new AbortController()
  // Before reading: a change in between is then seen as one.
  let watched = await allFiles(files)
  let seen = await fingerprint(watched)
  let current = await readPolicy(files, vocabulary, abilities)
  let fault: GateError | undefined
  log.info('policy.loaded', { version: current.version })
  const check = async (): Promise<void> => {
    if ((await fingerprint(watched)) === seen) return
    watched = await allFiles(files)
    seen = await fingerprint(watched)
    try {
      current = await readPolicy(files, vocabulary, abilities)
      fault = undefined
      log.info('policy.loaded', { version: current.version })
    } catch (thrown) {
      fault = asGateError(thrown)
      log.error('policy.refused', { reason: fault.message, version: current.version })
    }
  }
  const following = (async () => {
    while (!stop.signal.aborted) {
      await clock.sleep(CHECK_INTERVAL_MS, stop.signal)
      await check()
    }
  })().catch(thrown => {
    if (!stop.signal.aborted) log.error('policy.stopped', { error: thrown })
  })
  return {
    get current() {
      return current
    },
    get fault() {
      return fault
    },
    [Symbol.asyncDispose]: async () => {
      stop.abort()
      await following
    },
  }
}
