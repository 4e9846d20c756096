// Messages of many megabytes pass, or go away, as they come: nothing is kept that need not be.
import { LongQueries, MAX_LONG_QUERY_BYTES } from '@gate/relay/protocols/postgres/long-queries'
import t from 'tap'
import { allowAll, Harness, refusal, split } from '../../../support/machine.ts'
import { client, messages, server, types } from '../../../support/wire.ts'

const inPieces = (bytes: Buffer): Buffer[] =>
  Array.from({ length: Math.ceil(bytes.length / 65_536) }, (_, index) =>
    bytes.subarray(index * 65_536, (index + 1) * 65_536),
  )

t.test('statements longer than the limit are refused while their bytes are thrown away as they come', async t => {
  const harness = new Harness()
  const long = client.query(`select '${'x'.repeat(MAX_LONG_QUERY_BYTES)}'`)
  for (const piece of inPieces(long)) harness.client(piece)
  harness.client(client.query('select 1'))
  t.equal(types(harness.trace.toTarget), 'QQ')
  t.ok(harness.trace.toTarget.length < 100)
  t.match(harness.trace.questions, [{ kind: 'too-long', isCrowded: false }, { kind: 'query' }])
  const parse = client.parse('named', `select '${'x'.repeat(200_000)}'`)
  for (const piece of inPieces(parse)) harness.client(piece)
  t.match(messages(harness.trace.toTarget).at(-1)?.body.toString(), /^named\0/)
})

t.test('a simple query that may be long for its constants is asked about whole, once', async t => {
  const harness = new Harness()
  const long = client.query(`select '${'x'.repeat(2_000_000)}'`)
  for (const piece of inPieces(long)) harness.client(piece)
  t.match(harness.trace.questions, [{ kind: 'query', text: long.subarray(5, -1) }])
  t.ok(harness.trace.toTarget.equals(long))
})

t.test('long queries of all sessions have so much room together, and give it back when they have gone on', async t => {
  const room = new LongQueries()
  const [one, other] = [room.share(), room.share()]
  t.ok(one.take(MAX_LONG_QUERY_BYTES))
  t.ok(other.take(MAX_LONG_QUERY_BYTES))
  const harness = new Harness(allowAll, true, room.share())
  const long = client.query(`select '${'x'.repeat(2_000_000)}'`)
  for (const piece of inPieces(long)) harness.client(piece)
  t.match(harness.trace.questions, [{ kind: 'too-long', isCrowded: true }])
  one.give()
  t.notOk(other.take(MAX_LONG_QUERY_BYTES + 1), 'no query may be longer')
  for (const piece of inPieces(long)) harness.client(piece)
  for (const piece of inPieces(long)) harness.client(piece)
  t.match(harness.trace.questions.slice(1), [{ kind: 'query' }, { kind: 'query' }])
  t.ok(one.take(MAX_LONG_QUERY_BYTES), 'nothing has to come behind them')
  one.give()
  harness.client(client.query('select 1'))
  t.ok(one.take(MAX_LONG_QUERY_BYTES))
  t.ok(other.take(MAX_LONG_QUERY_BYTES), 'the harness has none any more')
  t.notOk(room.share().take(1))
})

t.test('a value of many megabytes goes through in both directions as it comes', async t => {
  const harness = new Harness()
  harness.client(Buffer.concat([client.parse('', 'insert into t values ($1)')]))
  const bind = client.bind('', '', [Buffer.alloc(20_000_000, 'x')])
  let most = 0
  for (let at = 0; at < bind.length; at += 65_536) {
    harness.machine.receive('client', bind.subarray(at, at + 65_536))
    let out = 0
    for (let effect = harness.machine.poll(); effect !== undefined; effect = harness.machine.poll())
      if (effect.do === 'send') out += effect.unit.length
    most = Math.max(most, out)
  }
  // The first part waits until both names are there and it is clear that the rest need not be kept.
  t.ok(most <= 65_536 * 2, `at most ${most} bytes at once`)
  harness.client(Buffer.concat([client.execute(''), client.sync]))
  harness.target(Buffer.concat([server.parseComplete, server.bindComplete]))
  const row = server.dataRow([Buffer.alloc(20_000_000, 'y')])
  harness.trace.toClient = Buffer.alloc(0)
  let seen = 0
  for (let at = 0; at < row.length; at += 65_536) {
    harness.machine.receive('target', row.subarray(at, at + 65_536))
    for (let effect = harness.machine.poll(); effect !== undefined; effect = harness.machine.poll())
      if (effect.do === 'send') seen += effect.unit.length
    if (at < row.length - 65_536) t.ok(seen >= at, 'nothing is kept back') || t.end()
  }
  t.equal(seen, row.length)
})

t.test('a function call of many megabytes goes through or away as it comes', async t => {
  for (const refuses of [false, true]) {
    const harness = new Harness(question => (refuses && question.kind === 'call' ? refusal('no') : allowAll(question)))
    const call = client.functionCall(955, [Buffer.alloc(5_000_000, 'x')])
    const sizes: number[] = []
    for (let at = 0; at < call.length; at += 65_536) {
      harness.client(call.subarray(at, at + 65_536))
      sizes.push(harness.trace.toTarget.length)
    }
    t.match(harness.trace.questions, [{ kind: 'call', function: 955, parameters: [], uninspectedBytes: call.length }])
    if (refuses) t.equal(messages(harness.trace.toTarget)[0]?.body.readUInt32BE(0), 0)
    else t.ok(harness.trace.toTarget.equals(call))
    t.ok(refuses || sizes[0] === 65_536, 'nothing is kept back')
    harness.client(client.query('select 1'))
    t.equal(types(harness.trace.toTarget), 'FQ')
  }
})

t.test('errors and notices that quote a value of many megabytes pass as they come', async t => {
  const harness = new Harness()
  harness.client(Buffer.concat([client.query("select 'x…'::int"), client.query('select 1')]))
  const long = Buffer.concat([server.notice('n'.repeat(20_000_000)), server.error('22P02', 'e'.repeat(20_000_000))])
  const answer = Buffer.concat([long, server.ready(), server.complete('SELECT 1'), server.ready()])
  const statuses: string[] = []
  let passed = 0
  for (let at = 0; at < answer.length; at += 65_536) {
    harness.machine.receive('target', answer.subarray(at, at + 65_536))
    for (let effect = harness.machine.poll(); effect !== undefined; effect = harness.machine.poll()) {
      if (effect.do === 'send') passed += effect.unit.length
      else if (effect.do === 'observe') statuses.push(effect.outcome.status)
    }
    t.ok(passed > at - 65_536, 'nothing is kept back') || t.end()
  }
  t.equal(passed, answer.length)
  t.same(statuses, ['22P02', 'SELECT 1'])
})

t.test('a long error in the place of a refused command goes away as it comes', async t => {
  const harness = new Harness(question => (question.kind === 'query' ? refusal('no') : allowAll(question)))
  harness.client(client.query('select 1'))
  const long = server.error('42601', 'e'.repeat(200_000))
  for (const part of split(long, [10, 70_000, 150_000])) harness.target(part)
  harness.target(server.ready())
  t.equal(types(harness.trace.toClient), 'EZ')
  t.ok(harness.trace.toClient.length < 200)
})
