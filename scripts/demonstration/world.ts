// Everything that runs in the demo, started in order and ended in the other.
import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Cleanup } from '@gate/shared/cleanup'
import { type AgentProcess, type RelayProcess, startAgent, startRelay } from '#support/gate'
import { type OidcProvider, startOidc } from '#support/oidc'
import { type PostgresServer, startPostgres } from '#support/postgres'
import { postgresBinaries } from '#support/postgres-binaries'
import { start } from '#support/process'
import { chooseClient, chooseHttpClient, type HttpClient, type SqlClient } from './client.ts'
import { type Name, type Player, preparePeople, SERVICE, TARGET } from './people.ts'
import { root, source, takePlace } from './place.ts'

export interface World extends AsyncDisposable {
  readonly directory: string
  readonly oidc: OidcProvider
  readonly postgres: PostgresServer
  readonly relay: RelayProcess
  readonly agent: AgentProcess
  readonly players: Record<Name, Player>
  readonly client: SqlClient
  readonly http: HttpClient
  readonly service: Service
  /** The relay's own copy of the policy. */
  readonly policy: string
}

/** The service that speaks HTTP, and what it wants to hear of who asks. */
export interface Service {
  readonly port: number
  readonly token: string
}

/** A port that was free can be taken before it is used; then another one is tried. */
const ATTEMPTS = 3

/**
 * Starts everything. When `signal` is aborted, what is being started comes up first and is then ended like the rest, so that
 * nothing is left behind.
 */
export async function startWorld(progress: (text: string) => void, signal: AbortSignal): Promise<World> {
  await using opening = new Cleanup()
  const directory = opening.use(await takePlace()).path
  const open = async <T extends AsyncDisposable>(what: string, start: () => Promise<T>): Promise<T> => {
    signal.throwIfAborted()
    progress(what)
    const started = opening.use(await again(start, signal))
    signal.throwIfAborted()
    return started
  }
  await postgresBinaries(progress)
  const oidc = await open('starting the identity provider …', () => startOidc())
  const postgres = await open('starting PostgreSQL …', () => startPostgres())
  progress('filling the database …')
  const password = await fill(postgres)
  const policy = await readFile(source('policy.yaml'), 'utf8')
  const relay = await open('starting the relay …', () => startRelay({ oidc, policy, optimised: true }))
  const passwordFile = join(directory, 'database-password')
  await writeFile(passwordFile, password, { mode: 0o600 })
  const billing = await open('starting the billing service …', startService)
  const tokenFile = join(directory, 'billing-token')
  await writeFile(tokenFile, billing.token, { mode: 0o600 })
  const targets = `${targetYaml(postgres.port, passwordFile)}\n${serviceYaml(billing.port, tokenFile)}`
  const agent = await open('starting the agent …', () =>
    startAgent({ relay, name: 'demo-agent', targets, patterns: ['prod-*', SERVICE] }),
  )
  const players = await preparePeople(directory, relay.url)
  const client = chooseClient()
  const owned = opening.move()
  return {
    directory,
    oidc,
    postgres,
    relay,
    agent,
    players,
    client,
    http: chooseHttpClient(),
    service: billing,
    policy: join(relay.directory, 'policy.yaml'),
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  }
}

async function again<T>(start: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await start()
    } catch (thrown) {
      const inUse = /EADDRINUSE|in use/i.test(thrown instanceof Error ? thrown.message : '')
      if (!inUse || attempt === ATTEMPTS || signal.aborted) throw thrown
    }
  }
}

/** Makes the sample database and the role that the agent uses; returns that role's password. */
async function fill(postgres: PostgresServer): Promise<string> {
  const password = randomBytes(16).toString('hex')
  await postgres.query(`CREATE ROLE gate LOGIN PASSWORD '${password}'`)
  await postgres.query('CREATE DATABASE shop')
  await postgres.query(await readFile(source('data.sql'), 'utf8'), 'shop')
  return password
}

function targetYaml(port: number, passwordFile: string): string {
  return `  - name: ${TARGET}
    protocol: postgres
    labels: { env: prod }
    host: 127.0.0.1
    port: ${port}
    database: shop
    user: gate
    password: { file: ${JSON.stringify(passwordFile)} }`
}

async function startService(): Promise<Service & AsyncDisposable> {
  const token = randomBytes(16).toString('hex')
  const script = join(root, 'scripts', 'dist', 'demonstration', 'service.js')
  const running = start(process.execPath, [script], { env: { BILLING_TOKEN: token } })
  const [, port = ''] = await running.waitFor(/^ready (\d+)$/m)
  return { port: Number(port), token, [Symbol.asyncDispose]: () => running[Symbol.asyncDispose]() }
}

function serviceYaml(port: number, tokenFile: string): string {
  return `  - name: ${SERVICE}
    protocol: http
    labels: { env: prod }
    url: http://127.0.0.1:${port}
    credential: { bearer: { file: ${JSON.stringify(tokenFile)} } }`
}
