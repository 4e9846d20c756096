// gate sessions export and replay: a session for other programs, and for people who want to see how it went.
import { writeFile } from 'node:fs/promises'
import { duration } from '@gate/shared/duration'
import { GateError } from '@gate/shared/errors'
import { type App, connectApp } from '../app.ts'
import { type ExportFormat, exported, exportFormats } from '../exports.ts'
import { stepFrames } from '../frames.ts'
import { readSession, type SessionView } from '../session-view.ts'
import { oneLine } from '../text.ts'
import { heading } from '../timeline.ts'
import type { ReplayProps } from '../ui/replay.tsx'
import { parseTime } from '../when.ts'

const MAX_SPEED = 1_000
const offset = duration(0, 30 * 86_400_000)

export async function exportSession(
  app: App,
  id: string,
  { format, output }: { readonly format: string; readonly output?: string },
): Promise<void> {
  const known = exportFormats.find(each => each === format)
  if (known === undefined)
    throw new GateError(
      'ERR_GATE_USAGE',
      `--format: expected ${exportFormats.join(', ')}, got "${oneLine(format, 20)}"`,
    )
  await using connected = await connectApp(app)
  const text = await exportText(connected, id, known)
  if (output === undefined) return void process.stdout.write(text)
  await write(output, text)
  app.note(`${app.style.good('✓')} ${output}`)
}

/** @throws {GateError} ERR_GATE_USAGE when nothing can be written there. */
async function write(file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text, { mode: 0o600 })
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    throw new GateError('ERR_GATE_USAGE', `--output: ${file} cannot be written (${code})`, { cause })
  }
}

async function exportText(
  connected: Parameters<typeof readSession>[0],
  id: string,
  format: ExportFormat,
): Promise<string> {
  const { session, events } = await readSession(connected, id)
  return exported(format, session, events)
}

export interface ReplayOptions {
  readonly speed: string
  readonly from?: string
}

/** ink and react take most of a second to load, and only the replay needs them. */
const showReplay = (props: ReplayProps): Promise<void> =>
  import('../ui/replay.tsx').then(({ runReplay }) => runReplay(props))

/** Plays a session at the terminal; without one it prints the text of it. */
export async function replaySession(app: App, id: string, options: ReplayOptions): Promise<void> {
  const speed = Number(options.speed)
  if (!(speed > 0 && speed <= MAX_SPEED))
    throw new GateError(
      'ERR_GATE_USAGE',
      `--speed: expected a number up to ${MAX_SPEED}, got "${oneLine(options.speed, 20)}"`,
    )
  await using connected = await connectApp(app)
  const { session, events } = await readSession(connected, id)
  if (!app.config.interactive) return void process.stdout.write(exported('text', session, events))
  await showReplay({
    title: heading(session, app.style, ms => new Date(ms).toLocaleString()),
    frames: stepFrames(session, events),
    speed,
    fromMs: options.from === undefined ? 0 : fromMs(session, options.from),
    monotonic: () => app.clock.monotonic(),
  })
}

/** A time in the session: so long after its beginning, or a date and time. @throws {GateError} ERR_GATE_USAGE. */
function fromMs({ startedMs }: SessionView, text: string): number {
  const after = offset.safeParse(text)
  return after.success ? after.data : parseTime('--from', text, startedMs, 'after') - startedMs
}
