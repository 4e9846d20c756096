// ./scripts/demo --check: plays the whole story, as three people, through the processes that people use.
import { Cast } from './actor.ts'
import { arrive } from './check-arrival.ts'
import { look } from './check-masks.ts'
import { lookBack } from './check-record.ts'
import { serve } from './check-service.ts'
import { change } from './check-writes.ts'
import { Report } from './report.ts'
import { say, style } from './terminal.ts'
import type { World } from './world.ts'

/** Returns how every step went. @throws when `signal` is aborted. */
export async function playStory(world: World, signal: AbortSignal): Promise<Report> {
  const report = new Report(signal)
  await using cast = new Cast(world, report)
  const { postgres, client, directory } = world
  say(
    style.dim(`PostgreSQL ${postgres.version}; the SQL client is ${client.description}; everything is in ${directory}`),
  )
  say()
  const interrupted = new Promise<never>((_resolve, reject) =>
    signal.addEventListener('abort', () => reject(new Error('interrupted')), { once: true }),
  )
  await Promise.race([play(cast), interrupted])
  return report
}

async function play(cast: Cast): Promise<void> {
  await arrive(cast)
  await look(cast)
  await change(cast)
  await serve(cast)
  await lookBack(cast)
}
