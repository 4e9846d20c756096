// How an agent joins: a one-time token names it and what it may announce; from then on its key speaks for it.
import { createPublicKey, verify } from 'node:crypto'
import type { Clock } from '@gate/shared/clock'
import { GateError } from '@gate/shared/errors'
import { hashSecret, newSecret } from '@gate/shared/id'
import { enrolBytes, helloBytes } from '@gate/shared/messages'
import { compileGlob } from '../policy/rules.ts'
import { type Store, storeErrors } from '../store/store.ts'

export interface EnrolledAgent {
  readonly name: string
  readonly publicKey: string
  readonly targets: readonly string[]
  readonly enrolledMs: number
}

const agentName = /^[a-z0-9][a-z0-9._-]{0,62}$/

export class Enrolments {
  readonly #store: Store
  readonly #clock: Clock

  constructor(store: Store, clock: Clock) {
    this.#store = store
    this.#clock = clock
  }

  /**
   * Makes a one-time token for an agent; the store keeps its hash only.
   * @throws {GateError} ERR_GATE_USAGE for a name that cannot be one.
   */
  async create(agent: string, targets: readonly string[], validMs: number): Promise<string> {
    if (!agentName.test(agent)) throw new GateError('ERR_GATE_USAGE', `"${agent}" cannot name an agent`)
    if (targets.length === 0) throw new GateError('ERR_GATE_USAGE', 'an enrolment names at least one target pattern')
    const token = newSecret()
    const now = this.#clock.now()
    await storeErrors(() =>
      this.#store.db
        .insertInto('enrolments')
        .values({
          token_hash: hashSecret(token),
          agent,
          targets: JSON.stringify(targets),
          created_ms: now,
          expires_ms: now + validMs,
          used_ms: null,
        })
        .execute(),
    )
    return token
  }

  /**
   * Uses a token up and keeps the agent's public key. A second agent of the same name replaces the first.
   * @throws {GateError} ERR_GATE_TOKEN when token, name or signature do not fit; ERR_GATE_EXPIRED when it is too old or used.
   */
  async redeem(
    relay: string,
    token: string,
    agent: string,
    publicKey: string,
    signature: string,
  ): Promise<EnrolledAgent> {
    const key = readPublicKey(publicKey)
    if (!verify(null, enrolBytes(relay, token, agent), key, Buffer.from(signature, 'base64url'))) {
      throw new GateError('ERR_GATE_TOKEN', 'the enrolment is not signed with the key it brings')
    }
    const now = this.#clock.now()
    return storeErrors(() =>
      this.#store.db.transaction().execute(async tx => {
        const row = await tx
          .selectFrom('enrolments')
          .selectAll()
          .where('token_hash', '=', hashSecret(token))
          .forUpdate()
          .executeTakeFirst()
        if (row === undefined || row.agent !== agent)
          throw new GateError('ERR_GATE_TOKEN', 'this enrolment token is not known for this agent', {
            hint: `Is it whole, and was it made for the agent of that name? ${anotherToken(agent)}`,
          })
        if (row.used_ms !== null)
          throw new GateError('ERR_GATE_EXPIRED', 'this enrolment token was already used', {
            hint: anotherToken(agent),
          })
        if (row.expires_ms <= now)
          throw new GateError('ERR_GATE_EXPIRED', 'this enrolment token has expired', { hint: anotherToken(agent) })
        await tx.updateTable('enrolments').set({ used_ms: now }).where('token_hash', '=', row.token_hash).execute()
        const values = {
          public_key: publicKey,
          targets: JSON.stringify(row.targets),
          enrolled_ms: now,
          revoked_ms: null,
        }
        await tx
          .insertInto('agents')
          .values({ name: agent, ...values })
          .onConflict(conflict => conflict.column('name').doUpdateSet(values))
          .execute()
        return { name: agent, publicKey, targets: row.targets, enrolledMs: now }
      }),
    )
  }

  /** When the agent was last enrolled; undefined when it is not. @throws {GateError} ERR_GATE_STORE. */
  async enrolledMs(agent: string): Promise<number | undefined> {
    const row = await storeErrors(() =>
      this.#store.db
        .selectFrom('agents')
        .select('enrolled_ms')
        .where('name', '=', agent)
        .where('revoked_ms', 'is', null)
        .executeTakeFirst(),
    )
    return row?.enrolled_ms
  }

  /** @throws {GateError} ERR_GATE_UNAUTHENTICATED unless the agent is enrolled and proves its key over this nonce. */
  async prove(
    relay: string,
    nonce: string,
    agent: string,
    targets: readonly unknown[],
    signature: string,
  ): Promise<EnrolledAgent> {
    const row = await storeErrors(() =>
      this.#store.db
        .selectFrom('agents')
        .selectAll()
        .where('name', '=', agent)
        .where('revoked_ms', 'is', null)
        .executeTakeFirst(),
    )
    const known =
      row !== undefined &&
      verify(
        null,
        helloBytes(relay, nonce, agent, targets),
        readPublicKey(row.public_key),
        Buffer.from(signature, 'base64url'),
      )
    if (!known) {
      throw new GateError('ERR_GATE_UNAUTHENTICATED', `agent ${agent} is not enrolled here or its key is another`, {
        hint: 'Enrol it again: gate-relay enroll --agent NAME --targets PATTERN.',
      })
    }
    return { name: row.name, publicKey: row.public_key, targets: row.targets, enrolledMs: row.enrolled_ms }
  }
}

function anotherToken(agent: string): string {
  const name = agentName.test(agent) ? agent : 'NAME'
  return `Where the relay runs, gate-relay enroll --agent ${name} --targets PATTERN makes another.`
}

function readPublicKey(text: string): ReturnType<typeof createPublicKey> {
  try {
    const key = createPublicKey({ key: Buffer.from(text, 'base64url'), format: 'der', type: 'spki' })
    if (key.asymmetricKeyType === 'ed25519') return key
  } catch (cause) {
    throw new GateError('ERR_GATE_TOKEN', 'the public key cannot be read', { cause })
  }
  throw new GateError('ERR_GATE_TOKEN', 'the public key is no Ed25519 key')
}

/** Whether an enrolment lets an agent announce this target. */
export function mayAnnounce(patterns: readonly string[], target: string): boolean {
  return patterns.some(pattern => compileGlob(pattern)(target))
}
