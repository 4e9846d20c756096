// A running relay: opens its parts in order and closes them in the other.
import { mkdir, readFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Cleanup } from '@gate/shared/cleanup'
import type { Clock } from '@gate/shared/clock'
import { asGateError, GateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import type { Vocabulary } from '@gate/shared/model'
import { addApi } from './admin/api.ts'
import { rememberRelay } from './admin/elsewhere.ts'
import { addKill } from './admin/kill-api.ts'
import { addLocks } from './admin/locks-api.ts'
import { addRecords } from './admin/records-api.ts'
import { addRequests } from './admin/requests-api.ts'
import { addReviews } from './admin/reviews-api.ts'
import { addSessions } from './admin/sessions-api.ts'
import { openAdminSocket } from './admin/socket.ts'
import { addSessionWatch } from './admin/watch-api.ts'
import { Approvals } from './approval/approvals.ts'
import type { RelayConfig } from './config.ts'
import type { CheckpointSource } from './egress/agent-connection.ts'
import { Agents } from './egress/agents.ts'
import { SessionIndexer } from './history/indexer.ts'
import { Enrolments } from './identity/enrolments.ts'
import { createIssuers } from './identity/issuers.ts'
import { Logins } from './identity/logins.ts'
import { acceptUpgrades, createServer, type Upgrades } from './ingress/server.ts'
import { Locks } from './locks/locks.ts'
import { placeholderKey } from './mask/placeholder.ts'
import { commandHook, type Hook, webhook } from './notices/hooks.ts'
import { Notices } from './notices/notices.ts'
import { followPolicy } from './policy/load.ts'
import type { Abilities } from './policy/rules.ts'
import type { Protocol } from './protocols/protocol.ts'
import { createProtocols } from './protocols/registry.ts'
import { treeOrigin } from './record/archive.ts'
import { openBucket } from './record/object-store.ts'
import { Recorder } from './record/recorder.ts'
import { Sealer } from './record/sealer.ts'
import type { UploadTerms } from './record/uploads.ts'
import { Kills } from './session/kills.ts'
import { TargetBytes } from './session/record-limits.ts'
import type { RecordTerms } from './session/recorded-text.ts'
import { Sessions } from './session/sessions.ts'
import { fileSink, httpSink, type Sink } from './sinks/sink.ts'
import { Sinks } from './sinks/sinks.ts'
import { lockState, readMaskKey, readRecordKey, readRelayId, START_WAIT_MS } from './state.ts'
import { openStore, type StoreConfig } from './store/store.ts'

export interface Relay extends AsyncDisposable {
  readonly port: number
}

/** The store that a configuration names. */
export async function storeConfig(config: RelayConfig): Promise<StoreConfig> {
  if (config.store.kind === 'embedded') return { kind: 'embedded', directory: join(config.state, 'store') }
  const url = (await readFile(config.store.url_file, 'utf8')).trim()
  return { kind: 'postgres', url, maximumConnections: config.store.maximum_connections }
}

/** All facts of all protocols; where two protocols share a name, they share the type. */
export function vocabularyOf(protocols: readonly Protocol[]): Vocabulary {
  return Object.assign({}, ...protocols.map(protocol => protocol.vocabulary))
}

/**
 * Starts a relay, with the rooms of every protocol unless others are given.
 * @throws {GateError} when a part cannot be opened; what was opened before is closed again.
 */
export async function startRelay(
  config: RelayConfig,
  clock: Clock,
  log: Log,
  createRooms: typeof createProtocols = createProtocols,
): Promise<Relay> {
  await using opening = new Cleanup()
  await mkdir(config.state, { recursive: true, mode: 0o700 })
  opening.use(
    await lockState(config.state, START_WAIT_MS, clock, holder => log.info('relay.waiting', { reason: holder })),
  )
  const relay = await readRelayId(config.state)
  const maskKey = await readMaskKey(config.state)
  const records = join(config.state, 'records')
  const tree = { origin: treeOrigin(config.url, relay), key: await readRecordKey(config.state) }
  const uploads = await uploadTerms(config, relay)
  const recorder = opening.adopt(
    await Recorder.open(records, tree, clock, log, { uploads, retentionMs: config.record.retention }),
    opened => opened.close(),
  )
  const store = opening.use(await openStore(await storeConfig(config), clock, log))
  await rememberRelay(store, relay, config.url, clock.now())
  opening.use(await SessionIndexer.start(store, relay, recorder, clock, log))
  opening.use(await Sinks.start(await sinksOf(config), join(config.state, 'sinks'), recorder, clock, log))
  const { token: tokenMs, maximum_session: maximumMs } = config.identity
  const locks = opening.use(await Locks.start(store, recorder, clock, log))
  const logins = opening.use(await Logins.start(store, { tokenMs, maximumMs }, locks, clock, log))
  const enrolments = new Enrolments(store, clock)
  const agents = new Agents(
    config.url,
    config.limits.agent_streams,
    enrolments,
    checkpointsOf(recorder, log),
    locks,
    store,
    clock,
    log,
  )
  await agents.followEnrolments()
  const {
    statement_bytes: statementBytes,
    request_head,
    request_body,
    request_idle,
    websocket_message_bytes,
  } = config.limits
  const http = {
    headMs: request_head,
    bodyMs: request_body,
    idleMs: request_idle,
    messageBytes: websocket_message_bytes,
  }
  const roomOptions = { statementBytes, maskKey, http }
  const protocols = createRooms(roomOptions, clock, log)
  for (const protocol of protocols) opening.use(protocol)
  const policies = opening.use(
    await followPolicy(config.policy, vocabularyOf(protocols), abilitiesOf(config), clock, log),
  )
  const policy = (): typeof policies.current => policies.current
  const notices = opening.use(new Notices(await hooksOf(config, clock), config.url, clock, log))
  const approvalOptions = { relay, url: config.url, limitPerSubject: config.limits.waiting_requests_per_subject }
  const approvals = opening.use(await Approvals.start(store, approvalOptions, notices, clock, log))
  const limits = {
    connections: config.limits.connections,
    connectionsPerSubject: config.limits.connections_per_subject,
  }
  const record = await recordTerms(config, maskKey, clock, log)
  const parts = { agents, logins, policy, locks, approvals, recorder, store, protocols }
  const context = { relay, ...parts, record, limits, clock, log }
  const app = opening.adopt(await createServer(config, log), opened => opened.close())
  // Streams end before the server does: it waits for them, and they have last words to say.
  opening.adopt(agents, opened => opened.close())
  const sessions = opening.adopt(new Sessions(context), opened => opened.close())
  addApi(app, {
    config,
    relay: config.url,
    issuers: createIssuers(config.issuers),
    logins,
    enrolments,
    agents,
    policy,
    protocols,
    store,
  })
  addRequests(app, { approvals, logins, agents, policy, now: () => clock.now(), log })
  addReviews(app, approvals, logins, log)
  addRecords(app, { store, logins, recorder, relay, auditors: config.record.auditors })
  const sessionsApi = { store, logins, policy, recorder, sessions, relay, maximumMs, clock, log }
  addSessions(app, sessionsApi)
  addSessionWatch(app, sessionsApi)
  addKill(app, sessionsApi)
  addLocks(app, { locks, logins, agents, store, policy, operators: config.operators, log })
  // Sessions hear of locks first, to say whose and why; then what else hangs on a login, and the agents themselves.
  for (const each of [sessions, logins, agents]) locks.watch(active => each.lock(active))
  opening.use(await Kills.start(store, relay, sessions, clock, log))
  acceptUpgrades(app, upgrades(logins, agents, sessions), config, log)
  await listen(() => app.listen({ host: config.listen.host, port: config.listen.port }), config)
  opening.use(await openAdminSocket(config.state, enrolments))
  const { port } = app.server.address() as AddressInfo
  log.info('relay.listening', { host: config.listen.host, port, url: config.url, relay })
  const opened = opening.move()
  return { port, [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose]() }
}

/** What policy may ask of a relay with this configuration. */
export function abilitiesOf({ record }: RelayConfig): Abilities {
  return { seals: record.recipients.length > 0 }
}

/** Where the record is uploaded to. @throws {GateError} ERR_GATE_CONFIG when the credentials cannot be read. */
async function uploadTerms({ record }: RelayConfig, relay: string): Promise<UploadTerms | undefined> {
  if (record.storage === undefined) return undefined
  const { endpoint, region, bucket, force_path_style: forcePathStyle, credentials_file: file } = record.storage.s3
  // Each relay has a tree of its own, so none may write over another's.
  const prefix = `${record.storage.s3.prefix}${relay}/`
  const credentials = file === undefined ? undefined : readCredentials(file, await readSecret(file))
  const store = await openBucket({ endpoint, region, bucket, prefix, credentials, forcePathStyle })
  const place = [endpoint ?? region, bucket, prefix].join(' ')
  return { store, place, backlogBytes: record.storage.s3.backlog_bytes }
}

function readCredentials(file: string, text: string): { accessKeyId: string; secretAccessKey: string } {
  const [accessKeyId = '', secretAccessKey = ''] = text.split('\n').map(line => line.trim())
  if (accessKeyId !== '' && secretAccessKey !== '') return { accessKeyId, secretAccessKey }
  throw new GateError(
    'ERR_GATE_CONFIG',
    `${file}: expected the id of an access key on one line and its secret on the next`,
  )
}

/** @throws {GateError} ERR_GATE_CONFIG when a recipient is none. */
async function recordTerms({ record }: RelayConfig, maskKey: Uint8Array, clock: Clock, log: Log): Promise<RecordTerms> {
  const sealer = record.recipients.length === 0 ? undefined : await Sealer.open(record.recipients, clock, log)
  return {
    limits: {
      eventBytes: record.event_bytes,
      sessionBytes: record.session_bytes,
      targetBytesPerDay: record.target_bytes_per_day,
    },
    key: placeholderKey(maskKey),
    targetBytes: new TargetBytes(),
    seal: sealer === undefined ? undefined : text => sealer.seal(text),
    durability: record.durability,
  }
}

/** @throws {GateError} ERR_GATE_CONFIG when a secret cannot be read. */
async function hooksOf(config: RelayConfig, clock: Clock): Promise<Hook[]> {
  const hooks = config.notices.map(async (hook): Promise<Hook> => {
    if ('command' in hook) return commandHook(hook.command, hook.events)
    const { url, format, events: kinds, secret_file: file } = hook
    const secret = file === undefined ? undefined : (await readSecret(file)).trim()
    return webhook({ url, format, kinds, secret }, () => clock.now())
  })
  return Promise.all(hooks)
}

/** @throws {GateError} ERR_GATE_CONFIG when a token cannot be read. */
function sinksOf({ record }: RelayConfig): Promise<Sink[]> {
  return Promise.all(
    record.sinks.map(async (sink): Promise<Sink> => {
      if ('file' in sink) return fileSink(sink.name, sink.file)
      const token = sink.token_file === undefined ? undefined : (await readSecret(sink.token_file)).trim()
      return httpSink(sink.name, sink.url, token)
    }),
  )
}

async function readSecret(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    throw new GateError('ERR_GATE_CONFIG', `${file} cannot be read (${(cause as NodeJS.ErrnoException).code})`, {
      cause,
    })
  }
}

function upgrades(logins: Logins, agents: Agents, sessions: Sessions): Upgrades {
  return {
    person: async token => (await logins.identify(token)).subject.id,
    connect: async (token, wish) => {
      const login = await logins.identify(token)
      return channel => sessions.connect({ login, ...wish, channel })
    },
    agentControl: async () => control => agents.serve(control),
    agentData: async token => {
      const agent = agents.byDataToken(token)
      return tunnel => agent.offer(tunnel)
    },
  }
}

/** What agents are told of the record; a record that is in trouble must not cost them their connection. */
function checkpointsOf(recorder: Recorder, log: Log): CheckpointSource {
  return {
    show: async known => {
      const size = known.find(({ origin }) => origin === recorder.verifier.name)?.size ?? 0
      try {
        const { checkpoint, proof } = await recorder.consistency(size)
        return { verifier: recorder.verifier.text, checkpoint, proof: [...proof] }
      } catch (error) {
        log.warn('record.no-proof', { error: asGateError(error) })
        return undefined
      }
    },
  }
}

async function listen(start: () => Promise<unknown>, config: RelayConfig): Promise<void> {
  try {
    await start()
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    const { host, port } = config.listen
    throw new GateError(
      code === 'EADDRINUSE' ? 'ERR_GATE_PORT_IN_USE' : 'ERR_GATE_CONFIG',
      `cannot listen on ${host}:${port} (${code})`,
      { cause },
    )
  }
}
