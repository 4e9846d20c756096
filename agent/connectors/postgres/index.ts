// Logs in to PostgreSQL with the service identity and hands over the authenticated stream. pg does the login: SCRAM with
// channel binding, MD5, password, certificate.
import { asGateError, GateError } from '@gate/shared/errors'
import { type Port, socketPort } from '@gate/shared/port'
import pg from 'pg'
import { serialize } from 'pg-protocol'
import { guardedPort } from '../../approvals/guard.ts'
import type { PostgresTarget } from '../../config.ts'
import { readSecret } from '../../secret.ts'
import type { Connection, Connector } from '../connector.ts'
import { PostgresCommands } from './commands.ts'
import { LoginStream } from './handover.ts'
import { openSocket, type SslMode, sslModeOf } from './socket.ts'

const LOGIN_TIMEOUT_MS = 15_000
const CANCEL_TIMEOUT_MS = 10_000
/** Never taken from the relay among the settings: they would change who the agent is; client_encoding pg says itself. */
const ownParameters = new Set(['user', 'database', 'replication', 'client_encoding'])

export const postgres: Connector<PostgresTarget> = {
  announce: ({ name, protocol, labels, database, pooler, require_approval }) => ({
    name,
    protocol,
    labels,
    options: {
      database,
      ...(pooler === undefined ? {} : { pooler }),
      ...(require_approval === undefined ? {} : { commands: 'declared' }),
    },
  }),
  connect: async (target, parameters, signal, guard) => {
    const connection = await connectAs(target, parameters, signal)
    if (guard === undefined) return connection
    return { ...connection, port: guardedPort(connection.port, new PostgresCommands(), guard) }
  },
}

async function connectAs(
  target: PostgresTarget,
  parameters: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<Connection> {
  const mode = sslModeOf(target)
  try {
    return await connect(target, mode, parameters, signal)
  } catch (thrown) {
    // allow: plain first, TLS when the server insists on it.
    const refused = mode === 'allow' && thrown instanceof GateError && thrown.fields?.['C'] === '28000'
    if (!refused) throw thrown
    return await connect(target, 'require', parameters, signal)
  }
}

/** What pg keeps to itself: the start-up parameters, the key for cancel requests, and what the server says of itself. */
interface LoginClient {
  getStartupConf(): Record<string, string>
  processID: number | null
  secretKey: number | null
  connection: {
    on(
      event: 'parameterStatus',
      listener: (status: { readonly parameterName: string; readonly parameterValue: string }) => void,
    ): void
  }
}

async function connect(
  target: PostgresTarget,
  mode: SslMode,
  parameters: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<Connection> {
  checkParameters(parameters)
  const password = target.password === undefined ? '' : await readSecret(target.password)
  const socket = await openSocket(target, mode, signal)
  const stream = new LoginStream(socket, parameters['client_encoding'])
  const client = new pg.Client({
    user: target.user,
    database: target.database,
    // A function, so that pg looks into neither its environment nor ~/.pgpass.
    password: () => password,
    stream: () => stream as never,
    ssl: false,
    enableChannelBinding: stream.getPeerCertificate !== undefined,
    connectionTimeoutMillis: LOGIN_TIMEOUT_MS,
  } as pg.ClientConfig)
  const login = client as unknown as LoginClient
  login.getStartupConf = () => ({ ...settings(parameters), user: target.user, database: target.database })
  let version: string | undefined
  login.connection.on('parameterStatus', ({ parameterName, parameterValue }) => {
    if (parameterName === 'server_version') version = parameterValue
  })
  // After the handover the client is nobody's; its complaints about the stream are not errors.
  client.on('error', () => {})
  const abort = (): void => void stream.destroy(new Error('given up'))
  signal.addEventListener('abort', abort, { once: true })
  try {
    await client.connect()
  } catch (thrown) {
    stream.destroy()
    throw loginError(target, thrown)
  } finally {
    signal.removeEventListener('abort', abort)
  }
  const { socket: ready, first } = stream.handOver()
  const port = prefixed(socketPort(ready, 'ERR_GATE_TARGET_UNREACHABLE'), first)
  const { processID: processId, secretKey } = login
  return {
    port,
    detail: {
      role: target.user,
      ...(processId === null ? {} : { processId: String(processId) }),
      ...(version === undefined ? {} : { version }),
    },
    cancel: () => cancel(target, mode, processId ?? 0, secretKey ?? 0),
  }
}

/** A NUL would end a name or value, and what follows would be another: the one that logs in, for example. */
function checkParameters(parameters: Readonly<Record<string, string>>): void {
  if (
    Object.entries(parameters)
      .flat()
      .some(text => text.includes('\0'))
  )
    throw new GateError('ERR_GATE_PROTOCOL', 'a start-up parameter holds a NUL')
}

function settings(parameters: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(parameters).filter(([name]) => !ownParameters.has(name.toLowerCase())))
}

/** What the server said is passed on field by field; nothing of the credential is in it. */
function loginError(target: PostgresTarget, thrown: unknown): GateError {
  if (!(thrown instanceof pg.DatabaseError)) {
    return asGateError(thrown, 'ERR_GATE_TARGET_UNREACHABLE', `the agent cannot log in to ${target.name}`)
  }
  const fields = Object.fromEntries(
    Object.entries({ C: thrown.code, M: thrown.message, D: thrown.detail, H: thrown.hint }).filter(
      (entry): entry is [string, string] => typeof entry[1] === 'string',
    ),
  )
  const identity = thrown.code?.startsWith('28') === true
  return new GateError(
    identity ? 'ERR_GATE_TARGET_LOGIN' : 'ERR_GATE_TARGET_UNREACHABLE',
    identity ? `${target.name} refused gate's service identity` : `${target.name} did not accept the connection`,
    { cause: thrown, fields },
  )
}

async function cancel(target: PostgresTarget, mode: SslMode, processId: number, secretKey: number): Promise<void> {
  const late = AbortSignal.timeout(CANCEL_TIMEOUT_MS)
  const socket = await openSocket(target, mode === 'allow' ? 'prefer' : mode, late)
  // The server closes without a word, whatever came of it; by then it has signalled the backend.
  const closed = new Promise<void>(resolve => socket.once('close', () => resolve()))
  socket.on('error', () => socket.destroy())
  late.addEventListener('abort', () => socket.destroy(), { once: true })
  socket.end(serialize.cancel(processId, secretKey))
  socket.resume()
  await closed
}

/** A port whose first bytes were read already. */
function prefixed(port: Port<Buffer>, first: Buffer): Port<Buffer> {
  // A generator would stand in every chunk's way with three promises, for the sake of the first.
  const units = (): AsyncIterator<Buffer> => {
    const rest = port[Symbol.asyncIterator]()
    let next = (): Promise<IteratorResult<Buffer>> => {
      next = () => rest.next()
      return Promise.resolve({ value: first, done: false })
    }
    const end = (): Promise<IteratorResult<Buffer>> => Promise.resolve({ value: undefined, done: true })
    return { next: () => next(), return: () => rest.return?.() ?? end() }
  }
  return {
    [Symbol.asyncIterator]: units,
    write: unit => port.write(unit),
    end: () => port.end(),
    destroy: cause => port.destroy(cause),
    get broken() {
      return port.broken
    },
  }
}
