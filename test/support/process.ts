// Real processes: started, watched for a line of output, ended.
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'

/** Generous: the machines that run tests are shared. */
const DEFAULT_TIMEOUT_MS = 60_000
const KILL_AFTER_MS = 10_000

/** tap would load its own module into every program that we start; that takes a third of a second and writes files of its own. */
const withoutTap = process.env['NODE_OPTIONS']?.includes('@tapjs') === true ? { NODE_OPTIONS: undefined } : {}

export interface Finished {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface Running extends AsyncDisposable {
  readonly child: ChildProcess
  readonly pid: number
  stdout(): string
  stderr(): string
  /** Resolves with the match as soon as the output (both streams, from the beginning) matches. */
  waitFor(pattern: RegExp, timeoutMs?: number): Promise<RegExpExecArray>
  finished(timeoutMs?: number): Promise<Finished>
  kill(signal?: NodeJS.Signals): void
}

export interface StartOptions extends Pick<SpawnOptions, 'cwd' | 'uid' | 'gid'> {
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly input?: string
}

export function start(program: string, args: readonly string[], options: StartOptions = {}): Running {
  const child = spawn(program, args, {
    cwd: options.cwd,
    uid: options.uid,
    gid: options.gid,
    env: { ...process.env, ...withoutTap, ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  } as SpawnOptions)
  let out = ''
  let err = ''
  const watchers = new Set<() => void>()
  const changed = (): void => {
    for (const watcher of watchers) watcher()
  }
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    out += text
    changed()
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    err += text
    changed()
  })
  // A process that ends before it read its input is no error of the test's.
  child.stdin?.on('error', () => {})
  if (options.input !== undefined) child.stdin?.end(options.input)
  const ended = new Promise<Finished>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve({ code, signal, stdout: out, stderr: err }))
  })
  let over = false
  const end = (): void => {
    over = true
    changed()
  }
  ended.then(end, end)
  const waitFor = (pattern: RegExp, timeoutMs = DEFAULT_TIMEOUT_MS): Promise<RegExpExecArray> =>
    new Promise((resolve, reject) => {
      const fail = (why: string): void => {
        clearTimeout(timer)
        watchers.delete(look)
        reject(new Error(`${program} ${args.join(' ')}: ${why} ${pattern}\n--- stdout\n${out}\n--- stderr\n${err}`))
      }
      const look = (): void => {
        const match = pattern.exec(`${out}\n${err}`)
        if (match !== null) {
          clearTimeout(timer)
          watchers.delete(look)
          resolve(match)
        } else if (over) fail('ended without')
      }
      const timer = setTimeout(() => fail('did not say in time'), timeoutMs)
      watchers.add(look)
      look()
    })
  const kill = (signal: NodeJS.Signals = 'SIGTERM'): void => void child.kill(signal)
  return {
    child,
    pid: child.pid ?? -1,
    stdout: () => out,
    stderr: () => err,
    waitFor,
    kill,
    finished: (timeoutMs = DEFAULT_TIMEOUT_MS) => {
      const late = new Promise<never>((_resolve, reject) => {
        const timer = setTimeout(
          () => reject(new Error(`${program} ${args.join(' ')} did not end\n${out}\n${err}`)),
          timeoutMs,
        )
        ended.finally(() => clearTimeout(timer)).catch(() => {})
      })
      return Promise.race([ended, late])
    },
    [Symbol.asyncDispose]: async () => {
      if (!over) child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS)
      await ended.catch(() => {})
      clearTimeout(timer)
    },
  }
}

/** Runs a program to its end. */
export async function run(
  program: string,
  args: readonly string[],
  options: StartOptions = {},
  timeoutMs = DEFAULT_TIMEOUT_MS,
): Promise<Finished> {
  await using running = start(program, args, { input: '', ...options })
  return await running.finished(timeoutMs)
}
