// Wires one PostgreSQL connection: start-up, target, machine and decider. The room's one file with I/O.
import { randomBytes } from 'node:crypto'
import type { Clock } from '@gate/shared/clock'
import { abortReason, asGateError, GateError } from '@gate/shared/errors'
import type { Port } from '@gate/shared/port'
import { drive } from '../drive.ts'
import type { Session, TargetStream } from '../protocol.ts'
import type { Analyser } from './analysis/analyser.ts'
import { type CancelKey, type Cancels, readProcessId } from './cancels.ts'
import type { Catalogs } from './catalog-reader.ts'
import { CatalogStream } from './catalog-stream.ts'
import { authenticationOk, backendKeyData, E, errorMessage, negotiateProtocolVersion } from './codec.ts'
import { Decider } from './decider.ts'
import type { LongQueries } from './long-queries.ts'
import { PostgresMachine } from './machine.ts'
import { errorOf, isAboutSettings } from './refuse.ts'
import {
  type ClientStart,
  encodingRefusal,
  isOtherEncoding,
  isPlanSetting,
  planRefusal,
  readClientStart,
  settingName,
} from './settings.ts'
import { asTarget, Startup, type StartupEvent } from './startup.ts'

/** A client that connects says what it wants within this time; authentication_timeout of a server is longer. */
const STARTUP_TIMEOUT_MS = 15_000

export interface Room {
  readonly analyser: Analyser
  readonly catalogs: Catalogs
  readonly cancels: Cancels
  readonly longQueries: LongQueries
  readonly maskKey: Uint8Array
  readonly clock: Clock
}

type Start = Extract<StartupEvent, { kind: 'start' }>

export async function serve(room: Room, session: Session): Promise<void> {
  const client = session.client[Symbol.asyncIterator]()
  let began: Start | undefined
  try {
    began = await startup(room, session, client)
    if (began !== undefined) await run(room, session, client, began)
  } catch (thrown) {
    const cause = asGateError(thrown)
    if (!(thrown instanceof NothingToSay)) {
      // The server looks at settings when it knows who asks, and libpq tries again without application_name then.
      const before = began !== undefined && isAboutSettings(cause) ? [welcome(began)] : []
      await session.client.write(Buffer.concat([...before, errorMessage(E, errorOf(cause, 'FATAL'))]))
    }
    session.client.end()
    throw thrown instanceof NothingToSay ? thrown.reason : cause
  }
}

/** A failure of which the client is told nothing: once the machine runs it has said its last words itself. */
class NothingToSay extends Error {
  readonly reason: GateError
  constructor(reason: GateError) {
    super(reason.message)
    this.reason = reason
  }
}

/** Reads up to the start-up packet; undefined when the connection was only a cancel request, or said nothing. */
async function startup(room: Room, session: Session, client: AsyncIterator<Buffer>): Promise<Start | undefined> {
  const state = new Startup()
  const late = AbortSignal.timeout(STARTUP_TIMEOUT_MS)
  for (;;) {
    const { value, done } = await next(client, AbortSignal.any([session.signal, late]))
    if (done === true) return undefined
    const event = state.receive(value)
    if (event === undefined) continue
    if (event.kind === 'refuse-encryption') await session.client.write(event.reply)
    else if (event.kind === 'start') return event
    else if (event.kind === 'foreign') throw new NothingToSay(event.reason)
    else {
      const cancelled = room.cancels.cancel(event.processId, event.secret, session.subject().id)
      if (cancelled !== undefined) session.recordCancel(cancelled.session)
      // The server answers a cancel request by closing, whatever came of it. A client that sees that sends its next
      // command, which a request that is still under way would hit.
      await cancelled?.taken
      session.client.end()
      return undefined
    }
  }
}

function next(client: AsyncIterator<Buffer>, signal: AbortSignal): Promise<IteratorResult<Buffer>> {
  const done = new AbortController()
  const aborted = new Promise<never>((_resolve, reject) => {
    const abort = (): void => {
      const timedOut = signal.reason instanceof DOMException
      reject(
        timedOut
          ? new GateError('ERR_GATE_TIMEOUT', `no start-up packet within ${STARTUP_TIMEOUT_MS} ms`)
          : abortReason(signal),
      )
    }
    if (signal.aborted) abort()
    signal.addEventListener('abort', abort, { once: true, signal: done.signal })
  })
  return Promise.race([client.next(), aborted]).finally(() => done.abort())
}

async function run(room: Room, session: Session, client: AsyncIterator<Buffer>, began: Start): Promise<void> {
  const start = readClientStart(began.parameters)
  await session.start({ user: start.user, database: start.database, program: start.applicationName ?? '' })
  checkDatabase(session, start)
  checkSettings(session, start)
  const target = await session.open(start.parameters)
  try {
    const bringsPath = start.settings.some(([name]) => settingName(name) === 'search_path')
    await converse(room, session, client, asTarget(began, target.detail['version']), target, bringsPath)
  } finally {
    target.port.destroy()
  }
}

/** A target is one database. A client that names none asks for one that is called like its user. */
function checkDatabase(session: Session, start: ClientStart): void {
  const { database } = session.target.options
  if (database === undefined || start.database === database || start.database === start.user) return
  throw new GateError(
    'ERR_GATE_NOT_FOUND',
    `${session.target.name} is the database ${database}, not ${start.database}`,
    {
      hint: `Connect with dbname=${database}.`,
    },
  )
}

/** What SET may not do while columns are masked, the start-up may not either. */
function checkSettings(session: Session, start: ClientStart): void {
  if (!session.gate.masked) return
  const plan = start.settings.find(([name]) => isPlanSetting(name))
  if (plan !== undefined) throw new GateError('ERR_GATE_REFUSED', `the start-up parameter ${plan[0]} ${planRefusal}`)
  const encoding = start.parameters['client_encoding']
  if (encoding !== undefined && isOtherEncoding('client_encoding', encoding)) {
    throw new GateError('ERR_GATE_REFUSED', `the start-up parameter client_encoding ${encodingRefusal}`, {
      hint: 'Set PGCLIENTENCODING or client_encoding to UTF8.',
    })
  }
}

async function converse(
  room: Room,
  session: Session,
  client: AsyncIterator<Buffer>,
  began: Start,
  target: TargetStream,
  bringsPath: boolean,
): Promise<void> {
  // What gate says there is written in the standard's literals, whatever the database makes of them by default.
  const own = { application_name: 'gate catalog', standard_conforming_strings: 'on' }
  const openOwn = (signal: AbortSignal): Promise<TargetStream> => session.openOwn(own, signal)
  const read = (): ReturnType<Catalogs['read']> => room.catalogs.read(session.target.name, openOwn)
  const { database } = session.target.options
  const { role } = target.detail
  const decider = new Decider({
    gate: session.gate,
    analyser: room.analyser,
    maskKey: room.maskKey,
    clock: room.clock,
    bringsPath,
    isPooled: () => session.target.options['pooler'] !== 'session' && room.catalogs.isPooled(session.target.name),
    log: session.log,
    freshCatalog: owner => room.catalogs.fresh(session.target.name, read, owner),
    newestCatalog: () => room.catalogs.newest(session.target.name),
    readCatalog: read,
    catalogChanges: owner => room.catalogs.invalidate(session.target.name, owner),
    changes: room.catalogs.changesOf(session.target.name),
    context: { ...(database === undefined ? {} : { database }), ...(role === undefined ? {} : { role }) },
    declare: declaration => target.declare(declaration),
    openStream: async signal => new CatalogStream(await openOwn(signal)),
  })
  const cancel = async (): Promise<void> => {
    const withdrawn = decider.cancelHold() || (machine.targetIdle && decider.cancelWaiting())
    if (withdrawn) return
    // What waits for the record has not reached the target.
    await decider.recorded?.catch(() => {})
    await target.cancel()
  }
  const processId = readProcessId(target.detail['processId'])
  using key: CancelKey = room.cancels.register(began.minor, processId, session.subject().id, session.id, cancel)
  using longQueries = room.longQueries.share()
  const machine = new PostgresMachine(
    backendKeyData(key.processId, key.secret),
    `gate ${randomBytes(16).toString('hex')}`,
    room.analyser.maximumBytes,
    session.target.options['commands'] === 'declared',
    longQueries,
  )
  await session.client.write(welcome(began))
  try {
    await drive(machine, continued(session.client, client, began.rest), target.port, decider, session.signal)
  } catch (thrown) {
    const cause = asGateError(thrown)
    const words = machine.lastWords(cause)
    if (words !== undefined) await session.client.write(words)
    throw new NothingToSay(cause)
  } finally {
    decider.close()
  }
}

function welcome({ negotiate, minor }: Start): Buffer {
  const negotiation = negotiate === undefined ? [] : [negotiateProtocolVersion(minor, negotiate)]
  return Buffer.concat([...negotiation, authenticationOk])
}

/** The client's port from where the start-up left it. */
function continued(port: Port<Buffer>, iterator: AsyncIterator<Buffer>, rest: Buffer): Port<Buffer> {
  async function* units(): AsyncGenerator<Buffer> {
    if (rest.length > 0) yield rest
    yield* { [Symbol.asyncIterator]: () => iterator }
  }
  return {
    [Symbol.asyncIterator]: () => (rest.length === 0 ? iterator : units()),
    write: unit => port.write(unit),
    end: () => port.end(),
    destroy: cause => port.destroy(cause),
  }
}
