// Installs and builds, once for everybody who asks at the same time. Plain JavaScript: nothing is built yet when it runs.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { accessSync, constants, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

export const root = join(dirname(fileURLToPath(import.meta.url)), '..')

const OLDEST_NODE = [20, 19]
/** An install over a slow line takes minutes; whoever waits longer than this waits for a process that hangs. */
const LOCK_WAIT_MS = 15 * 60_000

function fail(text) {
  process.stderr.write(`${text}\n`)
  process.exit(1)
}

function run(program, args) {
  const { status, error } = spawnSync(program, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
  if (error !== undefined) fail(`${program} cannot be started: ${error.message}`)
  return status ?? 1
}

function isAlive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

/** One process at a time installs and builds; two at once would pull the files from under each other. */
async function withLock(work) {
  const lock = join(root, '.cache', 'prepare.lock')
  mkdirSync(dirname(lock), { recursive: true })
  for (const deadline = Date.now() + LOCK_WAIT_MS; ; ) {
    try {
      writeFileSync(lock, String(process.pid), { flag: 'wx' })
      break
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
      const holder = Number(existsSync(lock) ? readFileSync(lock, 'utf8') : 0)
      if (holder !== 0 && !isAlive(holder)) rmSync(lock, { force: true })
      if (Date.now() > deadline) fail(`${lock} is held by process ${holder}`)
      await wait(200)
    }
  }
  try {
    return work()
  } finally {
    rmSync(lock, { force: true })
  }
}

/** npm keeps its cache at home; accounts of services have no home that they can write to. */
function giveNpmACache() {
  try {
    accessSync(homedir(), constants.W_OK)
  } catch {
    process.env.npm_config_cache ??= join(root, '.cache', 'npm')
  }
}

/** Installs what the lock file says, unless that was done already, and builds. */
export async function prepare({ quiet = false } = {}) {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  if (major < OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor < OLDEST_NODE[1])) {
    fail(`gate needs Node.js ${OLDEST_NODE.join('.')} or newer, this is ${process.versions.node}`)
  }
  giveNpmACache()
  await withLock(() => {
    const stamp = join(root, 'node_modules', '.gate-installed')
    const wanted = createHash('sha256')
      .update(readFileSync(join(root, 'package-lock.json')))
      .update(`${process.platform} ${process.arch}`)
      .digest('hex')
    if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== wanted) {
      if (!quiet) process.stderr.write('installing …\n')
      if (run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']) !== 0)
        fail('the packages cannot be installed')
      writeFileSync(stamp, wanted)
    }
    if (!quiet) process.stderr.write('building …\n')
    if (run(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-b']) !== 0)
      fail('the build failed')
    if (run(process.execPath, [join(root, 'scripts', 'bundle.mjs')]) !== 0) fail('the programs cannot be bundled')
  })
}
