// gate: the program on the user's machine.
import { createApp } from './app.ts'
import { main } from './main.ts'

/** Whoever reads has read enough, as head does: the code is that of a program which SIGPIPE ends. */
function endWithReader(thrown: NodeJS.ErrnoException): void {
  if (thrown.code !== 'EPIPE') throw thrown
  process.exit(141)
}

process.stdout.on('error', endWithReader)
process.stderr.on('error', endWithReader)
process.exitCode = await main(createApp(), process.argv.slice(2))
