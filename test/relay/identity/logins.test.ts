// Logins in a real store: tokens kept as hashes, renewed, ended, and the connections that hang on them.
import { createHash } from 'node:crypto'
import type { VerifiedIdentity } from '@gate/relay/identity/issuers'
import { Logins } from '@gate/relay/identity/logins'
import { Locks } from '@gate/relay/locks/locks'
import { systemClock } from '@gate/shared/clock'
import { silentLog } from '@gate/shared/log'
import t from 'tap'
import { createHandClock, type HandClock } from '../../support/clock.ts'
import { startStore } from '../../support/store.ts'

const MINUTE = 60_000
const limits = { tokenMs: 15 * MINUTE, maximumMs: 60 * MINUTE }
const ended = { code: 'ERR_GATE_UNAUTHENTICATED' }

const store = await startStore()
t.teardown(() => store[Symbol.asyncDispose]())

const identity = (clock: HandClock, name = 'alice', groups = ['engineers']): VerifiedIdentity => ({
  expiresMs: clock.now() + 5 * MINUTE,
  subject: {
    id: `https://id.example.com|${name}`,
    issuer: 'https://id.example.com',
    email: `${name}@example.com`,
    name,
    groups,
  },
})

/** Locks are tried with real processes in test/e2e/stops.test.ts; here there are none, and nothing is recorded. */
const noLocks = (): Promise<Locks> => Locks.start(store, { append: () => 1 }, systemClock, silentLog)
const open = async (clock: HandClock): Promise<Logins> => Logins.start(store, limits, await noLocks(), clock, silentLog)

/** The reason for which a signal is aborted, when it is. */
const reason = (signal: AbortSignal): Promise<unknown> =>
  new Promise((resolve, reject) => {
    if (signal.aborted) return resolve(signal.reason)
    const late = setTimeout(() => reject(new Error('the connection still lives')), 20_000)
    signal.addEventListener('abort', () => {
      clearTimeout(late)
      resolve(signal.reason)
    })
  })

t.test('a session token is opaque, kept as a hash only, and good until it expires', async t => {
  const clock = createHandClock()
  await using logins = await open(clock)
  const { token, login } = await logins.open(identity(clock), undefined)
  t.match(token, /^[\w-]{43}$/)
  t.equal(login.expiresMs, clock.now() + 15 * MINUTE)
  t.equal(login.endsMs, clock.now() + 60 * MINUTE)
  t.same(await logins.authenticate(token), login)
  const tables = JSON.stringify([
    await store.db.selectFrom('tokens').selectAll().execute(),
    await store.db.selectFrom('logins').selectAll().execute(),
  ])
  t.notMatch(tables, token)
  t.match(tables, createHash('sha256').update(token).digest('hex'))
  for (const other of ['', 'x', token.slice(0, -1), `${token} `, createHash('sha256').update(token).digest('hex')]) {
    await t.rejects(logins.authenticate(other), ended, JSON.stringify(other))
  }
  clock.advance(15 * MINUTE - 1)
  await logins.authenticate(token)
  clock.advance(1)
  await t.rejects(logins.authenticate(token), ended)
})

t.test('an ID token that has expired opens nothing', async t => {
  const clock = createHandClock()
  await using logins = await open(clock)
  const old = identity(clock)
  clock.advance(5 * MINUTE)
  await t.rejects(logins.open(old, undefined), { code: 'ERR_GATE_TOKEN' })
})

t.test('a renewal goes on with the same login, with the groups of the newest ID token', async t => {
  const clock = createHandClock()
  await using logins = await open(clock)
  const first = await logins.open(identity(clock), undefined)
  clock.advance(10 * MINUTE)
  const second = await logins.open(identity(clock, 'alice', ['support']), first.token)
  t.equal(second.login.id, first.login.id)
  t.not(second.token, first.token)
  t.equal(second.login.endsMs, first.login.endsMs)
  t.same((await logins.authenticate(first.token)).subject.groups, ['support'], 'the older token has no older groups')
  clock.advance(5 * MINUTE)
  await t.rejects(logins.authenticate(first.token), ended, 'and ends when it would have')
  t.equal((await logins.authenticate(second.token)).expiresMs, second.login.expiresMs)
})

t.test('a login ends after the maximum session, however often it is renewed', async t => {
  const clock = createHandClock()
  await using logins = await open(clock)
  let current = await logins.open(identity(clock), undefined)
  const { id, endsMs } = current.login
  for (let minute = 10; minute < 60; minute += 10) {
    clock.advance(10 * MINUTE)
    current = await logins.open(identity(clock), current.token)
    t.same([current.login.id, current.login.endsMs], [id, endsMs])
    t.ok(current.login.expiresMs <= endsMs)
  }
  t.equal(current.login.expiresMs, endsMs)
  clock.advance(10 * MINUTE)
  await t.rejects(logins.authenticate(current.token), ended)
  t.not((await logins.open(identity(clock), current.token)).login.id, id, 'a new one begins')
})

t.test('a token of somebody else renews nothing', async t => {
  const clock = createHandClock()
  await using logins = await open(clock)
  const alice = await logins.open(identity(clock), undefined)
  const bob = await logins.open(identity(clock, 'bob'), alice.token)
  t.not(bob.login.id, alice.login.id)
  t.equal((await logins.authenticate(alice.token)).subject.id, 'https://id.example.com|alice')
  const partner: VerifiedIdentity = {
    ...identity(clock),
    subject: { ...identity(clock).subject, issuer: 'https://partner.example', id: 'https://partner.example|alice' },
  }
  t.not((await logins.open(partner, alice.token)).login.id, alice.login.id, 'nor does an alice of another issuer')
})

t.test('a logout ends every token of the login and every connection, on every relay', async t => {
  const clock = createHandClock()
  await using here = await open(clock)
  await using there = await open(clock)
  const first = await here.open(identity(clock), undefined)
  const second = await there.open(identity(clock), first.token)
  const other = await here.open(identity(clock), undefined)
  using watchedHere = here.watch(first.login)
  using watchedThere = there.watch(second.login)
  using unrelated = here.watch(other.login)
  await here.end(first.token)
  for (const watched of [watchedHere, watchedThere]) {
    t.match(await reason(watched.signal), { code: 'ERR_GATE_IDENTITY_ENDED', message: /you logged out/ })
  }
  await t.rejects(there.authenticate(second.token), ended)
  t.not((await here.open(identity(clock), second.token)).login.id, first.login.id, 'nothing brings it back')
  await here.end('unknown')
  await here.authenticate(other.token)
  t.equal(unrelated.signal.aborted, false)
})

t.test('a connection sees new groups at once, and ends when its login is not renewed', async t => {
  const clock = createHandClock()
  await using logins = await open(clock)
  const { token, login } = await logins.open(identity(clock), undefined)
  using watched = logins.watch(login)
  t.same(watched.subject().groups, ['engineers'])
  clock.advance(10 * MINUTE)
  await logins.open(identity(clock, 'alice', ['support']), token)
  const deadline = Date.now() + 20_000
  while (watched.subject().groups[0] !== 'support' && Date.now() < deadline) await systemClock.sleep(10)
  t.same(watched.subject().groups, ['support'])
  clock.advance(10 * MINUTE)
  await store.notify('logins', login.id)
  await store.check()
  t.equal(watched.signal.aborted, false)
  clock.advance(10 * MINUTE)
  // As after a connection to the store was lost: everybody is looked at.
  await store.notify('logins', '')
  t.match(await reason(watched.signal), { code: 'ERR_GATE_IDENTITY_ENDED', message: /was not renewed/ })
})

t.test('a connection opened with an older token learns that its login ended meanwhile', async t => {
  const clock = createHandClock()
  await using logins = await open(clock)
  const { token, login } = await logins.open(identity(clock), undefined)
  await logins.end(token)
  using watched = logins.watch(login)
  t.match(await reason(watched.signal), { code: 'ERR_GATE_IDENTITY_ENDED' })
  clock.advance(2 * 60 * MINUTE)
  const late = await logins.open(identity(clock), undefined)
  clock.advance(60 * MINUTE)
  using atTheEnd = logins.watch(late.login)
  t.match(await reason(atTheEnd.signal), { message: /maximum session/ })
})

t.test('a connection ends by itself at the moment its login does', async t => {
  await using logins = await Logins.start(
    store,
    { tokenMs: 300, maximumMs: 10_000 },
    await noLocks(),
    systemClock,
    silentLog,
  )
  const now = { ...createHandClock(Date.now()) }
  const { login } = await logins.open(identity(now), undefined)
  using watched = logins.watch(login)
  const waiting = reason(watched.signal)
  const keep = setInterval(() => {}, 1000)
  t.match(await waiting, { code: 'ERR_GATE_IDENTITY_ENDED', message: /was not renewed/ })
  clearInterval(keep)
  t.ok(Date.now() >= login.expiresMs)
})

t.test('a relay that goes down ends its connections with that word', async t => {
  const clock = createHandClock()
  const logins = await open(clock)
  const { login } = await logins.open(identity(clock), undefined)
  using watched = logins.watch(login)
  using released = logins.watch(login)
  released[Symbol.dispose]()
  await logins[Symbol.asyncDispose]()
  t.match(await reason(watched.signal), { code: 'ERR_GATE_SHUTDOWN' })
  t.equal(released.signal.aborted, false)
})

t.test('without the store nobody is logged in', async t => {
  const clock = createHandClock()
  await using own = await startStore()
  await using logins = await Logins.start(
    own,
    limits,
    await Locks.start(own, { append: () => 1 }, clock, silentLog),
    clock,
    silentLog,
  )
  const { token, login } = await logins.open(identity(clock), undefined)
  await own[Symbol.asyncDispose]()
  using watched = logins.watch(login)
  t.match(await reason(watched.signal), { code: 'ERR_GATE_STORE' })
  await t.rejects(logins.authenticate(token), { code: 'ERR_GATE_STORE' })
  await t.rejects(logins.open(identity(clock), token), { code: 'ERR_GATE_STORE' })
})
