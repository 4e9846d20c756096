// gate sessions export and replay: a session for other programs, and for people who want to see how it went.
import { writeFile } from 'node:fs/promises'
import { duration } from '@gate/shared/duration'
import { GateError } from '@gate/shared/errors'
import { type App, connectApp } from '../app.ts'
import { exported, exportFormats } from '../exports.ts'
import { stepFrames, terminalFrames, terminalsOf } from '../frames.ts'
import { type EventView, readSession, type SessionView } from '../session-view.ts'
import { oneLine } from '../text.ts'
import { heading } from '../timeline.ts'
import type { ReplayProps } from '../ui/replay.tsx'
import { parseTime, utc } from '../when.ts'

const MAX_SPEED = 1_000
const offset = duration(0, 30 * 86_400_000)

export async function exportSession(
  app: App,
  id: string,
  { format, output, command }: { readonly format: string; readonly output?: string; readonly command?: string },
): Promise<void> {
  const known = exportFormats.find(each => each === format)
  if (known === undefined)
    throw new GateError(
      'ERR_GATE_USAGE',
      `--format: expected ${exportFormats.join(', ')}, got "${oneLine(format, 20)}"`,
    )
  await using connected = await connectApp(app)
  const { session, events } = await readSession(connected, id)
  const terminal = terminalOf(events, command)
  if (known === 'asciicast') sayOthers(app, events, terminal)
  const text = exported(known, session, events, terminal)
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

/**
 * The command whose terminal is shown: that of `--command`, or the first that has one.
 * @throws {GateError} ERR_GATE_USAGE for a command without a terminal.
 */
function terminalOf(events: readonly EventView[], command: string | undefined): number | undefined {
  const terminals = terminalsOf(events)
  if (command === undefined) return terminals[0]
  const found = terminals.find(each => String(each) === command)
  if (found !== undefined) return found
  const known = terminals.length === 0 ? 'none of this session has' : `these have: ${terminals.join(', ')}`
  throw new GateError('ERR_GATE_USAGE', `--command: ${oneLine(command, 20)} has no terminal; ${known}`)
}

function sayOthers(app: App, events: readonly EventView[], shown: number | undefined): void {
  const others = terminalsOf(events).filter(each => each !== shown)
  if (others.length > 0) app.note(`Commands ${others.join(', ')} had terminals too: --command N shows them.`)
}

export interface ReplayOptions {
  readonly speed: string
  readonly from?: string
  readonly command?: string
  readonly timeline?: boolean
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
  const terminal = options.timeline === true ? undefined : terminalOf(events, options.command)
  if (!app.config.interactive) return void process.stdout.write(exported('text', session, events))
  if (terminal !== undefined) sayOthers(app, events, terminal)
  await showReplay({
    title: heading(session, app.style, utc),
    frames: terminal === undefined ? stepFrames(session, events) : terminalFrames(session, events, terminal),
    speed,
    fromMs: options.from === undefined ? 0 : fromMs(session, options.from),
    colour: app.config.color,
    monotonic: () => app.clock.monotonic(),
  })
}

/** A time in the session: so long after its beginning, or a date and time. @throws {GateError} ERR_GATE_USAGE. */
function fromMs({ startedMs }: SessionView, text: string): number {
  const after = offset.safeParse(text)
  return after.success ? after.data : parseTime('--from', text, startedMs, 'after') - startedMs
}
