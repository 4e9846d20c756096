// Files that are there whole or not at all, also after a power cut.
import { closeSync, fsyncSync, openSync } from 'node:fs'
import { mkdir, open, rename, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Writes a file beside its place, has it on the disk, and moves it there. Its directory has still to be synced. */
export async function writeWhole(path: string, bytes: Buffer | string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const beside = `${path}.new`
  await writeFile(beside, bytes, { mode: 0o600, flush: true })
  await rename(beside, path)
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
