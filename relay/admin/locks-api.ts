// The API behind gate lock, unlock and locks.
import { GateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import type { Subject } from '@gate/shared/model'
import type { FastifyInstance } from 'fastify'
import * as z from 'zod'
import type { Agents } from '../egress/agents.ts'
import type { Logins } from '../identity/logins.ts'
import { type Lock, type Locks, lockName, matchesLock } from '../locks/locks.ts'
import type { Policy } from '../policy/decide.ts'
import { type Store, storeErrors } from '../store/store.ts'
import { authenticated } from './api.ts'

const newLock = z.strictObject({
  kind: z.enum(['user', 'target', 'agent']),
  name: z.string().min(1).max(256),
  reason: z.string().min(1).max(1000),
  untilMs: z.int().positive().optional(),
})

export interface LocksApiContext {
  readonly locks: Locks
  readonly logins: Logins
  readonly agents: Agents
  readonly store: Store
  readonly policy: () => Policy
  /** Groups of relay.yaml whose members may lock anything. */
  readonly operators: readonly string[]
  readonly log: Log
}

export function addLocks(app: FastifyInstance, context: LocksApiContext): void {
  const { locks, logins, log } = context
  app.get('/v1/locks', async request => {
    const { subject } = await authenticated(logins, request)
    const seen: Lock[] = []
    for (const lock of await locks.active()) if (await mayLock(context, subject, lock)) seen.push(lock)
    return { locks: seen }
  })
  app.post('/v1/locks', async (request, reply) => {
    const { subject } = await authenticated(logins, request)
    const { kind, name, reason, untilMs } = newLock.parse(request.body)
    if (!(await mayLock(context, subject, { kind, name })))
      throw new GateError('ERR_GATE_FORBIDDEN', `you may not lock ${kind} ${name}`, {
        hint: 'operators in relay.yaml may lock anything, those of a policy their targets.',
      })
    const known = await isKnown(context, kind, name)
    // A target or an agent that nobody knows is a slip of the pen; a person may come later.
    if (!known && kind !== 'user') throw new GateError('ERR_GATE_NOT_FOUND', `there is no ${kind} ${name}`)
    const lock = await locks.make({ id: subject.id, email: subject.email }, kind, name, reason, untilMs)
    log.warn('lock.made', { request: lock.id, kind, subject: subject.id })
    return reply.code(201).send({ ...lock, known })
  })
  app.delete<{ Params: { id: string } }>('/v1/locks/:id', async request => {
    const { subject } = await authenticated(logins, request)
    const { id } = request.params
    const lock = (await locks.active()).find(each => each.id === id)
    if (lock === undefined || !(await mayLock(context, subject, lock)))
      throw new GateError('ERR_GATE_NOT_FOUND', `there is no lock ${id.slice(0, 40)} that you may take away`, {
        hint: 'gate locks lists those you may.',
      })
    if (matchesLock(lock, { user: subject }))
      throw new GateError('ERR_GATE_FORBIDDEN', 'nobody takes away a lock on themselves')
    await locks.remove({ id: subject.id, email: subject.email }, id)
    log.warn('lock.removed', { request: id, subject: subject.id })
    return { ...lock, removed: true }
  })
}

/** Operators of the relay may lock anything; operators of a target that target. */
async function mayLock(
  { operators, policy, agents }: LocksApiContext,
  subject: Subject,
  { kind, name }: Pick<Lock, 'kind' | 'name'>,
): Promise<boolean> {
  if (operators.some(group => subject.groups.includes(group))) return true
  if (kind !== 'target') return false
  const target = (await agents.targets()).find(each => each.name === name)
  return target !== undefined && policy().mayOperate(subject, target)
}

async function isKnown({ agents, store }: LocksApiContext, kind: Lock['kind'], name: string): Promise<boolean> {
  if (kind === 'target') return (await agents.targets()).some(target => target.name === name)
  const { db } = store
  const row = await storeErrors(async () =>
    kind === 'agent'
      ? db.selectFrom('agents').select('name').where('name', '=', name).executeTakeFirst()
      : db
          .selectFrom('logins')
          .select('subject_id as name')
          .where(({ or, eb, fn }) =>
            or([eb('subject_id', '=', name), eb(fn<string>('lower', ['email']), '=', lockName(kind, name))]),
          )
          .executeTakeFirst(),
  )
  return row !== undefined
}
