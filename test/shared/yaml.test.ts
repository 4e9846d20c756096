// Configuration files: every mistake has its place, and no YAML trick gets through.
import { GateError } from '@gate/shared/errors'
import { parseYaml } from '@gate/shared/yaml'
import fc from 'fast-check'
import t from 'tap'
import * as z from 'zod'

const anything = z.unknown()
const labels = z.strictObject({ labels: z.record(z.string(), z.string()) })

/** The mistakes in a text, one per line. */
function mistakes(text: string, schema: z.ZodType = anything): string[] {
  try {
    parseYaml('f.yaml', text, schema)
  } catch (thrown) {
    if (thrown instanceof GateError && thrown.code === 'ERR_GATE_CONFIG') return thrown.message.split('\n')
    throw thrown
  }
  return []
}

t.test('a mistake is reported with file, line and column', async t => {
  const schema = z.strictObject({
    listen: z.strictObject({ port: z.int().min(1).max(65535) }),
    names: z.array(z.string().regex(/^[a-z]+$/, 'expected lower-case letters')),
  })
  t.same(parseYaml('f.yaml', 'listen: { port: 1 }\nnames: [a]\n', schema).value, { listen: { port: 1 }, names: ['a'] })
  t.match(mistakes('listen:\n  port: 99999\nnames:\n  - a\n  - B2\n', schema), [
    /^f\.yaml:2:9: listen\.port: /,
    /^f\.yaml:5:5: names\.1: expected lower-case letters$/,
  ])
  t.match(mistakes('listen: { port: "1" }\n', schema), [/^f\.yaml:1:17: listen\.port: /, /names/])
  t.match(mistakes('listen: { port: 1, tls: x }\nnames: []\n', schema), [/^f\.yaml:1:9: listen: .*"tls"/])
  t.match(mistakes('', schema), [/^f\.yaml:1:1: document: /])
  t.match(mistakes('a: [1, 2\nb: 3\n', schema), [/^f\.yaml:2:1: /])
  t.match(mistakes('a:\n\tb: 1\n'), [/^f\.yaml:2:\d+: /], 'a tab is no indentation')
})

t.test('a value in a file can be located, also when a part of its path is not there', async t => {
  const { locate } = parseYaml('f.yaml', 'a:\n  b:\n    - c\n    - d: e\n', anything)
  t.equal(locate(['a', 'b', 1, 'd']), 'f.yaml:4:10')
  t.equal(locate(['a', 'b', 1, 'missing']), 'f.yaml:4:7')
  t.equal(locate(['nowhere']), 'f.yaml:1:1')
})

t.test('of a union, the alternative that got furthest says what is wrong', async t => {
  const schema = z.strictObject({
    secret: z.union([
      z.strictObject({ file: z.string() }),
      z.strictObject({ command: z.array(z.string().min(1)).min(1) }),
    ]),
  })
  t.match(mistakes('secret:\n  command: ["a", ""]\n', schema), [/^f\.yaml:2:18: secret\.command\.1: /])
  const kinds = z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('embedded') }),
    z.strictObject({ kind: z.literal('postgres'), url: z.string() }),
  ])
  t.match(mistakes('kind: postgres\nurl: 3\n', kinds), [/^f\.yaml:2:6: url: /])
  t.match(mistakes('\nkind: mysql\n', kinds), [/^f\.yaml:2:7: kind: /])
})

t.test('a key that stands twice is a mistake', async t => {
  t.match(mistakes('a: 1\na: 2\n'), [/^f\.yaml:2:1: /])
  t.match(mistakes('a: 1\n"a": 2\n'), [/^f\.yaml:2:1: /], 'also when it is quoted once')
  t.match(mistakes('x: { a: { b: 1, b: 1 } }\n'), [/^f\.yaml:1:17: /])
  t.match(mistakes('labels:\n  1: a\n  "1": b\n', labels), [/^f\.yaml:3:3: /], 'also when one of them is a number')
  t.match(mistakes('labels:\n  true: a\n  "true": b\n', labels), [/^f\.yaml:3:3: /])
  t.match(mistakes('labels:\n  null: a\n  "": b\n', labels), [/^f\.yaml:3:3: /], 'an empty key is null’s')
})

t.test('a key that is a name of Object is refused, so that no condition on it is lost', async t => {
  t.match(mistakes('labels: { __proto__: prod }\n', labels), [/^f\.yaml:1:11: .*__proto__/])
  t.match(mistakes('a:\n - "__proto__": { b: c }\n'), [/^f\.yaml:2:4: .*__proto__/])
  t.equal(({} as Record<string, unknown>)['b'], undefined)
  const { value } = parseYaml('f.yaml', 'labels: { constructor: a, toString: b, hasOwnProperty: c }', labels)
  t.same(Object.entries(value.labels), [
    ['constructor', 'a'],
    ['toString', 'b'],
    ['hasOwnProperty', 'c'],
  ])
})

t.test('a merge key merges nothing', async t => {
  const text = 'base: &base { port: 1 }\nlisten:\n  <<: *base\n'
  const schema = z.strictObject({ base: anything, listen: z.strictObject({ port: z.int().optional() }) })
  t.match(mistakes(text, schema), [/^f\.yaml:3:3: .*<</])
  t.match(mistakes(`%YAML 1.1\n---\n${text}`, schema), [/YAML 1\.1/], 'nor does it in the older language')
})

t.test('the older language and other people’s tags are not spoken', async t => {
  const flags = z.strictObject({ tls: z.boolean() })
  t.match(mistakes('tls: yes\n', flags), [/^f\.yaml:1:6: tls: /])
  t.match(mistakes('%YAML 1.1\n---\ntls: yes\n', flags), [/YAML 1\.1/])
  t.match(mistakes('a: !!js/function "function () {}"\n'), [/^f\.yaml:1:4: /])
  t.match(mistakes('a: !secret x\n'), [/^f\.yaml:1:4: /])
  t.match(mistakes('a: 1\n---\nb: 2\n'), [/multiple documents/])
  t.match(mistakes('? [a]\n: b\n'), [/^f\.yaml:1:3: a key is a single value/])
})

t.test('bombs are refused before they go off', async t => {
  const laughs = Array.from({ length: 10 }, (_, level) => {
    const item = level === 0 ? '"lol"' : `*a${level - 1}`
    return `a${level}: &a${level} [${Array.from({ length: 9 }, () => item).join(',')}]`
  })
  t.match(mistakes(laughs.join('\n')), [/too many aliases/])
  t.match(mistakes('a: &a [*a]\n', z.object({ a: z.array(z.string()) })), [/a\.0: /], 'a list that holds itself')
  t.match(mistakes('a: *b\n'), [/^f\.yaml:1:4: /], 'an alias of nothing')
  t.match(mistakes(`a: "${'x'.repeat(4 * 1024 * 1024)}"`), [/larger than/])
  for (const [open, close] of [
    ['[', ']'],
    ['{a: ', '}'],
    ['- ', ''],
    ['? ', ''],
  ] as const) {
    const text = open.repeat(20_000) + close.repeat(20_000)
    t.not(mistakes(text, z.string()).length, 0, `20,000 times ${open}`)
  }
  t.match(mistakes('? |\n  a\n\n: [1]\n', z.record(z.string(), z.string())), [/^f\.yaml:\d:\d: a\\n: /])
  t.match(mistakes('"a\\u001b[2J": 1\n', z.strictObject({})), [/^f\.yaml:1:1: document: .*a\\u001b\[2J/])
  t.match(mistakes('port: 1e999\n', z.object({ port: z.int() })), [/^f\.yaml:1:7: port: /])
  t.match(mistakes('port: 123456789012345678901234567890\n', z.object({ port: z.int() })), [/port: /])
})

t.test('any text gives a value or a mistake with its place, and nothing else', async t => {
  const pieces = fc.constantFrom(
    ...[
      'a',
      ': ',
      '\n',
      '  ',
      '- ',
      '[',
      ']',
      '{',
      '}',
      ',',
      '&x ',
      '*x',
      '!!set ',
      '? ',
      '|\n',
      '"',
      "'",
      '%YAML 1.1\n',
    ],
    ...['---\n', '...\n', '<<', '# c', '\t', '\u0000', '\ufeff', '~', '1', '__proto__', '\r', '\u2028', '\ud800'],
  )
  const texts = fc.oneof(
    fc.string(),
    fc.array(pieces, { maxLength: 40 }).map(parts => parts.join('')),
  )
  fc.assert(
    fc.property(texts, text => mistakes(text, labels).every(line => line.startsWith('f.yaml:'))),
    { numRuns: 3000 },
  )
  t.pass()
})
