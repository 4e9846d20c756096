// A disk that holds or fails the journal's syncs while a file says so. Loaded into a process with --import; directory in GATE_TEST_DISK.
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'

const directory = process.env['GATE_TEST_DISK'] ?? ''
const POLL_MS = 10
const real = fs.fdatasync

/** As a disk that lost a page answers; the bytes are then not synced. */
const broken = (): NodeJS.ErrnoException => Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' })

function fdatasync(file: number, done: fs.NoParamCallback): void {
  if (fs.existsSync(join(directory, 'hold'))) setTimeout(() => fdatasync(file, done), POLL_MS)
  else if (fs.existsSync(join(directory, 'fail'))) setImmediate(() => done(broken()))
  else real(file, done)
}

if (directory !== '') {
  Object.assign(fs, { fdatasync })
  syncBuiltinESMExports()
}
