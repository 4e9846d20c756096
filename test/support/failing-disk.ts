// Loaded into a relay: the file of its record then fails as a disk fails, in node:fs, while the disk below it is well. Tests say how in a file.
import fs, { type Mode, type NoParamCallback, type OpenMode, type PathLike } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

/** How the disk is at the moment; empty when it is well. */
export type DiskTrouble =
  | ''
  /** Nothing can be written. */
  | 'write'
  /** Half of it is written, then nothing more. */
  | 'torn'
  /** What is written does not get onto the disk. */
  | 'sync'
  /** It does, once the disk is well again: until then whoever waits for it waits. */
  | 'stuck'

const LOOK_MS = 20
const file = process.env['GATE_TEST_DISK']

if (file !== undefined) {
  const { openSync, closeSync, writeSync, fdatasync } = fs
  const journals = new Set<number>()
  const trouble = (descriptor: number): DiskTrouble =>
    journals.has(descriptor) ? (fs.readFileSync(file, 'utf8').trim() as DiskTrouble) : ''
  const broken = (syscall: string): Error =>
    Object.assign(new Error(`EIO: i/o error, ${syscall}`), { code: 'EIO', errno: -5, syscall })

  fs.openSync = (path: PathLike, ...rest: [OpenMode, (Mode | null)?]) => {
    const descriptor = openSync(path, ...rest)
    if (/\/records\/events-[^/]*$/.test(String(path))) journals.add(descriptor)
    return descriptor
  }
  fs.closeSync = descriptor => {
    journals.delete(descriptor)
    closeSync(descriptor)
  }
  fs.writeSync = ((descriptor: number, ...rest: [Uint8Array, number]) => {
    const how = trouble(descriptor)
    const [bytes, offset] = rest
    if (how === 'torn') writeSync(descriptor, bytes, offset, Math.floor((bytes.length - offset) / 2))
    if (how === 'torn' || how === 'write') throw broken('write')
    return writeSync(descriptor, ...rest)
  }) as typeof fs.writeSync
  const later = (descriptor: number, done: NoParamCallback): void => {
    const how = trouble(descriptor)
    if (how === 'sync') done(broken('fdatasync') as NodeJS.ErrnoException)
    else if (how === 'stuck') setTimeout(later, LOOK_MS, descriptor, done)
    else fdatasync(descriptor, done)
  }
  fs.fdatasync = ((descriptor: number, done: NoParamCallback) => {
    process.nextTick(later, descriptor, done)
  }) as typeof fs.fdatasync
  syncBuiltinESMExports()
}
