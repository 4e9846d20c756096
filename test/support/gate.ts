// gate's own processes, as users start them: relay, agent, and CLIs of several people.
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Cleanup } from '@gate/shared/cleanup'
import { runInProcess } from './in-process.ts'
import { enrolmentToken, joinAgent, logIn } from './joining.ts'
import { freePort } from './net.ts'
import type { OidcProvider } from './oidc.ts'
import { type Finished, type Running, run, type StartOptions, start } from './process.ts'
import { copyDirectory, type TemporaryDirectory, temporaryDirectory } from './tmp.ts'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const bin = (workspace: string, name: string): string => join(root, workspace, 'bin', `${name}.js`)

export const programs = {
  gate: bin('cli', 'gate'),
  relay: bin('relay', 'gate-relay'),
  agent: bin('agent', 'gate-agent'),
} as const

/** The embedded store is WebAssembly: to optimise it takes longer than all that most tests ask of it. */
const UNOPTIMISED = ['--liftoff-only']

/** The relay as tsc wrote it, each module a file of its own: for what must reach into one of them. */
export const unbundledRelay = join(root, 'relay', 'dist', 'index.js')

export interface RelaySetup {
  readonly oidc: Pick<OidcProvider, 'issuer'>
  readonly policy: string
  /** More of relay.yaml. */
  readonly more?: string
  readonly port?: number
  /** The port that its URL names, where something of the test hands bytes on to `port`. */
  readonly publicPort?: number
  readonly tls?: { readonly certificate: string; readonly key: string }
  /** URL of a PostgreSQL database to use as the store. */
  readonly store?: string
  readonly log?: string
  /** As users run it, and slower to start: for what measures. */
  readonly optimised?: boolean
  /** Another program than the one that users start. */
  readonly program?: string
  readonly env?: Readonly<Record<string, string>>
}

export interface RelayProcess extends AsyncDisposable {
  readonly url: string
  readonly port: number
  readonly directory: string
  readonly config: string
  process(): Running
  writePolicy(text: string): Promise<void>
  enroll(agent: string, ...targets: string[]): Promise<string>
  kill(signal?: NodeJS.Signals): Promise<Finished>
  /** Starts it again in the same directory. */
  restart(): Promise<void>
  /** Events of the record, in order. */
  events(): Promise<Record<string, unknown>[]>
}

/** Creating the embedded store's cluster takes seconds of CPU: scripts/test.mjs does it once, and here it is copied. */
async function seedStore(state: string): Promise<void> {
  const seed = process.env['GATE_TEST_SEED']
  if (seed === undefined) return
  await mkdir(state, { recursive: true, mode: 0o700 })
  await copyDirectory(seed, join(state, 'store'))
}

export async function startRelay(setup: RelaySetup): Promise<RelayProcess> {
  const directory = await temporaryDirectory('relay')
  const port = setup.port ?? (await freePort())
  const scheme = setup.tls === undefined ? 'http' : 'https'
  const url = `${scheme}://127.0.0.1:${setup.publicPort ?? port}`
  const config = join(directory.path, 'relay.yaml')
  const policy = join(directory.path, 'policy.yaml')
  const state = join(directory.path, 'state')
  await writeFile(policy, setup.policy)
  await writeFile(config, relayYaml(setup, url, port, directory.path))
  if (setup.store !== undefined) await writeFile(join(directory.path, 'store-url'), setup.store)
  else await seedStore(state)
  let current = await launch()
  async function launch(): Promise<Running> {
    const program = setup.program ?? programs.relay
    const flags = setup.optimised === true ? [] : UNOPTIMISED
    const started = start(process.execPath, [...flags, program, '--config', config, 'start'], { env: setup.env ?? {} })
    await started.waitFor(/"event":"relay\.listening"/)
    return started
  }
  const kill = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<Finished> => {
    current.kill(signal)
    return current.finished()
  }
  return {
    url,
    port,
    directory: directory.path,
    config,
    process: () => current,
    writePolicy: text => writeFile(policy, text),
    enroll: (agent, ...targets) => enrolmentToken(state, agent, targets),
    kill,
    restart: async () => {
      current = await launch()
    },
    events: () => readEvents(join(state, 'records')),
    [Symbol.asyncDispose]: async () => {
      await current[Symbol.asyncDispose]()
      await directory[Symbol.asyncDispose]()
    },
  }
}

function relayYaml(setup: RelaySetup, url: string, port: number, directory: string): string {
  const tls = setup.tls === undefined ? '' : `\n  tls: { certificate: ${setup.tls.certificate}, key: ${setup.tls.key} }`
  const store =
    setup.store === undefined ? '' : `\nstore: { kind: postgres, url_file: ${join(directory, 'store-url')} }`
  return `url: ${url}
listen:
  host: 127.0.0.1
  port: ${port}${tls}
state: ${join(directory, 'state')}${store}
issuers:
  - issuer: ${setup.oidc.issuer}
    client_id: gate-cli
policy: [${join(directory, 'policy.yaml')}]
log: ${setup.log ?? 'info'}
${setup.more ?? ''}
`
}

async function readEvents(records: string): Promise<Record<string, unknown>[]> {
  const { readdir, readFile } = await import('node:fs/promises')
  const names = (await readdir(records)).filter(name => name.endsWith('.jsonl')).sort()
  const texts = await Promise.all(names.map(name => readFile(join(records, name), 'utf8')))
  return texts
    .join('')
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as Record<string, unknown>)
}

export interface AgentProcess extends AsyncDisposable {
  readonly directory: string
  readonly config: string
  process(): Running
  kill(signal?: NodeJS.Signals): Promise<Finished>
  restart(): Promise<void>
}

export interface AgentSetup {
  readonly relay: RelayProcess
  readonly name?: string
  /** The list under `targets:` in YAML, indented by two spaces. */
  readonly targets: string
  readonly patterns?: readonly string[]
  readonly ca?: string
  readonly env?: Readonly<Record<string, string>>
  /** Wait until the relay has welcomed it. */
  readonly ready?: boolean
}

export async function startAgent(setup: AgentSetup): Promise<AgentProcess> {
  const directory = await temporaryDirectory('agent')
  const name = setup.name ?? 'agent-one'
  const config = join(directory.path, 'agent.yaml')
  const ca = setup.ca === undefined ? '' : `ca: ${setup.ca}\n`
  await writeFile(
    config,
    `relay: ${setup.relay.url}\nname: ${name}\nstate: ${join(directory.path, 'state')}\n${ca}targets:\n${setup.targets}\n`,
  )
  const token = await setup.relay.enroll(name, ...(setup.patterns ?? ['*']))
  await joinAgent(setup.relay, { name, state: join(directory.path, 'state'), ca: setup.ca }, token)
  const launch = async (): Promise<Running> => {
    const started = start(process.execPath, [programs.agent, '--config', config, 'start'], { env: setup.env ?? {} })
    if (setup.ready !== false) await started.waitFor(/"event":"uplink\.ready"/)
    return started
  }
  let current = await launch()
  return {
    directory: directory.path,
    config,
    process: () => current,
    kill: async (signal = 'SIGTERM') => {
      current.kill(signal)
      return current.finished()
    },
    restart: async () => {
      current = await launch()
    },
    [Symbol.asyncDispose]: async () => {
      await current[Symbol.asyncDispose]()
      await directory[Symbol.asyncDispose]()
    },
  }
}

/** One person's gate on their own machine: its own home directory. */
export interface Cli extends AsyncDisposable {
  readonly home: string
  /** Runs a gate command to its end. */
  run(...args: string[]): Promise<Finished>
  /** The same in this process, for what tests are not about; not for commands that read from a terminal or write as they go. */
  runInProcess(...args: string[]): Promise<Finished>
  start(args: readonly string[], options?: StartOptions): Running
  /** Logs in through the real device flow, with somebody pressing the provider's buttons. */
  login(relay: { readonly url: string }, oidc: OidcProvider, person: string, ...args: string[]): Promise<Finished>
  /** `gate connect --json` for one target; ready when its port is open. */
  connect(target: string, ...args: string[]): Promise<Connection>
}

export interface Connection extends AsyncDisposable {
  readonly port: number
  readonly environment: Readonly<Record<string, string>>
  readonly process: Running
}

export async function createCli(): Promise<Cli> {
  const directory: TemporaryDirectory = await temporaryDirectory('home')
  const env = { GATE_HOME: directory.path, GATE_KEYCHAIN: 'file', GATE_RELAY: undefined, NO_COLOR: '1', CI: '1' }
  const startGate = (args: readonly string[], options: StartOptions = {}): Running =>
    start(process.execPath, [programs.gate, ...args], { ...options, env: { ...env, ...options.env } })
  return {
    home: directory.path,
    run: (...args) => run(process.execPath, [programs.gate, ...args], { env }),
    runInProcess: (...args) => runInProcess(directory.path, args),
    start: startGate,
    login: async (relay, oidc, person, ...args) => {
      await using login = startGate(['login', '--relay', relay.url, '--json', '--no-browser', ...args])
      const [, url = ''] = await login.waitFor(/"completeUrl":"([^"]+)"/)
      await oidc.decide(url, person, 'allow')
      return await login.finished()
    },
    connect: async (target, ...args) => {
      const connecting = startGate(['connect', target, '--json', ...args])
      const [line = ''] = await connecting.waitFor(/^\{"target".*\}$/m)
      const { port, environment } = JSON.parse(line) as { port: number; environment: Record<string, string> }
      return { port, environment, process: connecting, [Symbol.asyncDispose]: () => connecting[Symbol.asyncDispose]() }
    },
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  }
}

/** People by their names at the provider: each logs in, with a home of their own that `owner` removes, when first asked for. */
export function peopleOf(
  owner: Cleanup,
  relay: { readonly url: string },
  oidc: OidcProvider,
): (name: string) => Promise<Cli> {
  const people = new Map<string, Promise<Cli>>()
  const join = async (name: string): Promise<Cli> => {
    const cli = owner.use(await createCli())
    await logIn(cli.home, relay, oidc, name)
    return cli
  }
  return name => {
    const known = people.get(name) ?? join(name)
    people.set(name, known)
    return known
  }
}
