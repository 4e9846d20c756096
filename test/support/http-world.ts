// A service behind the gate: provider, relay, agent and logged-in people, all real processes.
import { Cleanup } from '@gate/shared/cleanup'
import {
  type AgentProcess,
  type Cli,
  peopleOf,
  type RelayProcess,
  type RelaySetup,
  startAgent,
  startRelay,
} from './gate.ts'
import { type Answer, type HttpService, startHttpService } from './http-target.ts'
import { type OidcProvider, startOidc } from './oidc.ts'

export interface HttpWorld extends AsyncDisposable {
  readonly service: HttpService
  readonly oidc: OidcProvider
  readonly relay: RelayProcess
  readonly agent: AgentProcess
  /** Logged in, with a home directory of their own; made at first use. */
  person(name: 'alice' | 'bob' | 'carol'): Promise<Cli>
}

export interface HttpWorldOptions {
  readonly policy: string
  readonly relay?: Partial<RelaySetup>
  /** Answers of the service beside those that it has. */
  readonly answers?: Readonly<Record<string, Answer>>
  /** More lines of the target in agent.yaml. */
  readonly target?: string
}

export const SERVICE_TOKEN = 'service-token'

export async function startHttpWorld(options: HttpWorldOptions): Promise<HttpWorld> {
  await using starting = new Cleanup()
  const [service, oidc] = await Promise.all([startHttpService(options.answers), startOidc()])
  starting.use(service)
  starting.use(oidc)
  const relay = starting.use(await startRelay({ oidc, policy: options.policy, ...options.relay }))
  const targets = `  - name: billing-api
    protocol: http
    labels: { env: prod }
    url: http://127.0.0.1:${service.port}
    credential: { bearer: { environment: SERVICE_TOKEN } }
${options.target ?? ''}`
  const agent = starting.use(await startAgent({ relay, targets, env: { SERVICE_TOKEN } }))
  const started = starting.move()
  return {
    service,
    oidc,
    relay,
    agent,
    person: peopleOf(started, relay, oidc),
    [Symbol.asyncDispose]: () => started[Symbol.asyncDispose](),
  }
}
