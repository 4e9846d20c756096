// Files of our own: in a directory only we can enter, replaced whole or not at all.
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { GateError } from '@gate/shared/errors'
import { newId } from '@gate/shared/id'

/** Makes the directory with mode 0700. @throws {GateError} ERR_GATE_CONFIG when others could write to it. */
export async function ownDirectory(path: string): Promise<string> {
  await mkdir(path, { recursive: true, mode: 0o700 })
  const found = await stat(path)
  const foreign = process.getuid !== undefined && found.uid !== process.getuid()
  if (foreign || (found.mode & 0o022) !== 0) {
    throw new GateError('ERR_GATE_CONFIG', `${path} belongs to or can be written by somebody else`, {
      hint: `Run: chmod 700 ${path}`,
    })
  }
  return path
}

/** The file's text; undefined when there is none. */
export async function readOwnFile(directory: string, name: string): Promise<string | undefined> {
  try {
    return await readFile(join(directory, name), 'utf8')
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw thrown
  }
}

/** Writes a new file beside the old one and puts it in its place, with mode 0600. */
export async function writeOwnFile(directory: string, name: string, text: string): Promise<void> {
  await ownDirectory(directory)
  const temporary = join(directory, `.${name}.${newId('new')}`)
  try {
    const file = await open(temporary, 'wx', 0o600)
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, join(directory, name))
  } catch (thrown) {
    await rm(temporary, { force: true })
    throw thrown
  }
}

export async function removeOwnFile(directory: string, name: string): Promise<void> {
  await rm(join(directory, name), { force: true })
}
