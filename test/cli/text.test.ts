// Text for terminals and for shells: what comes from elsewhere can neither act nor hide nor pass for something else.
import { createApp } from '@gate/cli/app'
import { completeNames, isCompletion } from '@gate/cli/completion'
import { readCliConfig } from '@gate/cli/config'
import { createStyle, oneLine, printable, span, table } from '@gate/cli/text'
import fc from 'fast-check'
import t from 'tap'

/** Controls but tab and line feed, everything that changes direction, and line and paragraph separators. */
const harmful = /(?![\t\n])[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}]/u
const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc
    .array(fc.constantFrom('a', '\u001b[2J', '\u009b31m', '\u202e', '\u2066', '\r', '\b', '\t', '\n', '\u200b', '😀'))
    .map(parts => parts.join('')),
)

t.test('no text can move the cursor, change direction or hide, whatever is in it', async t => {
  fc.assert(
    fc.property(anyText, text => {
      t.notMatch(printable(text), harmful)
      t.notMatch(oneLine(text, 50), harmful)
    }),
    { numRuns: 500 },
  )
  const harmfulOnes: number[] = []
  for (let point = 0; point <= 0x10ffff; point += 1) {
    if (harmful.test(printable(String.fromCodePoint(point)))) harmfulOnes.push(point)
  }
  t.same(harmfulOnes, [], 'of all characters that there are')
})

t.test('what would not be seen is shown as its code point', async t => {
  t.equal(printable('drop\u001b[2Ktable'), 'drop\\u{1b}[2Ktable')
  t.equal(printable('a\u202eb\u2066c'), 'a\\u{202e}b\\u{2066}c')
  t.equal(printable('a\rb\u0000c\u007fd\u009be'), 'a\\u{d}b\\u{0}c\\u{7f}d\\u{9b}e')
  for (const point of [
    0xad, 0x200b, 0x200d, 0x2060, 0xfeff, 0x180e, 0x34f, 0x17b4, 0x115f, 0x3164, 0xffa0, 0xe0001, 0xe0041, 0x1d173,
  ]) {
    t.equal(printable(String.fromCodePoint(point)), `\\u{${point.toString(16)}}`)
  }
})

t.test('what people write stays as it is', async t => {
  for (const text of ['select *\n\tfrom t', 'Zoë Öztürk', '日本語', 'שלום', 'مرحبا', '😀', 'é', '"\'\\{}', '']) {
    t.equal(printable(text), text)
  }
})

t.test('a line is one, and no longer than it may be', async t => {
  t.equal(oneLine('  select *\n\tfrom\u2028t ', 50), 'select * from\\u{2028}t')
  t.equal(oneLine('abcdef', 6), 'abcdef')
  t.equal(oneLine('abcdefg', 6), 'abcde…')
  fc.assert(
    fc.property(anyText, fc.integer({ min: 1, max: 60 }), (text, limit) => {
      const line = oneLine(text, limit)
      return line.length <= limit && !/[\n\t\r]/.test(line)
    }),
  )
})

t.test('a table has columns of equal width and no space at the ends of lines', async t => {
  const style = createStyle({ ...readCliConfig({}), color: false })
  t.same(
    table(
      ['ID', 'WHO'],
      [
        ['s_1', 'alice'],
        ['s_22', ''],
      ],
      style,
    ).split('\n'),
    ['ID    WHO', 's_1   alice', 's_22'],
  )
  t.equal(table(['ID'], [], style), 'ID')
  const colored = createStyle({ ...readCliConfig({}), color: true })
  t.equal(colored.bad('x'), '\u001b[31mx\u001b[0m')
  t.equal(style.bad('x'), 'x')
})

t.test('a span of time is in the largest unit that fits', async t => {
  t.same([-5, 0, 40_000, 119_000, 120_000, 7_199_000, 7_200_000, 172_799_000, 5 * 86_400_000].map(span), [
    ...['0s', '0s', '40s', '119s', '2m', '120m', '2h', '48h', '5d'],
  ])
})

t.test('a shell completes names that the relay knows, and is never told of errors', async t => {
  const app = createApp()
  const targets = async () => [
    { name: 'prod-db', detail: 'postgres' },
    { name: 'prod-wiki', detail: 'http' },
    { name: 'test', detail: 'postgres' },
  ]
  const requests = async () => [{ name: 'r_1', detail: 'delete' }]
  const sessions = async (open: boolean) => [{ name: open ? 's_open' : 's_any', detail: 'alice' }]
  const locks = async () => [{ name: 'k_1', detail: 'user alice' }]
  const known = { targets, requests, sessions, locks }
  const complete = (...words: string[]) => completeNames(app, ['complete', '--', ...words], known)
  t.same(await complete('connect', 'prod'), ['prod-db\tpostgres', 'prod-wiki\thttp'])
  t.same(await complete('connect', 'test', ''), ['prod-db\tpostgres', 'prod-wiki\thttp', 'test\tpostgres'])
  t.same(await complete('connect', 'none'), [])
  t.same(await complete('approve', ''), ['r_1\tdelete'])
  t.same(await complete('deny', 'r'), ['r_1\tdelete'])
  for (const command of ['show', 'export', 'replay'])
    t.same(await complete('sessions', command, ''), ['s_any\talice'], command)
  for (const command of ['watch', 'kill']) t.same(await complete('sessions', command, 's_'), ['s_open\talice'], command)
  t.same(await complete('unlock', ''), ['k_1\tuser alice'])
  t.same(await complete('lock', 'target', 'test'), ['test\tpostgres'])
  t.equal(await complete('lock', 'user', ''), undefined)
  for (const words of [[], [''], ['con'], ['connect'], ['sessions', ''], ['connect', '--t'], ['connect', 'a', '-']]) {
    t.equal(await complete(...words), undefined, words.join(' '))
  }
  const away = { ...known, targets: () => Promise.reject(new Error('no relay')) }
  t.same(await completeNames(app, ['complete', '--', 'connect', ''], away), [])
  const began = performance.now()
  const slow = { ...known, targets: () => new Promise<never>(() => {}) }
  const keep = setInterval(() => {}, 1000)
  t.same(await completeNames(app, ['complete', '--', 'connect', ''], slow), [])
  clearInterval(keep)
  t.ok(performance.now() - began < 20_000, 'nor made to wait')
  t.ok(isCompletion(['complete', '--', 'connect']))
  for (const args of [[], ['complete'], ['complete', 'zsh'], ['connect', '--'], ['--', 'complete']])
    t.notOk(isCompletion(args))
})
