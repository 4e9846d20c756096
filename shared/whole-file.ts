// Files that are there whole or not at all, also after a power cut.
import { closeSync, fsyncSync, openSync } from 'node:fs'
import { link, mkdir, open, readFile, rename, unlink, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { newId } from './id.ts'

/** Writes a file beside its place, has it on the disk, and moves it there. Its directory has still to be synced. */
export async function writeWhole(path: string, bytes: Buffer | string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const beside = `${path}.new`
  await writeFile(beside, bytes, { mode: 0o600, flush: true })
  await rename(beside, path)
}

const noLinks: ReadonlySet<string> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'])

/** The text of a file that is made once and never changed: whoever comes first makes it, and all get the same. */
export async function madeOnce(path: string, make: () => string): Promise<string> {
  const known = await textOf(path)
  if (known !== undefined) return known
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const beside = `${path}.${newId('new')}`
  await writeFile(beside, make(), { mode: 0o600, flush: true })
  try {
    // Unlike rename(), it does not replace what somebody else has made meanwhile.
    await link(beside, path)
  } catch (thrown) {
    const code = (thrown as NodeJS.ErrnoException).code ?? ''
    // Some file systems have no links.
    if (noLinks.has(code)) await writeFile(path, await readFile(beside), { flag: 'wx', mode: 0o600, flush: true })
    else if (code !== 'EEXIST') throw thrown
  } finally {
    await unlink(beside)
  }
  await syncDirectory(dirname(path))
  return readFile(path, 'utf8')
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw thrown
  }
}

/** A new file's name is durable only when its directory is synced. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** The same, for who cannot wait. */
export function syncDirectoryNow(directory: string): void {
  const handle = openSync(directory, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}
