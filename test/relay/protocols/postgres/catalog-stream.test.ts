// The room's own questions to a target: answers read from any pieces, and nothing taken for a row that is none.

import { CatalogStream } from '@gate/relay/protocols/postgres/catalog-stream'
import { D, E, errorMessage, message, Z } from '@gate/relay/protocols/postgres/codec'
import { GateError } from '@gate/shared/errors'
import type { Port } from '@gate/shared/port'
import t from 'tap'

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
function ask(bytes: Buffer, size: number, questions: number): ReturnType<CatalogStream['ask']> {
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
  const stream = new CatalogStream({ port, declare: () => {}, cancel: async () => {}, detail: {} })
  return stream.ask(
    Array.from({ length: questions }, () => 'select 1'),
    AbortSignal.timeout(10_000),
  )
}

const rows = [
  ['1', 'plain', null, ''],
  ['2', 'größer', '表', '😀 x'],
  ['3', 'x'.repeat(300), 'y', 'é'.repeat(200)],
]

t.test('rows are the same however their bytes come', async t => {
  const bytes = Buffer.concat([ready, ...rows.map(values => row(...values)), ready, row('9'), ready])
  for (const size of [1, 2, 3, 7, 64, bytes.length]) t.same(await ask(bytes, size, 2), [rows, [['9']]], `${size}`)
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
