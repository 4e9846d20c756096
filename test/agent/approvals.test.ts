// An agent that believes no relay: declarations, signatures by keys of its own list, and bytes that it hashes itself.
import { ApprovalGuard, guardedPort } from '@gate/agent/approvals/guard'
import { Trust } from '@gate/agent/approvals/trust'
import { PostgresCommands } from '@gate/agent/connectors/postgres/commands'
import type { BoundParameter, SignedDecision, SignedStatement } from '@gate/shared/approval'
import { GateError } from '@gate/shared/errors'
import type { Port } from '@gate/shared/port'
import fc from 'fast-check'
import t from 'tap'
import { newSigner, type Signer, signedApproval } from '../support/approver.ts'
import { createHandClock } from '../support/clock.ts'
import { client } from '../support/wire.ts'

const MINUTE = 60_000
const bob = newSigner()
const carol = newSigner()
const stranger = newSigner()
const clock = createHandClock()

const approval = (
  command: string,
  signer: Signer = bob,
  change: Partial<SignedStatement> = {},
  parameters: readonly BoundParameter[] = [],
): SignedDecision =>
  signedApproval(
    { target: 'prod-db', protocol: 'postgres', command, parameters, expiresMs: clock.now() + MINUTE },
    signer,
    change,
  )

function guarded(actions = ['drop'], count = 1) {
  const sent: Buffer[] = []
  const port: Port<Buffer> = {
    [Symbol.asyncIterator]: () => ({ next: async () => ({ value: undefined, done: true }) }),
    write: bytes => void sent.push(bytes),
    end: () => {},
    destroy: () => {},
    broken: undefined,
  }
  const keys = [bob.publicKey, carol.publicKey]
  const trust = new Trust({ target: 'prod-db', protocol: 'postgres', actions, keys, count }, clock)
  const guard = new ApprovalGuard(trust)
  const before = guardedPort(port, new PostgresCommands(), guard)
  return {
    declare: (declared: readonly string[], ...approvals: SignedDecision[]) =>
      guard.declare({ actions: declared, approvals }),
    /** What the target gets, or why it gets nothing more. */
    send: (...bytes: Buffer[]): string => {
      try {
        for (const each of bytes) void before.write(each)
        return 'passes'
      } catch (thrown) {
        return thrown instanceof GateError ? thrown.code : String(thrown)
      }
    },
    sent: () => Buffer.concat(sent),
  }
}

const DROP = 'drop table t'

t.test('what is not guarded passes as it is, what is not declared does not', async t => {
  const agent = guarded()
  agent.declare(['select'])
  t.equal(agent.send(client.query('select 1')), 'passes')
  t.same(agent.sent(), client.query('select 1'))
  t.equal(agent.send(client.query('select 2')), 'ERR_GATE_REFUSED')
  t.same(agent.sent(), client.query('select 1'), 'nothing of it reached the target')
})

t.test('a guarded action needs a good signature over exactly its bytes', async t => {
  const cases: [string, SignedDecision[], string][] = [
    ['none', [], 'ERR_GATE_REFUSED'],
    ['good', [approval(DROP)], 'passes'],
    ['over another command', [approval('drop table u')], 'ERR_GATE_REFUSED'],
    ['by a stranger', [approval(DROP, stranger)], 'ERR_GATE_REFUSED'],
    ['a denial', [approval(DROP, bob, { verdict: 'deny' })], 'ERR_GATE_REFUSED'],
    ['for another target', [approval(DROP, bob, { target: 'test-db' })], 'ERR_GATE_REFUSED'],
    ['for another protocol', [approval(DROP, bob, { protocol: 'http' })], 'ERR_GATE_REFUSED'],
    ['over other parameters', [approval(DROP, bob, {}, [{ type: 0, format: 0, value: null }])], 'ERR_GATE_REFUSED'],
    ['expired', [approval(DROP, bob, { expiresMs: clock.now() - 2 * MINUTE })], 'ERR_GATE_REFUSED'],
    ['altered', [{ ...approval(DROP), statement: { ...approval(DROP).statement, rule: 'other' } }], 'ERR_GATE_REFUSED'],
    ['of an older version', [approval(DROP, bob, { version: 'gate-decision-1' })], 'ERR_GATE_REFUSED'],
    ['of another version of the key', [{ ...approval(DROP), publicKey: carol.publicKey }], 'ERR_GATE_REFUSED'],
  ]
  for (const [name, approvals, wanted] of cases) {
    const agent = guarded()
    agent.declare(['drop'], ...approvals)
    t.equal(agent.send(client.query(DROP)), wanted, name)
    t.equal(agent.sent().includes('drop'), wanted === 'passes', name)
  }
})

t.test('two signatures of one key are one, and what was used is used', async t => {
  const agent = guarded(['drop'], 2)
  agent.declare(['drop'], approval(DROP), approval(DROP))
  t.equal(agent.send(client.query(DROP)), 'ERR_GATE_REFUSED')
  const both = guarded(['drop'], 2)
  both.declare(['drop'], approval(DROP), approval(DROP, carol))
  t.equal(both.send(client.query(DROP)), 'passes')
  both.declare(['drop'], approval(DROP), approval(DROP, carol))
  t.equal(both.send(client.query(DROP)), 'ERR_GATE_REFUSED', 'the same approvals again')
})

t.test('a grant is believed for its time, for any command', async t => {
  const agent = guarded()
  const grant = approval('drop table a', bob, { grantMs: 10 * MINUTE })
  for (const text of ['drop table a', 'drop table b']) {
    agent.declare(['drop'], grant)
    t.equal(agent.send(client.query(text)), 'passes', text)
  }
  clock.advance(13 * MINUTE)
  agent.declare(['drop'], grant)
  t.equal(agent.send(client.query('drop table c')), 'ERR_GATE_REFUSED')
})

t.test('extended messages are hashed with what was prepared and bound', async t => {
  const text = 'delete from t where id = $1'
  const values = [{ type: 23, format: 1, value: Buffer.from([0, 0, 0, 7]) }]
  const bytes = [
    client.parse('s', text, [23]),
    client.bind('p', 's', [values[0]?.value ?? null], [1]),
    client.execute('p'),
    client.sync,
  ]
  const agent = guarded(['delete'])
  agent.declare(['delete'], approval(text, bob, {}, values))
  t.equal(agent.send(...bytes), 'passes')
  for (const [name, change] of [
    ['another value', { value: Buffer.from([0, 0, 0, 8]) }],
    ['another type', { type: 700 }],
    ['no type', { type: 0 }],
  ] as const) {
    const other = guarded(['delete'])
    const signed = values.map(value => ({ ...value, ...change }))
    other.declare(['delete'], approval(text, bob, {}, signed))
    t.equal(other.send(...bytes), 'ERR_GATE_REFUSED', name)
  }
})

t.test('what a name stands for no agent can see, so what covers it is believed for no bytes that name it', async t => {
  const meaning = 'execute p(1)\n\ngate: "p" stands for this:\nprepare p (int) as delete from t where id = $1'
  const agent = guarded(['delete'])
  agent.declare(['delete'], approval(meaning))
  t.equal(agent.send(client.query('execute p(1)')), 'ERR_GATE_REFUSED')
})

t.test('however the bytes are cut, the last of a command goes only when it may', async t => {
  const bytes = Buffer.concat([client.parse('', DROP), client.bind('', ''), client.execute(''), client.sync])
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: bytes.length }), { maxLength: 8 }), cuts => {
      const places = [0, ...cuts.sort((a, b) => a - b), bytes.length]
      const pieces = places.slice(1).map((end, index) => bytes.subarray(places[index], end))
      const refused = guarded()
      refused.declare(['drop'])
      const good = guarded()
      good.declare(['drop'], approval(DROP))
      return (
        refused.send(...pieces) === 'ERR_GATE_REFUSED' &&
        !refused.sent().includes(client.execute('')) &&
        good.send(...pieces) === 'passes' &&
        good.sent().equals(bytes)
      )
    }),
  )
  t.pass()
})

t.test('a name that the server may take for something else is not believed', async t => {
  const approved = "select 'harmless'"
  // The server skips the second Parse after an error, and runs the first text.
  const skipped = guarded(['*'])
  skipped.declare(['select'], approval(approved))
  t.equal(
    skipped.send(
      ...[
        client.parse('s', DROP),
        client.sync,
        client.bind('none', 'missing'),
        client.parse('s', approved),
        client.sync,
      ],
      ...[client.bind('', 's'), client.execute(''), client.sync],
    ),
    'ERR_GATE_REFUSED',
  )
  // A second Parse of a name fails, and the first text stays.
  const twice = guarded(['*'])
  twice.declare(['select'], approval(approved))
  t.equal(
    twice.send(
      ...[client.parse('s', DROP), client.sync, client.parse('s', approved), client.sync],
      ...[client.bind('', 's'), client.execute('')],
    ),
    'ERR_GATE_REFUSED',
  )
  // Names that are cut to the same 63 bytes are one.
  const long = 'x'.repeat(63)
  const cut = guarded(['*'])
  cut.declare(['select'], approval(approved))
  t.equal(
    cut.send(
      ...[client.parse(`${long}a`, DROP), client.sync, client.parse(`${long}b`, approved), client.sync],
      ...[client.bind('', `${long}b`), client.execute('')],
    ),
    'ERR_GATE_REFUSED',
  )
  const unseen = guarded(['*'])
  unseen.declare(['select'], approval(approved))
  t.equal(unseen.send(client.bind('', 'prepared by SQL'), client.execute('')), 'ERR_GATE_REFUSED')
  const fast = guarded(['*'])
  fast.declare(['call'], approval(approved))
  t.equal(fast.send(client.functionCall(1)), 'ERR_GATE_REFUSED')
})

t.test('any bytes only ever give an error of gate', async t => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 5 }), pieces => {
      const reader = new PostgresCommands()
      try {
        for (const piece of pieces) reader.read(Buffer.from(piece))
        return true
      } catch (thrown) {
        return thrown instanceof GateError
      }
    }),
  )
  t.pass()
})
