// ./scripts/demo: starts everything and waits for Ctrl-C, or plays the story.
import { playStory } from './check.ts'
import { showGuide } from './guide.ts'
import type { Report } from './report.ts'
import { say, style } from './terminal.ts'
import { startWorld, type World } from './world.ts'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
const INTERRUPTED = 130

/** Returns the exit code. */
export async function demo({ check }: { readonly check: boolean }): Promise<number> {
  const stop = new AbortController()
  for (const name of SIGNALS) process.on(name, () => stop.abort(name))
  // Whoever read our output has gone, for example `| head`; there is nobody left to run for.
  process.stdout.on('error', () => stop.abort('EPIPE'))
  const stopped = new Promise<void>(resolve => stop.signal.addEventListener('abort', () => resolve()))
  try {
    const report = await runWorld(check, stop.signal, stopped)
    return report === undefined ? 0 : report.finish()
  } catch (thrown) {
    if (stop.signal.aborted) return INTERRUPTED
    process.stderr.write(`${style.bad('The demo cannot go on:')} ${explain(thrown)}\n`)
    return 1
  }
}

/** Returns how the story went, when everything has ended. */
async function runWorld(check: boolean, signal: AbortSignal, stopped: Promise<void>): Promise<Report | undefined> {
  await using world = await startWorld(text => say(style.dim(text)), signal)
  try {
    if (check) return await playStory(world, signal)
    await stay(world, stopped)
  } finally {
    say(style.dim('ending everything …'))
  }
  return undefined
}

/** Waits for Ctrl-C. @throws when one of the processes ends by itself. */
async function stay(world: World, stopped: Promise<void>): Promise<void> {
  showGuide(world)
  const died = new Promise<never>((_resolve, reject) => {
    for (const [name, running] of [
      ['relay', world.relay.process()],
      ['agent', world.agent.process()],
    ] as const) {
      running.child.once('exit', () =>
        reject(new Error(`the ${name} has ended by itself; its last words:\n${running.stderr().slice(-2_000)}`)),
      )
    }
  })
  // Ctrl-C in a terminal reaches them as well, and they may be quicker.
  const patient = died.catch(async (thrown: unknown) => {
    const grace = new Promise<'died'>(resolve => setTimeout(() => resolve('died'), 500).unref())
    if ((await Promise.race([stopped, grace])) === 'died') throw thrown
  })
  await Promise.race([stopped, patient])
  say()
}

function explain(thrown: unknown): string {
  if (thrown instanceof AggregateError) return thrown.errors.map(explain).join('\n')
  return thrown instanceof Error ? thrown.message : String(thrown)
}
