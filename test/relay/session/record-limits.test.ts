// No event is larger than a log takes, whatever is in it; what is left out is marked.
import { eventBody } from '@gate/relay/record/events'
import {
  type CommandBody,
  cutText,
  defaultRecordLimits,
  fitCommand,
  MAX_EVENT_BYTES,
  SEALED_BYTES,
  TargetBytes,
  withoutTexts,
} from '@gate/relay/session/record-limits'
import fc from 'fast-check'
import t from 'tap'

const command = (more: Partial<CommandBody> = {}): CommandBody => ({
  type: 'command',
  session: 's_1',
  command: 1,
  action: 'select',
  text: 'select 1',
  resources: [],
  facts: {},
  decision: { effect: 'allow', rule: 'all' },
  policy: 'f'.repeat(64),
  ...more,
})

const mark = () => ({ cutFrom: 7, sha256: 'a'.repeat(64) })
const bytes = (body: CommandBody): number => Buffer.byteLength(JSON.stringify(body))

/** What the recorder puts around a body: a number, a time, hashes. */
const ENVELOPE = 1_000

t.test('what is small stays as it is', async t => {
  const body = command({ parameters: [{ text: 'x', bytes: 1, format: 'text' }], facts: { hasWhere: true } })
  t.same(fitCommand(body, defaultRecordLimits, mark), body)
})

t.test('no event is too large, in any alphabet, and every cut is marked', async t => {
  const piece = fc.constantFrom('a', '"', '\\', '\u0001', 'é', '😀', '\u2028', "'")
  const long = (most: number) =>
    fc.tuple(piece, fc.nat({ max: most })).map(([character, length]) => character.repeat(length))
  const body = fc
    .record({
      text: long(200_000),
      parameters: fc.array(long(1_024), { maxLength: 200 }),
      names: fc.array(long(3_000), { maxLength: 200, size: 'max' }),
      columns: fc.array(long(3_000), { maxLength: 100, size: 'max' }),
      reason: long(20_000),
      sealed: fc.option(fc.constant('A'.repeat(SEALED_BYTES))),
    })
    .map(({ text, parameters, names, columns, reason, sealed }) =>
      command({
        text,
        parameters: parameters.map(value => ({ text: value, bytes: value.length, format: 'text' as const })),
        resources: names.map(name => ({ kind: 'table', name, mode: 'write' as const })),
        facts: Object.fromEntries(
          ['columns', 'columnsWritten', 'functions', 'alterations'].map(fact => [fact, columns] as const),
        ),
        decision: { effect: 'deny', rule: 'r'.repeat(63), reason },
        settled: { effect: 'deny', rule: 'r'.repeat(63), reason },
        ...(sealed === null ? {} : { sealed }),
      }),
    )
  fc.assert(
    fc.property(body, hostile => {
      const fitted = fitCommand(hostile, defaultRecordLimits, mark)
      if (bytes(fitted) > MAX_EVENT_BYTES - ENVELOPE) throw new Error(`${bytes(fitted)} bytes`)
      eventBody.parse(fitted)
      if (fitted.text !== hostile.text && fitted.cutFrom === undefined) throw new Error('a text is cut silently')
      if (!hostile.text.startsWith(fitted.text)) throw new Error('a cut text is another')
      if (fitted.parameters?.length !== hostile.parameters?.length && fitted.parametersCutFrom === undefined)
        throw new Error('parameters are left out silently')
      if (fitted.resources.length !== hostile.resources.length && fitted.resourcesCutFrom !== hostile.resources.length)
        throw new Error('resources are left out silently')
      for (const [name, value] of Object.entries(hostile.facts)) {
        const kept = fitted.facts[name] as string[]
        if (kept.length !== (value as string[]).length && !fitted.factsCut?.includes(name))
          throw new Error('facts are left out silently')
      }
    }),
    { numRuns: 60 },
  )
  t.pass()
})

t.test('the worst of everything at once fits', async t => {
  const worst = '\u0001'.repeat(300_000)
  const fitted = fitCommand(
    command({
      text: worst,
      parameters: Array.from({ length: 200 }, () => ({
        text: worst.slice(0, 1_024),
        bytes: 9,
        format: 'text' as const,
      })),
      resources: Array.from({ length: 5_000 }, () => ({ kind: 'table', name: worst, mode: 'read' as const })),
      facts: Object.fromEntries(Array.from({ length: 18 }, (_, index) => [`fact${index}`, [worst, worst]])),
      decision: { effect: 'deny', rule: 'r'.repeat(63), reason: worst },
      settled: { effect: 'deny', rule: 'r'.repeat(63), reason: worst },
      sealed: 'A'.repeat(SEALED_BYTES),
    }),
    defaultRecordLimits,
    mark,
  )
  t.ok(bytes(fitted) <= MAX_EVENT_BYTES - ENVELOPE, `${bytes(fitted)}`)
  t.match(fitted, { cutFrom: 7, parametersCutFrom: 200, resourcesCutFrom: 5_000, factsCut: [/fact/] })
})

t.test('texts are cut between characters', async t => {
  t.equal(cutText('ab', 10), 'ab')
  t.equal(cutText('aé😀', 6, 100), 'aé')
  t.equal(cutText('aé😀', 7, 100), 'aé😀')
  t.equal(cutText('é', 1, 100), '')
  t.equal(cutText('é', 10, 1), '', 'not even the quotes of JSON fit')
  t.equal(cutText('\u0001\u0001\u0001', 100, 14), '\u0001', 'as JSON each takes six bytes')
})

t.test('what is used up leaves hashes, and comes back the next day', async t => {
  const used = new TargetBytes()
  const noon = 1_750_000_000_000
  t.ok(used.take('prod-db', 60, 100, noon))
  t.notOk(used.take('prod-db', 60, 100, noon))
  t.notOk(used.take('prod-db', 1, 100, noon), 'nothing smaller comes after what was cut')
  t.ok(used.take('other-db', 60, 100, noon))
  t.ok(used.take('prod-db', 60, 100, noon + 86_400_000))
  const without = withoutTexts(
    command({ parameters: [{ text: 'x', bytes: 1, format: 'text' }], sealed: 'AAAA', text: 'select 2' }),
    mark,
  )
  t.match(without, { text: '', cutFrom: 7, parameters: [], parametersCutFrom: 1, sealedCut: true })
  t.notOk('sealed' in without)
  t.same(withoutTexts(command({ text: '', sameTextAs: 1 }), mark).cutFrom, undefined)
})
