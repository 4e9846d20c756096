// The demo's directory: a short name that can be guessed, and one for each demo that runs.
import { chmod, mkdir, realpath, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../../..', import.meta.url))
/** Files that are read as they are, not compiled. */
export const source = (name: string): string => join(root, 'scripts', 'demonstration', name)

const MAX_DEMOS = 1_000

export interface Place extends AsyncDisposable {
  readonly path: string
}

/** Takes `gate-demo`, or `gate-demo-2` and so on when others have it. Everything that is started keeps its files in it. */
export async function takePlace(): Promise<Place> {
  const parent = await temporaryRoot()
  for (let number = 1; number <= MAX_DEMOS; number += 1) {
    const path = join(parent, number === 1 ? 'gate-demo' : `gate-demo-${number}`)
    try {
      await mkdir(path, { mode: 0o700 })
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code === 'EEXIST') continue
      throw new Error(`no directory can be made in ${parent}: ${(thrown as Error).message}`, { cause: thrown })
    }
    // Root's PostgreSQL server runs as another user, who has to get to its own directory in here.
    if (process.getuid?.() === 0) await chmod(path, 0o711)
    process.env['TMPDIR'] = path
    return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 5 }) }
  }
  throw new Error(`there are ${MAX_DEMOS} demos in ${parent}; remove what is left of old ones: ${parent}/gate-demo*`)
}

/** The system's directory for temporary files; root's own one may be closed to the user of its PostgreSQL server. */
async function temporaryRoot(): Promise<string> {
  const usual = await realpath(tmpdir())
  return process.getuid?.() !== 0 || (await isOpen(usual)) ? usual : '/tmp'
}

async function isOpen(directory: string): Promise<boolean> {
  const { mode } = await stat(directory)
  if ((mode & 0o001) === 0) return false
  return dirname(directory) === directory || isOpen(dirname(directory))
}
