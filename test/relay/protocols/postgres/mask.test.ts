// Masked rows, however they lie in a chunk: what comes out is what masking one value after the other gives.
import { type RowMask, rewriteRows } from '@gate/relay/protocols/postgres/mask'
import { Slab } from '@gate/relay/protocols/postgres/slab'
import { GateError } from '@gate/shared/errors'
import fc from 'fast-check'
import t from 'tap'
import { server } from '../../../support/wire.ts'

type Row = readonly (string | null)[]

const columns = 3
const rows = fc.array(
  fc.array(fc.option(fc.string({ maxLength: 60 }), { nil: null }), { minLength: columns, maxLength: columns }),
  { maxLength: 40 },
)
const doubled = (value: Buffer): Buffer => Buffer.concat([value, value])
const mask: fc.Arbitrary<RowMask> = fc.array(
  fc.constantFrom(
    undefined,
    { constant: null },
    { constant: Buffer.alloc(0) },
    { constant: Buffer.from('****') },
    { constant: Buffer.from('****'), hidesNull: true },
    { constant: null, hidesNull: true },
    { constant: Buffer.alloc(100, '*') },
    { compute: doubled },
    { compute: () => null },
  ),
  { minLength: columns, maxLength: columns },
)

function maskOne(value: string | null, how: RowMask[number]): string | null {
  if (how === undefined || (value === null && !('hidesNull' in how))) return value
  const masked = 'constant' in how ? how.constant : how.compute(Buffer.from(value ?? ''))
  return masked === null ? null : masked.toString('utf8')
}

const wire = (all: readonly Row[]): Buffer => Buffer.concat(all.map(row => server.dataRow([...row])))

function write(chunk: Buffer, from: number, how: RowMask): { end: number; bytes: Buffer } {
  const slab = new Slab(chunk, from)
  const end = rewriteRows(slab, chunk, from, how)
  return { end, bytes: Buffer.concat(slab.take()) }
}

t.test('rows come out as if each value were masked by itself, also when the buffer has to grow', async t => {
  fc.assert(
    fc.property(rows, mask, (all, how) => {
      const chunk = Buffer.concat([Buffer.from('before'), wire(all), server.complete('SELECT')])
      const { end, bytes } = write(chunk, 6, how)
      const wanted = wire(all.map(row => row.map((value, index) => maskOne(value, how[index]))))
      return bytes.equals(wanted) && end === 6 + wire(all).length
    }),
  )
  t.pass()
})

t.test('results behind each other in one chunk are written with one copy of it', async t => {
  fc.assert(
    fc.property(fc.array(fc.tuple(rows, mask), { maxLength: 5 }), results => {
      const parts = results.map(([all]) => Buffer.concat([wire(all), server.complete('SELECT')]))
      const chunk = Buffer.concat(parts)
      const slab = new Slab(chunk, 0)
      let from = 0
      return results.every(([all, how], index) => {
        const end = rewriteRows(slab, chunk, from, how)
        const wanted = wire(all.map(row => row.map((value, column) => maskOne(value, how[column]))))
        const isRight = Buffer.concat(slab.take()).equals(wanted) && end === from + wire(all).length
        from += parts[index]?.length ?? 0
        return isRight
      })
    }),
  )
  t.pass()
})

t.test('a row that is not there as a whole is left for later', async t => {
  const how: RowMask = [undefined, { constant: Buffer.from('****') }, undefined]
  const chunk = wire([
    ['1', 'clear', 'x'],
    ['2', 'secret', 'y'],
  ])
  const first = wire([['1', 'clear', 'x']]).length
  for (let cut = first; cut < chunk.length; cut += 1) {
    const { end, bytes } = write(chunk.subarray(0, cut), 0, how)
    t.equal(end, first)
    t.same(bytes, wire([['1', '****', 'x']]))
  }
})

t.test('a row whose lengths do not add up ends the session, and nothing of it is written', async t => {
  const good = wire([['1', 'clear', 'x']])
  const how: RowMask = [undefined, { constant: null }, undefined]
  fc.assert(
    fc.property(fc.integer({ min: 5, max: good.length - 1 }), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const bad = Buffer.from(good)
      bad[at] = (bad[at] ?? 0) ^ change
      try {
        const { bytes } = write(bad, 0, how)
        return !bytes.includes('clear')
      } catch (thrown) {
        return thrown instanceof GateError && thrown.code === 'ERR_GATE_TARGET_PROTOCOL'
      }
    }),
  )
  t.pass()
})
