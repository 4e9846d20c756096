// What leaves is what was added, whatever comes of the source, in between, and longer than what it stands for.
import { Gathered } from '@gate/relay/protocols/http/masking/gathered'
import fc from 'fast-check'
import t from 'tap'

/** For each source: how much of it is left out, how much is added, and what is put behind that. */
const step = fc.record({
  skipped: fc.nat(40),
  kept: fc.nat(80),
  other: fc.option(fc.uint8Array({ maxLength: 6_000 }), { nil: undefined }),
})
const sources = fc.array(
  fc.record({ bytes: fc.uint8Array({ maxLength: 1_000 }), steps: fc.array(step, { maxLength: 12 }) }),
  {
    maxLength: 4,
  },
)

t.test('pieces of sources and others, in order', async t => {
  fc.assert(
    fc.property(sources, fc.boolean(), (all, takesOften) => {
      const gathered = new Gathered()
      const wanted: Buffer[] = []
      const got: Buffer[] = []
      for (const { bytes, steps } of all) {
        const source = Buffer.from(bytes)
        gathered.begin(source)
        let at = 0
        for (const { skipped, kept, other } of steps) {
          const start = Math.min(source.length, at + skipped)
          at = Math.min(source.length, start + kept)
          gathered.add(source, start, at)
          wanted.push(Buffer.from(source.subarray(start, at)))
          if (other === undefined) continue
          gathered.add(Buffer.from(other), 0, other.length)
          wanted.push(Buffer.from(other))
        }
        if (takesOften) got.push(gathered.take())
        if (!source.equals(bytes)) return false
      }
      got.push(gathered.take())
      return Buffer.concat(got).equals(Buffer.concat(wanted))
    }),
    { numRuns: 2_000 },
  )
  t.equal(new Gathered().take().length, 0)
})
