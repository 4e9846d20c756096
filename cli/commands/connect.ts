// gate connect: a local port for each target, until Ctrl-C or until the given command ends.
import { spawn } from 'node:child_process'
import type { Socket } from 'node:net'
import { constants } from 'node:os'
import { Duplex } from 'node:stream'
import { setTimeout as wait } from 'node:timers/promises'
import { asGateError, errorCodes, GateError } from '@gate/shared/errors'
import { letHeapGrow } from '@gate/shared/heap'
import type { OfflineAnswers } from '@gate/shared/model'
import * as z from 'zod'
import { type App, type Connected, connectApp } from '../app.ts'
import { connectHint, type FilledHint, fillHint } from '../hint.ts'
import { type Listener, listen } from '../listen.ts'
import { offlineAnswers } from '../offline.ts'
import { portFor } from '../ports.ts'
import { fetchReceipts } from '../receipts.ts'
import { type StreamContext, serveStream } from '../stream.ts'
import { printable } from '../text.ts'
import { RelayTunnel } from '../tunnel.ts'

export interface ConnectOptions {
  readonly port?: string
  readonly task?: string
  readonly reason?: string
  readonly breakGlass?: boolean
  readonly json?: boolean
  readonly stdio?: boolean
}

const info = z.object({
  name: z.string(),
  protocol: z.string(),
  labels: z.record(z.string(), z.string()),
  online: z.boolean(),
  hint: connectHint,
  offline: offlineAnswers,
})
type TargetInfo = z.infer<typeof info>

/** The login is renewed this long before it ends, and looked at this often. */
const RENEW_BEFORE_MS = 3 * 60_000
const RENEW_CHECK_MS = 30_000
/** Receipts of sessions that ended are fetched this often while ports are open, and at the end. */
const RECEIPTS_EVERY_MS = 5 * 60_000
const LAST_RECEIPTS_MS = 5_000
/** Connections of a command that has ended are cut off after so long; one that it left to others may stay open. */
const LAST_WORDS_MS = 1_000

/** Returns the exit code. */
export async function connect(
  app: App,
  names: readonly string[],
  options: ConnectOptions,
  command: readonly string[],
): Promise<number> {
  if (command.length > 0 && names.length > 1) throw new GateError('ERR_GATE_USAGE', 'a command runs with one target')
  if (options.port !== undefined && names.length > 1)
    throw new GateError('ERR_GATE_USAGE', '--port goes with one target')
  if (options.breakGlass === true && options.reason === undefined)
    throw new GateError('ERR_GATE_USAGE', 'the glass is not broken without a reason', { hint: 'Add --reason TEXT.' })
  if (options.stdio === true && (names.length > 1 || command.length > 0 || options.port !== undefined))
    throw new GateError('ERR_GATE_USAGE', '--stdio is one connection to one target, without a port or a command')
  letHeapGrow()
  await using connected = await connectApp(app)
  if (options.stdio === true) return await connectStdio(connected, names[0] ?? '', options)
  using tunnel = new RelayTunnel(connected.profile.relay, connected.client.tls)
  const infos = await Promise.all(names.map(name => fetchInfo(connected, name)))
  const stop = new AbortController()
  const opened: Opened[] = []
  const renewing = keepLogin(connected, stop.signal)
  const keeping = setInterval(() => void keepReceipts(connected), RECEIPTS_EVERY_MS).unref()
  try {
    for (const target of infos) opened.push(await open(connected, tunnel, target, options))
    const [first] = opened
    if (command.length > 0 && first !== undefined) {
      const code = await runCommand(command, first.environment)
      await ended(first.streams)
      return code
    }
    // Whoever reads that Ctrl-C closes may press it at once.
    const interrupted = untilInterrupted()
    show(app, opened, options.json === true)
    return await interrupted
  } finally {
    stop.abort()
    clearInterval(renewing)
    clearInterval(keeping)
    for (const { listener } of opened) await listener[Symbol.asyncDispose]()
    await lastReceipts(connected)
  }
}

/** A command's last words are on their way when it has ended: cut off, they would look like a connection that was lost. */
async function ended(streams: ReadonlySet<Promise<void>>): Promise<void> {
  await Promise.race([Promise.all(streams), wait(LAST_WORDS_MS, undefined, { ref: false })])
}

/** Whoever has said that it is over does not wait long for a relay that does not answer. */
async function lastReceipts(connected: Connected): Promise<void> {
  await Promise.race([keepReceipts(connected), wait(LAST_RECEIPTS_MS, undefined, { ref: false })])
}

/** Receipts that are not to be had now come the next time; a record that was rewritten is said aloud. */
async function keepReceipts(connected: Connected): Promise<void> {
  const { app } = connected
  try {
    await fetchReceipts(connected)
  } catch (thrown) {
    const error = asGateError(thrown)
    if (error.code !== 'ERR_GATE_TAMPERED') return
    app.note(`${app.style.bad('!')} ${printable(error.message)}`)
    app.note('  What was kept of the record before is left as it is. Tell whoever watches over the relay.')
  }
}

async function fetchInfo({ client, credentials }: Connected, name: string): Promise<TargetInfo> {
  return client.call(
    { method: 'GET', path: `/v1/targets/${encodeURIComponent(name)}`, token: await credentials.token() },
    info,
  )
}

interface Opened extends FilledHint {
  readonly target: TargetInfo
  readonly listener: Listener
  /** Connections that are open; what serves them never throws. */
  readonly streams: ReadonlySet<Promise<void>>
}

async function open(
  connected: Connected,
  tunnel: RelayTunnel,
  target: TargetInfo,
  options: ConnectOptions,
): Promise<Opened> {
  const { app, profile, credentials } = connected
  const port =
    options.port === undefined ? await portFor(app.config.home, profile.relay, target.name) : parsePort(options.port)
  const say = throttled(error => complain(app, target.name, error))
  const context = streamContext(connected, tunnel, target, options, say)
  const streams = new Set<Promise<void>>()
  const serve = (socket: Socket, isKnown: boolean): void => {
    const stream = serveStream(socket, context, isKnown).finally(() => streams.delete(stream))
    streams.add(stream)
  }
  const listener = await listen(port, serve, why => app.note(`${app.style.bad('!')} ${target.name}: ${why}`))
  const kept = await credentials.find()
  const user = (kept?.subject.email ?? 'gate').replace(/@.*$/, '').replace(/[^A-Za-z0-9._-]/g, '') || 'gate'
  const host = listener.addresses[0] ?? '127.0.0.1'
  const place = { host, port: String(listener.port), target: target.name, user }
  return { target, listener, streams, ...(await fillHint(app.config.home, target.hint, place)) }
}

function complain(app: App, target: string, error: GateError): void {
  const hint = error.hint === undefined ? '' : ` — ${printable(error.hint)}`
  app.note(`${app.style.bad('!')} ${target}: ${printable(error.message)}${hint}`)
}

/** What every connection to the target is made with. */
function streamContext(
  { app, credentials }: Connected,
  tunnel: RelayTunnel,
  target: TargetInfo,
  options: ConnectOptions,
  say: (error: GateError) => void,
): StreamContext {
  return {
    tunnel,
    target: target.name,
    task: options.task,
    reason: options.reason,
    breakGlass: options.breakGlass === true,
    offline: target.offline as OfflineAnswers,
    token: () => credentials.token(),
    say,
    notice: text => app.note(`${app.style.wait('!')} ${target.name}: ${printable(text)}`),
  }
}

/** One connection on standard input and output, for programs that bring their own; returns the exit code. */
async function connectStdio(connected: Connected, name: string, options: ConnectOptions): Promise<number> {
  const { app, profile, client } = connected
  const target = await fetchInfo(connected, name)
  using tunnel = new RelayTunnel(profile.relay, client.tls)
  let code = 0
  const say = (error: GateError): void => {
    code = errorCodes[error.code].exit
    complain(app, name, error)
  }
  const stream = Duplex.from({ readable: process.stdin, writable: process.stdout })
  const stop = (): void => void stream.destroy()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, stop)
  const closed = new Promise(resolve => stream.once('close', resolve))
  // Whoever has our input may keep it open for ever; when nothing more comes, there is nothing more to say.
  stream.once('finish', () => process.stdin.destroy())
  const renewing = keepLogin(connected, new AbortController().signal)
  await serveStream(stream, streamContext(connected, tunnel, target, options, say))
  await closed
  clearInterval(renewing)
  await lastReceipts(connected)
  return code
}

function parsePort(text: string): number {
  const port = Number(text)
  if (/^\d{1,5}$/.test(text) && port <= 65535) return port
  throw new GateError('ERR_GATE_USAGE', `--port: expected 0 to 65535, got "${text}"`)
}

/** The same trouble of many connections is said once in a while. */
function throttled(say: (error: GateError) => void): (error: GateError) => void {
  let last = ''
  let lastMs = 0
  return error => {
    const now = performance.now()
    if (error.message === last && now - lastMs < 5_000) return
    last = error.message
    lastMs = now
    say(error)
  }
}

function show(app: App, opened: readonly Opened[], json: boolean): void {
  for (const { target, listener, environment, lines } of opened) {
    if (json) {
      app.print(
        JSON.stringify({
          target: target.name,
          protocol: target.protocol,
          host: listener.addresses[0],
          port: listener.port,
          environment,
        }),
      )
      continue
    }
    const offline = target.online ? '' : app.style.wait(' (no agent is online yet)')
    app.print(
      `${app.style.good('●')} ${app.style.bold(target.name)} is on ${listener.addresses.join(' and ')} port ${listener.port}${offline}`,
    )
    for (const { label, text } of lines) app.print(`    ${app.style.dim(label.padEnd(8))} ${printable(text)}`)
  }
  if (!json) app.note(app.style.dim('Ctrl-C closes.'))
}

/** Renews the login while ports are open, so that connections do not end with it. */
function keepLogin({ app, credentials }: Connected, signal: AbortSignal): NodeJS.Timeout {
  let warned = false
  const check = async (): Promise<void> => {
    const kept = await credentials.find()
    if (kept === undefined || signal.aborted) return
    const lifetimeLeftMs = kept.expiresMs - app.clock.now()
    if (lifetimeLeftMs > RENEW_BEFORE_MS || kept.expiresMs >= kept.endsMs) return
    await credentials.renew(kept)
    warned = false
  }
  return setInterval(() => {
    check().catch((thrown: unknown) => {
      if (warned || signal.aborted) return
      warned = true
      app.note(
        `${app.style.bad('!')} ${printable(asGateError(thrown).message)}; open connections end when the login does`,
      )
    })
  }, RENEW_CHECK_MS).unref()
}

async function untilInterrupted(): Promise<number> {
  await new Promise<void>(resolve => {
    process.once('SIGINT', () => resolve())
    process.once('SIGTERM', () => resolve())
    process.once('SIGHUP', () => resolve())
  })
  return 0
}

/** Runs the command with the port in its environment; its exit code is ours, 128 + n when signal n ended it. */
function runCommand(command: readonly string[], environment: Readonly<Record<string, string>>): Promise<number> {
  const [program = '', ...args] = command
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: 'inherit', env: { ...process.env, ...environment } })
    // The terminal sends Ctrl-C to both; the command decides what it means. What is sent to us alone is passed on.
    const ignore = (): void => {}
    const pass = (signal: NodeJS.Signals): void => void child.kill(signal)
    process.on('SIGINT', ignore)
    process.on('SIGTERM', pass)
    process.on('SIGHUP', pass)
    child.once('error', (cause: NodeJS.ErrnoException) =>
      reject(new GateError('ERR_GATE_USAGE', `${program} cannot be started (${cause.code})`, { cause })),
    )
    child.once('close', (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])))
  })
}
