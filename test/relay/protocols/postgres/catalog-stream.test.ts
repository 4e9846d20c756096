// The room's own questions to a target: answers read from any pieces, and nothing taken for a row that is none.

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { CatalogStream } from '@gate/relay/protocols/postgres/catalog-stream'
import { D, E, errorMessage, message, Z } from '@gate/relay/protocols/postgres/codec'
import { GateError } from '@gate/shared/errors'
import { type Port, socketPort } from '@gate/shared/port'
import { serialize } from 'pg-protocol'
import t from 'tap'
import { type PostgresServer, startPostgres } from '../../../support/postgres.ts'

const ready = message(Z, Buffer.from('I'))

function row(...values: (string | null)[]): Buffer {
  const parts = values.flatMap(value => {
    const bytes = Buffer.from(value ?? '')
    const length = Buffer.alloc(4)
    length.writeInt32BE(value === null ? -1 : bytes.length)
    return [length, bytes]
  })
  const count = Buffer.alloc(2)
  count.writeUInt16BE(values.length)
  return message(D, Buffer.concat([count, ...parts]))
}

/** A target that gives these bytes in pieces of that size, whatever it is asked. */
function streamOf(bytes: Buffer, size: number, detail: Readonly<Record<string, string>> = {}): CatalogStream {
  let at = 0
  const port = {
    write: () => undefined,
    destroy: () => {},
    [Symbol.asyncIterator]: () => ({
      next: async () => {
        const value = bytes.subarray(at, at + size)
        at += size
        return value.length === 0 ? { value: undefined, done: true } : { value, done: false }
      },
    }),
  } as unknown as Port<Buffer>
  return new CatalogStream({ port, declare: () => {}, cancel: async () => {}, detail })
}

const ask = (bytes: Buffer, size: number, questions: number): ReturnType<CatalogStream['ask']> =>
  streamOf(bytes, size).ask(
    Array.from({ length: questions }, () => 'select 1'),
    AbortSignal.timeout(10_000),
  )

const rows = [
  ['1', 'plain', null, ''],
  ['2', 'größer', '表', '😀 x'],
  ['3', 'x'.repeat(300), 'y', 'é'.repeat(200)],
]

t.test('rows are the same however their bytes come', async t => {
  const bytes = Buffer.concat([ready, ...rows.map(values => row(...values)), ready, row('9'), ready])
  for (const size of [1, 2, 3, 7, 64, bytes.length]) t.same(await ask(bytes, size, 2), [rows, [['9']]], `${size}`)
})

t.test('who answers says whether a pooler does', async t => {
  const failed = errorMessage(E, new Map([['C', '42501']]))
  for (const [name, detail, own, isPooled] of [
    ['whom it logged in to', { processId: '42' }, row('42'), false],
    ['somebody else', { processId: '42' }, row('43'), true],
    ['nobody', { processId: '42' }, Buffer.alloc(0), true],
    ['an error', { processId: '42' }, failed, true],
  ] as const) {
    const stream = streamOf(Buffer.concat([ready, own, ready, row('1'), ready]), 64, detail)
    t.equal(stream.isPooled, true, 'nobody knows before')
    t.same(await stream.ask(['select 1'], AbortSignal.timeout(10_000)), [[['1']]])
    t.equal(stream.isPooled, isPooled, name)
  }
  const stream = streamOf(Buffer.concat([ready, row('1'), ready]), 64)
  t.same(await stream.ask(['select 1'], AbortSignal.timeout(10_000)), [[['1']]])
  t.equal(stream.isPooled, true, 'a server that does not say who it is')
})

t.test('an answer that is an error leaves the others as they are', async t => {
  const failed = errorMessage(E, new Map(Object.entries({ S: 'ERROR', C: '55P03', M: 'locked' })))
  const [first, second] = await ask(Buffer.concat([ready, row('1'), failed, ready, row('2'), ready]), 5, 2)
  t.ok(first instanceof GateError)
  t.match(first, { fields: { C: '55P03', M: 'locked' } })
  t.same(second, [['2']])
})

t.test('what is no row, or does not end, is refused', async t => {
  const cut = row('abc')
  cut.writeInt32BE(4, 7)
  const long = row('abc')
  long.writeInt32BE(2, 7)
  const negative = row('abc')
  negative.writeInt32BE(-2, 7)
  for (const bytes of [cut, long, negative])
    await t.rejects(ask(Buffer.concat([ready, bytes, ready]), 64, 1), { code: 'ERR_GATE_PROTOCOL' })
  await t.rejects(ask(Buffer.concat([ready, row('1')]), 64, 1), { code: 'ERR_GATE_AGENT_LOST' })
  const impossible = Buffer.from([D, 0xff, 0xff, 0xff, 0xff])
  await t.rejects(ask(Buffer.concat([ready, impossible]), 64, 1), { code: 'ERR_GATE_TARGET_PROTOCOL' })
})

/** A stream to a real server; `written` is told of what is sent. */
async function openStream(server: PostgresServer, written: (bytes: Buffer) => void): Promise<CatalogStream> {
  const socket = connect(server.port, server.host)
  await once(socket, 'connect')
  socket.write(serialize.startup({ user: 'asker', database: 'postgres' }))
  const port = socketPort(socket, 'ERR_GATE_AGENT_LOST')
  const told: Port<Buffer> = {
    [Symbol.asyncIterator]: () => port[Symbol.asyncIterator](),
    write: bytes => {
      written(bytes)
      return port.write(bytes)
    },
    end: () => port.end(),
    destroy: cause => port.destroy(cause),
    get broken() {
      return port.broken
    },
  }
  return new CatalogStream({ port: told, declare: () => {}, cancel: async () => {}, detail: {} })
}

t.test('what is asked again is prepared once, and anew after an error', async t => {
  const postgres = await startPostgres({ authentication: 'trust' })
  t.teardown(() => postgres[Symbol.asyncDispose]())
  await postgres.query('create role asker login')
  const written: string[] = []
  const stream = await openStream(postgres, bytes => written.push(bytes.toString('latin1')))
  const long = `select i::text, repeat('x', i) from generate_series(1, 3) i where i > 0 and ${'true and '.repeat(20)} true`
  const failing = `select (1 / (n - n))::text from (values (1)) v (n) where ${'true and '.repeat(20)} true`
  const signal = AbortSignal.timeout(30_000)
  const expected = [
    ['1', 'x'],
    ['2', 'xx'],
    ['3', 'xxx'],
  ]
  for (let turn = 0; turn < 4; turn += 1) {
    const [begun, rows, failed, over] = await stream.ask(['begin', long, failing, 'rollback'], signal)
    t.same([begun, rows, over], [[], expected, []])
    t.match(failed, { fields: { C: '22012' } })
    t.same(await stream.ask([long, long], signal), [expected, expected])
  }
  const sent = written.join('')
  t.equal(sent.split(long).length - 1, 3, 'as a query, as another beside it in one message, and to be prepared')
  t.equal(sent.split(failing).length - 1, 4)
  const { length } = await stream.ask(
    Array.from({ length: 300 }, (_, index) => `${long} and ${index} >= 0`),
    signal,
  )
  t.equal(length, 300)
  stream.close()
})

t.test('where names of prepared statements are lost, or others have them, questions are asked without', async t => {
  const postgres = await startPostgres({ authentication: 'trust' })
  t.teardown(() => postgres[Symbol.asyncDispose]())
  await postgres.query('create role asker login')
  const signal = AbortSignal.timeout(30_000)
  const long = `select 'mine' where ${'true and '.repeat(20)} true`
  // A pooler does this to a stream when another connection to the server answers the next transaction.
  for (const change of ['deallocate all', 'a name that others have']) {
    const written: string[] = []
    const stream = await openStream(postgres, bytes => written.push(bytes.toString('latin1')))
    await stream.ask([long], signal)
    if (change === 'deallocate all') {
      t.same(await stream.ask([long], signal), [[['mine']]])
      await stream.ask([change], signal)
    } else {
      const name = `asked 1 ${createHash('sha256').update(long).digest('hex').slice(0, 32)}`
      t.same(await stream.ask([`prepare "${name}" as select 'of others'`], signal), [[]])
    }
    for (let turn = 0; turn < 3; turn += 1) {
      t.same(await stream.ask(['begin', 'select 1', long, 'rollback'], signal), [[], [['1']], [['mine']], []], change)
    }
    const before = written.length
    await stream.ask([long], signal)
    t.notMatch(written.slice(before).join(''), 'asked', 'and from then on at once')
    stream.close()
  }
})
