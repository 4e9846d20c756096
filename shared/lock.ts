// A lock file for one directory or secret: released by a crash, never taken from a living owner.

import { readFileSync } from 'node:fs'
import { mkdir, open, readFile, rm, stat } from 'node:fs/promises'
import { hostname } from 'node:os'
import type { Clock } from './clock.ts'
import { GateError } from './errors.ts'
import { newSecret } from './id.ts'

/** A takeover is a few system calls; whoever is at it for longer has crashed. */
const STALE_MS = 5_000

interface Owner {
  pid: number
  /** Start time of the process, so that a recycled pid does not count as the old owner. Empty where the system gives none. */
  started: string
  host: string
  token: string
}

/** Field 22 of /proc/PID/stat (proc(5)): start time in clock ticks after boot. */
function startTime(pid: number): string {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? ''
  } catch {
    return ''
  }
}

function isAlive(owner: Owner): boolean {
  // Another machine's processes cannot be seen from here: assume they live.
  if (owner.host !== hostname()) return true
  try {
    process.kill(owner.pid, 0)
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === 'EPERM'
  }
  return owner.started === startTime(owner.pid)
}

async function readOwner(path: string): Promise<Owner | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'))
    if (typeof value === 'object' && value !== null && 'pid' in value && 'token' in value) return value as Owner
  } catch (thrown) {
    if (!(thrown instanceof SyntaxError) && (thrown as NodeJS.ErrnoException).code !== 'ENOENT') throw thrown
  }
  return undefined
}

async function create(path: string, owner: Owner): Promise<boolean> {
  try {
    const file = await open(path, 'wx', 0o600)
    await file.writeFile(JSON.stringify(owner))
    await file.close()
    return true
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw thrown
  }
}

/** Whether a file or directory was left by a crash; one from the future was, before the clock was set back. Undefined when it is not there. */
async function isStale(path: string): Promise<boolean | undefined> {
  const found = await stat(path).catch(() => undefined)
  return found === undefined ? undefined : Math.abs(Date.now() - found.mtimeMs) > STALE_MS
}

/**
 * Removes the file of a dead owner; true when it is worth trying again at once.
 * Only one process at a time may judge and remove: two that did so at once could remove a living one's.
 */
async function removeDead(path: string): Promise<boolean> {
  const guard = `${path}.guard`
  try {
    await mkdir(guard)
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') throw thrown
    const stale = await isStale(guard)
    if (stale === true) await rm(guard, { recursive: true, force: true })
    return stale !== false
  }
  try {
    const owner = await readOwner(path)
    // A file without an owner is either being written this moment or was left by a crash in between.
    const dead = owner === undefined ? await isStale(path) : !isAlive(owner)
    if (dead === true) await rm(path, { force: true })
    return dead !== false
  } finally {
    await rm(guard, { recursive: true, force: true })
  }
}

export interface Lock extends AsyncDisposable {
  readonly path: string
}

/**
 * Takes the lock, waiting up to `waitMs`.
 * @throws {GateError} ERR_GATE_CONFLICT when another living process holds it.
 */
export async function takeLock(path: string, waitMs: number, clock: Clock): Promise<Lock> {
  const owner: Owner = { pid: process.pid, started: startTime(process.pid), host: hostname(), token: newSecret() }
  const deadline = clock.monotonic() + waitMs
  for (;;) {
    if (await create(path, owner)) return { path, [Symbol.asyncDispose]: () => release(path, owner) }
    const holder = await readOwner(path)
    const dead = holder === undefined || !isAlive(holder)
    if (dead && (await removeDead(path))) continue
    if (clock.monotonic() >= deadline) {
      const who =
        holder === undefined ? 'being taken by another process' : `held by process ${holder.pid} on ${holder.host}`
      throw new GateError('ERR_GATE_CONFLICT', `${path} is ${who}`)
    }
    await clock.sleep(Math.min(50, Math.max(1, deadline - clock.monotonic())))
  }
}

async function release(path: string, owner: Owner): Promise<void> {
  const holder = await readOwner(path)
  if (holder?.token === owner.token) await rm(path, { force: true })
}
