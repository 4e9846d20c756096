// The HTTP API behind the CLI: login, targets, requests, sessions.
import { GateError } from '@gate/shared/errors'
import { PROTOCOL_VERSION, targetName } from '@gate/shared/messages'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import * as z from 'zod'
import type { RelayConfig } from '../config.ts'
import type { Agents, KnownTarget } from '../egress/agents.ts'
import type { Enrolments } from '../identity/enrolments.ts'
import type { Issuers } from '../identity/issuers.ts'
import type { Login, Logins } from '../identity/logins.ts'
import { bearer } from '../ingress/server.ts'
import type { Policy } from '../policy/decide.ts'
import type { Protocol } from '../protocols/protocol.ts'
import type { Store } from '../store/store.ts'

export interface ApiContext {
  readonly config: RelayConfig
  readonly relay: string
  readonly issuers: Issuers
  readonly logins: Logins
  readonly enrolments: Enrolments
  readonly agents: Agents
  readonly policy: () => Policy
  readonly protocols: readonly Protocol[]
  readonly store: Store
}

const loginBody = z.strictObject({
  idToken: z
    .string()
    .min(1)
    .max(16 * 1024),
  token: z.string().max(512).optional(),
})

const enrolBody = z.strictObject({
  token: z.string().max(512),
  agent: z.string().max(63),
  publicKey: z.string().max(512),
  signature: z.string().max(512),
})

/** The login that a request's session token stands for. */
export async function authenticated(logins: Logins, request: FastifyRequest): Promise<Login> {
  return logins.authenticate(bearer(request.raw))
}

export function addApi(app: FastifyInstance, context: ApiContext): void {
  const { config, logins, issuers, store } = context
  app.get('/.well-known/gate', () => ({
    product: 'gate',
    version: PROTOCOL_VERSION,
    url: config.url,
    issuers: config.issuers.map(({ issuer, client_id, scopes }) => ({ issuer, clientId: client_id, scopes })),
  }))
  app.get('/healthz', () => ({ alive: true }))
  app.get('/readyz', async () => {
    await store.check()
    return { ready: true }
  })
  app.post('/v1/session', async request => {
    const { idToken, token } = loginBody.parse(request.body)
    const opened = await logins.open(await issuers.verify(idToken), token)
    return { token: opened.token, ...describe(opened.login) }
  })
  app.get('/v1/session', async request => describe(await authenticated(logins, request)))
  app.delete('/v1/session', async request => {
    await logins.end(bearer(request.raw))
    return { ended: true }
  })
  app.post('/v1/agent/enroll', async request => {
    const { token, agent, publicKey, signature } = enrolBody.parse(request.body)
    const enrolled = await context.enrolments.redeem(context.relay, token, agent, publicKey, signature)
    await context.agents.enrolled(enrolled.name)
    return { agent: enrolled.name, targets: enrolled.targets }
  })
  addTargets(app, context)
}

function describe(login: Login): object {
  const { subject, expiresMs, endsMs } = login
  return {
    subject: {
      id: subject.id,
      issuer: subject.issuer,
      email: subject.email,
      name: subject.name,
      groups: subject.groups,
    },
    expiresMs,
    endsMs,
  }
}

function addTargets(app: FastifyInstance, { agents, policy, protocols, logins, config }: ApiContext): void {
  app.get('/v1/targets', async request => {
    const { subject } = await authenticated(logins, request)
    const targets = await agents.targets()
    return { targets: targets.filter(target => policy().refusesOpening(subject, target) === undefined).map(summary) }
  })
  app.get<{ Params: { name: string } }>('/v1/targets/:name', async request => {
    const { subject } = await authenticated(logins, request)
    const name = targetName.safeParse(request.params.name)
    if (!name.success) throw noTarget(request.params.name.slice(0, 63))
    const target = await agents.target(name.data)
    // Whether a target exists is the business of those who may open it.
    if (policy().refusesOpening(subject, target) !== undefined) throw noTarget(target.name)
    const room = protocols.find(protocol => protocol.name === target.protocol)
    if (room === undefined) throw new GateError('ERR_GATE_NOT_FOUND', `this relay does not speak ${target.protocol}`)
    return { ...summary(target), hint: room.hint(target), offline: room.offline(config.url) }
  })
}

function noTarget(name: string): GateError {
  return new GateError('ERR_GATE_NOT_FOUND', `there is no target ${name} that you may open`, {
    hint: 'gate targets lists those you may.',
  })
}

function summary({ name, protocol, labels, online }: KnownTarget): object {
  return { name, protocol, labels, online }
}
