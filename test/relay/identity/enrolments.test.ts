// How agents join, in a real store: a token works once, for one name, for a while; a key speaks only for its agent.
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { Enrolments, mayAnnounce } from '@gate/relay/identity/enrolments'
import { newSecret } from '@gate/shared/id'
import { enrolBytes, helloBytes } from '@gate/shared/messages'
import t from 'tap'
import { createHandClock } from '../../support/clock.ts'
import { startStore } from '../../support/store.ts'

const RELAY = 'https://gate.example.com'
const HOUR = 3_600_000
const store = await startStore()
t.teardown(() => store[Symbol.asyncDispose]())
const clock = createHandClock()
const enrolments = new Enrolments(store, clock)

interface Key {
  readonly publicKey: string
  readonly privateKey: KeyObject
}

function newKey(): Key {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  return { publicKey: publicKey.export({ type: 'spki', format: 'der' }).toString('base64url'), privateKey }
}

const signed = (key: Key, bytes: Buffer): string => sign(null, bytes, key.privateKey).toString('base64url')

const redeem = (token: string, agent: string, key: Key, relay = RELAY) =>
  enrolments.redeem(RELAY, token, agent, key.publicKey, signed(key, enrolBytes(relay, token, agent)))

const prove = (agent: string, key: Key, nonce = 'nonce', targets: readonly unknown[] = []) =>
  enrolments.prove(RELAY, nonce, agent, targets, signed(key, helloBytes(RELAY, nonce, agent, targets)))

t.test('a token works once, and is kept as a hash only', async t => {
  const token = await enrolments.create('agent-1', ['prod-*', 'é😀'], HOUR)
  t.notMatch(JSON.stringify(await store.db.selectFrom('enrolments').selectAll().execute()), token)
  const key = newKey()
  t.same(await redeem(token, 'agent-1', key), {
    name: 'agent-1',
    publicKey: key.publicKey,
    targets: ['prod-*', 'é😀'],
    enrolledMs: clock.now(),
  })
  t.equal(await enrolments.enrolledMs('agent-1'), clock.now())
  t.equal(await enrolments.enrolledMs('agent-2'), undefined)
  await t.rejects(redeem(token, 'agent-1', key), { code: 'ERR_GATE_EXPIRED', message: /already used/ })
  await t.rejects(redeem(token, 'agent-1', newKey()), { code: 'ERR_GATE_EXPIRED' })
  t.match(await prove('agent-1', key), { name: 'agent-1', targets: ['prod-*', 'é😀'] })
})

t.test('of many that use one token at once, one joins', async t => {
  const token = await enrolments.create('agent-2', ['*'], HOUR)
  const keys = Array.from({ length: 10 }, newKey)
  const results = await Promise.allSettled(keys.map(key => redeem(token, 'agent-2', key)))
  const winners = keys.filter((_, index) => results[index]?.status === 'fulfilled')
  t.equal(winners.length, 1)
  for (const key of keys) {
    const proof = prove('agent-2', key)
    if (key === winners[0]) await t.resolves(proof)
    else await t.rejects(proof, { code: 'ERR_GATE_UNAUTHENTICATED' })
  }
})

t.test('a token ends', async t => {
  const token = await enrolments.create('agent-3', ['*'], HOUR)
  clock.advance(HOUR - 1)
  const other = await enrolments.create('agent-3', ['*'], HOUR)
  clock.advance(1)
  await t.rejects(redeem(token, 'agent-3', newKey()), { code: 'ERR_GATE_EXPIRED', message: /expired/ })
  await t.resolves(redeem(other, 'agent-3', newKey()))
})

t.test('a token is for one name, at one relay, with the key that signs; a wrong try does not use it up', async t => {
  const token = await enrolments.create('agent-4', ['*'], HOUR)
  const key = newKey()
  const refused = { code: 'ERR_GATE_TOKEN' }
  await t.rejects(redeem(token, 'agent-1', key), refused, 'another name')
  await t.rejects(redeem(newSecret(), 'agent-4', key), refused, 'another token')
  await t.rejects(redeem(token, 'agent-4', key, 'https://other.example.com'), refused, 'signed for another relay')
  const stolen = signed(key, enrolBytes(RELAY, token, 'agent-4'))
  await t.rejects(enrolments.redeem(RELAY, token, 'agent-4', newKey().publicKey, stolen), refused, 'another key')
  for (const signature of ['', '!', 'AAAA', stolen.slice(2)]) {
    await t.rejects(enrolments.redeem(RELAY, token, 'agent-4', key.publicKey, signature), refused, signature)
  }
  const foreign = ['rsa', 'x25519', 'ec'].map(kind => {
    const options = kind === 'rsa' ? { modulusLength: 2048 } : kind === 'ec' ? { namedCurve: 'P-256' } : {}
    const { publicKey } = generateKeyPairSync(kind as 'rsa', options as { modulusLength: number })
    return publicKey.export({ type: 'spki', format: 'der' }).toString('base64url')
  })
  for (const publicKey of ['', 'x', 'é', ...foreign]) {
    await t.rejects(enrolments.redeem(RELAY, token, 'agent-4', publicKey, stolen), refused, publicKey.slice(0, 20))
  }
  await t.resolves(redeem(token, 'agent-4', key))
})

t.test('an agent proves its key anew for each connection, over exactly what it announces', async t => {
  const key = newKey()
  await redeem(await enrolments.create('agent-5', ['*'], HOUR), 'agent-5', key)
  const targets = [{ name: 'prod-db', protocol: 'postgres', labels: {}, options: {} }]
  await t.resolves(prove('agent-5', key, 'n1', targets))
  const signature = signed(key, helloBytes(RELAY, 'n1', 'agent-5', targets))
  const refused = { code: 'ERR_GATE_UNAUTHENTICATED', hint: /gate-relay enroll/ }
  await t.rejects(enrolments.prove(RELAY, 'n2', 'agent-5', targets, signature), refused, 'a replay')
  await t.rejects(enrolments.prove('https://other.example.com', 'n1', 'agent-5', targets, signature), refused)
  await t.rejects(enrolments.prove(RELAY, 'n1', 'agent-1', targets, signature), refused)
  await t.rejects(enrolments.prove(RELAY, 'n1', 'agent-5', [], signature), refused)
  await t.rejects(enrolments.prove(RELAY, 'n1', 'nobody', targets, signature), refused)
  const enrolment = signed(key, enrolBytes(RELAY, 'n1', 'agent-5'))
  await t.rejects(enrolments.prove(RELAY, 'n1', 'agent-5', targets, enrolment), refused, 'a signature of another kind')
})

t.test('a new enrolment replaces the agent’s key, and one that was revoked proves nothing', async t => {
  const [old, next] = [newKey(), newKey()]
  await redeem(await enrolments.create('agent-6', ['a'], HOUR), 'agent-6', old)
  await redeem(await enrolments.create('agent-6', ['b'], HOUR), 'agent-6', next)
  await t.rejects(prove('agent-6', old), { code: 'ERR_GATE_UNAUTHENTICATED' })
  t.match(await prove('agent-6', next), { targets: ['b'] })
  await store.db.updateTable('agents').set({ revoked_ms: 1 }).where('name', '=', 'agent-6').execute()
  await t.rejects(prove('agent-6', next), { code: 'ERR_GATE_UNAUTHENTICATED' })
})

t.test('a name or a list of targets that cannot be one is refused before there is a token', async t => {
  for (const name of ['', 'A', '-a', 'a b', '../a', 'a'.repeat(64), 'a\n', 'é']) {
    await t.rejects(enrolments.create(name, ['*'], HOUR), { code: 'ERR_GATE_USAGE' }, JSON.stringify(name))
  }
  await t.rejects(enrolments.create('a', [], HOUR), { code: 'ERR_GATE_USAGE' })
})

t.test('an agent announces what its patterns say and nothing else', async t => {
  const may = (target: string): boolean => mayAnnounce(['prod-*', 'wiki'], target)
  t.same(['prod-db', 'prod-', 'wiki', 'wiki2', 'test-db', 'xprod-db', ''].map(may), [
    ...[true, true, true, false, false, false, false],
  ])
  t.equal(mayAnnounce([], 'a'), false)
})
