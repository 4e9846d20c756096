// Conditions of rules: what they see, what is refused when they are compiled, and that they end in time.
import { type Condition, Conditions } from '@gate/relay/policy/conditions'
import { vocabulary } from '@gate/relay/protocols/postgres/operation'
import { GateError } from '@gate/shared/errors'
import fc from 'fast-check'
import t from 'tap'
import { type Asked, request } from '../../support/policy.ts'

t.test('a condition', async t => {
  const conditions = new Conditions({ ...vocabulary, rows: 'int' })
  const test = (expression: string, asked: Asked = {}): boolean => conditions.compile(expression)(request(asked))

  await t.test('sees the operation, the person, the target, the task and the time', async t => {
    const operation = {
      text: 'select 1',
      writes: true,
      resources: [
        { kind: 'table', name: 'public.a', mode: 'read' as const },
        { kind: 'table', name: 'public.b', mode: 'write' as const },
      ],
    }
    const asked = { operation, facts: { rows: 7, columns: ['x', 'y'], hasWhere: true } }
    for (const expression of [
      'op.protocol == "postgres" && op.action == "select" && op.text.startsWith("select") && op.writes',
      'op.read == ["public.a"] && "public.b" in op.written && !("public.a" in op.written)',
      'op.rows == 7 && op.rows > 6 && "y" in op.columns && op.hasWhere',
      'subject.id.endsWith("|alice") && subject.email == "alice@example.com" && "engineers" in subject.groups',
      'subject.name == "Alice Ash" && target.name == "prod-db" && target.labels.env == "prod"',
      'context.task == "" && context.reason == ""',
      'now.getHours("UTC") == 12 && now > timestamp("2029-12-31T00:00:00Z")',
      'op.read.exists(name, name.re2("^public\\\\.")) && size(op.text) == 8',
      'has(target.labels.env) && !has(target.labels.tier)',
    ]) {
      t.equal(test(expression, asked), true, expression)
    }
  })

  await t.test('reads documents whatever their members are called', async t => {
    const document = JSON.parse(
      '{"amount":7,"constructor":"x","car":{"constructor":{"name":"y"},"tags":[{"constructor":1}]},"__proto__":{"a":1}}',
    ) as unknown
    for (const expression of [
      'op.body.amount == 7 && !(op.body.amount > 100)',
      'op.body.constructor == "x" && op.body.car.constructor.name == "y" && has(op.body.car)',
      'op.body.car.tags.exists(tag, tag.constructor == 1) && "constructor" in op.body',
    ])
      t.equal(test(expression, { operation: { document } }), true, expression)
    t.throws(() => test('op.body.a == 1', { operation: { document } }), 'a prototype is none')
  })

  await t.test('takes a fact that a protocol does not have for empty', async t => {
    for (const expression of ['!op.hasWhere', 'op.objectType == ""', 'op.rows == 0', 'op.columns == []']) {
      t.equal(test(expression), true, expression)
      t.equal(test(expression, { facts: { hasWhere: null, objectType: null, rows: null, columns: null } }), true)
    }
  })

  await t.test('is typed before it is ever asked', async t => {
    const wrong = [
      ...[
        'op.nothing',
        'nothing',
        'subject.password == ""',
        'op.action == 1',
        'op.action in [1, 2]',
        'op.action',
        '1',
        '""',
      ],
      ...['op.hasWhere == "true"', 'op.columns == "x"', 'op.action &&', '', 'now > 5', 'op.rows == "7"', '!op.action'],
      ...[
        'op.text.re2("a", "b")',
        'fetch("http://x")',
        'op.constructor == op',
        'target.labels.env',
        'target.labels == {"a": 1}',
      ],
    ]
    for (const expression of wrong) {
      t.throws(
        () => conditions.compile(expression),
        { code: 'ERR_GATE_CONFIG', message: `in: ${expression}` },
        expression,
      )
    }
  })

  await t.test('cannot use matches() in any spelling', async t => {
    const spellings = [
      ...['op.text.matches("a")', 'matches(op.text, "a")', '"a".matches("a")', 'dyn(op.text).matches("a")'],
      ...[
        'op.read.exists(x, x.matches("a"))',
        'op.read.filter(x, x.matches("a")).size() > 0',
        '[op.text.matches("a")][0]',
      ],
      ...['{"a": op.text.matches("a")}["a"]', 'op.writes ? op.text.matches("a") : false', 'op.text . matches ( "a" )'],
      ...['cel.bind(x, op.text.matches("a"), x)', 'op.read.all(x, op.read.exists(y, y.matches(x)))'],
    ]
    for (const expression of spellings) t.throws(() => conditions.compile(expression), /write text\.re2/, expression)
  })

  await t.test('matches regular expressions in linear time, from a pattern that is known at load', async t => {
    const nasty = { operation: { text: `${'a'.repeat(50_000)}!` } }
    t.equal(test('op.text.re2("^(a+)+$")', nasty), false)
    t.equal(test('op.text.re2("(a|aa)+$")', nasty), false)
    t.equal(test(`op.text.re2("(x+x+)+y")`, { operation: { text: 'x'.repeat(50_000) } }), false)
    t.equal(test('op.text.re2("(?i)A{3}!$")', nasty), true)
    for (const pattern of [
      '"("',
      '"(?=a)"',
      '"(a)\\\\1"',
      '"a{2000}"',
      'op.text',
      'subject.email',
      '"a" + op.action',
      'b"a"',
    ]) {
      t.throws(() => conditions.compile(`op.text.re2(${pattern})`), { code: 'ERR_GATE_CONFIG' }, pattern)
    }
  })

  await t.test('that is too large is refused', async t => {
    t.throws(() => conditions.compile(Array.from({ length: 2000 }, () => 'op.writes').join(' || ')), {
      code: 'ERR_GATE_CONFIG',
    })
    t.throws(() => conditions.compile(`${'('.repeat(5000)}true${')'.repeat(5000)}`), { code: 'ERR_GATE_CONFIG' })
    t.throws(() => conditions.compile(`${'!'.repeat(100_000)}true`), { code: 'ERR_GATE_CONFIG' })
  })

  await t.test('of any text is a condition or a GateError', async t => {
    const pieces = fc.constantFrom(
      ...[
        'op',
        '.',
        'action',
        'text',
        '==',
        '"a"',
        '&&',
        '||',
        '!',
        '(',
        ')',
        '[',
        ']',
        '{',
        '}',
        'in',
        '1',
        'true',
        ' ',
        ',',
      ],
      ...[
        're2',
        'exists',
        'x',
        '?',
        ':',
        '-',
        '0x',
        '1e999',
        "'",
        '"',
        '\\',
        '\u0000',
        'null',
        'has',
        'dyn',
        'now',
        '%',
      ],
    )
    const texts = fc.oneof(
      fc.string(),
      fc.array(pieces, { maxLength: 12 }).map(parts => parts.join('')),
    )
    fc.assert(
      fc.property(texts, text => {
        let condition: Condition
        try {
          condition = conditions.compile(text)
        } catch (thrown) {
          return thrown instanceof GateError && thrown.code === 'ERR_GATE_CONFIG'
        }
        return condition.length === 1
      }),
      { numRuns: 2000 },
    )
    t.pass()
  })
})
