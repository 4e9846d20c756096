// Events in the words of the Elastic Common Schema, for whoever collects events of many systems. What ECS has no word for is under `gate`. Pure.
import type { EventBody, StoredEvent } from '../record/events.ts'

/** @see https://www.elastic.co/guide/en/ecs/8.17/index.html */
const ECS_VERSION = '8.17.0'
/** Sessions whose people are remembered, the newest; of others the session's id still says whose it is. */
const MAX_SESSIONS = 10_000

interface Person {
  readonly id: string
  readonly email: string | undefined
  readonly groups: readonly string[]
  readonly target: string
  readonly protocol: string
}

type Words = Readonly<Record<string, unknown>>

/** Turns the events of one record into documents, in order: who has a session is said by its first event alone. */
export class EcsDocuments {
  readonly #origin: string
  readonly #sessions = new Map<string, Person>()

  /** `origin` names the record. */
  constructor(origin: string) {
    this.#origin = origin
  }

  document({ sequence, timeMs, body }: StoredEvent): Words {
    const person = this.#personOf(body)
    return {
      '@timestamp': new Date(timeMs).toISOString(),
      'ecs.version': ECS_VERSION,
      'event.kind': 'event',
      'event.dataset': 'gate.record',
      'event.provider': 'gate',
      'event.id': `${this.#origin}/${sequence}`,
      'event.sequence': sequence,
      'event.category': categoryOf(body),
      'event.type': typeOf(body),
      'event.action': actionOf(body),
      'event.outcome': outcomeOf(body),
      ...(person === undefined
        ? {}
        : {
            'user.id': person.id,
            ...(person.email === undefined ? {} : { 'user.email': person.email }),
            'user.roles': person.groups,
            'service.target.name': person.target,
            'service.target.type': person.protocol,
          }),
      ...('session' in body ? { 'transaction.id': body.session } : {}),
      ...(body.type === 'session.start' && body.clientAddress !== undefined ? { 'source.ip': body.clientAddress } : {}),
      ...(body.type === 'command' ? { 'rule.name': (body.settled ?? body.decision).rule } : {}),
      gate: body,
    }
  }

  #personOf(body: EventBody): Person | undefined {
    if (!('session' in body)) return undefined
    if (body.type === 'session.start') {
      const { subject, target, protocol } = body
      if (this.#sessions.size >= MAX_SESSIONS) this.#sessions.delete(this.#sessions.keys().next().value ?? '')
      this.#sessions.set(body.session, {
        id: subject.id,
        email: subject.email,
        groups: subject.groups,
        target,
        protocol,
      })
    }
    const person = this.#sessions.get(body.session)
    if (body.type === 'session.end') this.#sessions.delete(body.session)
    return person
  }
}

const ofSessions: ReadonlySet<string> = new Set(['session.start', 'session.open', 'session.end', 'terminal', 'output'])

function categoryOf({ type }: EventBody): readonly string[] {
  if (ofSessions.has(type)) return ['session']
  if (type === 'lock' || type === 'unlock' || type === 'kill' || type === 'review') return ['iam']
  if (type === 'log.start' || type === 'audit' || type === 'view') return ['configuration']
  return ['database']
}

function typeOf(body: EventBody): readonly string[] {
  switch (body.type) {
    case 'session.start':
      return ['start']
    case 'session.end':
    case 'kill':
      return ['end']
    case 'command':
    case 'rows':
      return [
        (('settled' in body ? body.settled : undefined) ?? body.decision).effect === 'deny' ? 'denied' : 'allowed',
      ]
    case 'approval':
      return [body.outcome === 'approved' ? 'allowed' : 'denied']
    default:
      return ['info']
  }
}

/** A command's own kind, for example `delete`; of everything else what it is. */
function actionOf(body: EventBody): string {
  return body.type === 'command' ? body.action : body.type
}

function outcomeOf(body: EventBody): 'success' | 'failure' | 'unknown' {
  const [type] = typeOf(body)
  if (type === 'allowed') return 'success'
  if (type === 'denied') return 'failure'
  // PostgreSQL's command tags begin with a letter and a word, SQLSTATEs are five digits and capitals.
  if (body.type === 'outcome') return /^[0-9A-Z]{5}$/.test(body.status) ? 'failure' : 'success'
  if (body.type === 'session.end') return body.code === 'ended' ? 'success' : 'failure'
  return 'unknown'
}
