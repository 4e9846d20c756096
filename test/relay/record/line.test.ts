// The form of a recorded line: one event, read back as it was written, whatever is in it.
import type { EventBody } from '@gate/relay/record/events'
import { formatLine, parseEvent, parseLine } from '@gate/relay/record/line'
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

const anyText = fc.string({ unit: 'binary', maxLength: 60 })

t.test('an event is read back as it was written, on one line, whatever its text', async t => {
  fc.assert(
    fc.property(anyText, text => {
      const body = command(text)
      const line = formatLine(1, 5, body)
      t.notMatch(line, '\n')
      t.same(parseLine(Buffer.from(line).toString('utf8'), 1), { sequence: 1, timeMs: 5, body })
    }),
    { numRuns: 200 },
  )
  const awkward = '\r\n\u2028\u2029\u0085\0"\\}","hash":"\ud800 \u{1f600}'
  t.same(parseEvent(formatLine(1, 5, command(awkward))).body, command(awkward))
})

t.test('a command whose statement was written before is written as if it were the first', async t => {
  const facts = { hasWhere: true }
  const resources = [[], [{ kind: 'table', name: 'public."a"', mode: 'read' as const }]]
  const decisions = [
    { effect: 'allow' as const, rule: 'reads' },
    { effect: 'deny' as const, rule: 'never', reason: 'no\n"' },
  ]
  const optional = [
    {},
    { parameters: [{ text: '"\n', bytes: 2, format: 'text' as const }] },
    { prepared: true as const },
    { sameTextAs: 1 },
    { settled: { effect: 'deny' as const, rule: 'r' } },
    { brokeGlass: true as const },
    { request: 'r_1', parametersCutFrom: 3 },
  ]
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          type: fc.constant('command' as const),
          session: fc.constantFrom('s_1', 's_"2'),
          command: fc.nat(),
          action: fc.constantFrom('select', 'update'),
          text: fc.oneof(fc.constantFrom('select 1', ''), anyText),
          resources: fc.constantFrom(...resources),
          facts: fc.constantFrom(facts, { hasWhere: false }),
          decision: fc.constantFrom(...decisions),
          policy: fc.constantFrom('p', 'q'),
          more: fc.constantFrom(...optional),
        }),
      ),
      written => {
        for (const { more, ...common } of written) {
          const body = { ...common, ...more }
          t.same(parseEvent(formatLine(1, 5, body)).body, JSON.parse(JSON.stringify(body)))
        }
      },
    ),
  )
})

t.test('text that is no event, or has another number, is refused', async t => {
  for (const body of [
    {},
    { type: 'nothing' },
    { ...command('x'), more: 1 },
    { ...command('x'), text: 1 },
    { ...command('x'), decision: { effect: 'maybe', rule: 'r' } },
  ]) {
    const line = formatLine(1, 1, body as EventBody)
    t.throws(() => parseLine(line, 1), { code: 'ERR_GATE_RECORD' }, JSON.stringify(body))
  }
  t.throws(() => parseLine(formatLine(3, 1, command('x')), 2), { message: 'record 2 is numbered 3' })
  fc.assert(
    fc.property(anyText, text => {
      t.throws(() => parseLine(text, 1), { code: 'ERR_GATE_RECORD' })
      t.throws(() => parseEvent(text), { code: 'ERR_GATE_RECORD' })
    }),
  )
})
