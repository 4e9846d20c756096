// The form of a recorded line and the chain through all of them: whatever is changed afterwards is noticed.
import { formatLine, GENESIS, parseEvent, parseLine } from '@gate/relay/record/chain'
import type { EventBody } from '@gate/relay/record/events'
import fc from 'fast-check'
import t from 'tap'

const command = (text: string, command = 1): EventBody => ({
  type: 'command',
  session: 's_1',
  command,
  action: 'select',
  text,
  resources: [{ kind: 'table', name: 'public.customers', mode: 'read' }],
  facts: { hasWhere: true, tables: ['public.customers'], limit: 3, nothing: null },
  decision: { effect: 'allow', rule: 'reads' },
  policy: 'p',
})

/** Lines as the recorder chains them. */
function chain(bodies: readonly EventBody[]): string[] {
  let hash = GENESIS
  return bodies.map((body, index) => {
    const line = formatLine(index + 1, 1_000 + index, body, hash)
    hash = line.hash
    return line.text.slice(0, -1)
  })
}

/** The number of the first line that does not fit, from 1; 0 when all do. */
function firstMisfit(lines: readonly string[]): number {
  let hash = GENESIS
  for (const [index, line] of lines.entries()) {
    try {
      hash = parseLine(line, index + 1, hash).hash
    } catch (thrown) {
      if ((thrown as { code?: string }).code === 'ERR_GATE_RECORD') return index + 1
      throw thrown
    }
  }
  return 0
}

const anyText = fc.string({ unit: 'binary', maxLength: 60 })

t.test('an event is read back as it was written, on one line, whatever its text', async t => {
  fc.assert(
    fc.property(anyText, text => {
      const body = command(text)
      const line = formatLine(1, 5, body, GENESIS)
      t.equal(line.text.indexOf('\n'), line.text.length - 1)
      const { event, hash } = parseLine(Buffer.from(line.text).toString('utf8').slice(0, -1), 1, GENESIS)
      t.same(event, { sequence: 1, timeMs: 5, body })
      t.equal(hash, line.hash)
    }),
    { numRuns: 200 },
  )
  const awkward = '\r\n\u2028\u2029\u0085\0"\\}","hash":"\ud800 \u{1f600}'
  t.same(parseEvent(chain([command(awkward)])[0] ?? '').body, command(awkward))
})

t.test('a chain starts from zeros, and each line holds on to all before it', async t => {
  const lines = chain([command('a'), command('b', 2), command('c', 3)])
  t.equal(firstMisfit(lines), 0)
  const other = chain([command('A'), command('b', 2), command('c', 3)])
  t.not(other[2], lines[2], 'the last line of two histories differs')
  t.equal(firstMisfit([...lines.slice(0, 2), other[2] ?? '']), 3)
})

t.test('one changed byte anywhere in a line is noticed', async t => {
  const lines = chain([command('select 1'), command('delete from t', 2), command('select 3', 3)])
  const victim = Buffer.from(lines[1] ?? '')
  t.ok(victim.length > 200)
  const unnoticed: number[] = []
  for (let at = 0; at < victim.length; at += 1) {
    for (const bit of [0x01, 0x20]) {
      const changed = Buffer.from(victim)
      changed[at] = (victim[at] ?? 0) ^ bit
      if (firstMisfit([lines[0] ?? '', changed.toString('latin1'), lines[2] ?? '']) !== 2) unnoticed.push(at)
    }
  }
  t.same(unnoticed, [])
})

t.test('removed, swapped, repeated, inserted and cut lines are noticed where they are', async t => {
  const lines = chain(Array.from({ length: 8 }, (_, index) => command(`select ${index}`, index + 1)))
  fc.assert(
    fc.property(fc.nat(6), fc.nat(7), (a, b) => {
      const removed = lines.toSpliced(a, 1)
      t.equal(firstMisfit(removed), a + 1, `without ${a}`)
      t.equal(firstMisfit(lines.toSpliced(b, 0, lines[b] ?? '')), b + 2, `${b} twice`)
      t.equal(firstMisfit(lines.toSpliced(b, 1, (lines[b] ?? '').slice(0, -1))), b + 1, `${b} cut`)
      if (a === b) return
      const swapped = lines.with(a, lines[b] ?? '').with(b, lines[a] ?? '')
      t.equal(firstMisfit(swapped), Math.min(a, b) + 1, `${a} and ${b} swapped`)
    }),
  )
  // A line with a hash of its own that fits, but with a number that does not.
  const last = parseLine(lines[0] ?? '', 1, GENESIS).hash
  t.equal(firstMisfit([lines[0] ?? '', formatLine(3, 1, command('x', 2), last).text.slice(0, -1)]), 2)
})

t.test('text that is no event is refused, also when its hash fits', async t => {
  for (const body of [
    {},
    { type: 'nothing' },
    { ...command('x'), more: 1 },
    { ...command('x'), text: 1 },
    { ...command('x'), decision: { effect: 'maybe', rule: 'r' } },
  ]) {
    const line = formatLine(1, 1, body as EventBody, GENESIS).text.slice(0, -1)
    t.throws(() => parseLine(line, 1, GENESIS), { code: 'ERR_GATE_RECORD' }, JSON.stringify(body))
  }
  fc.assert(
    fc.property(anyText, text => {
      t.throws(() => parseLine(text, 1, GENESIS), { code: 'ERR_GATE_RECORD' })
      t.throws(() => parseEvent(text), { code: 'ERR_GATE_RECORD' })
    }),
  )
})
