// Policy from its text to its decision: what loads, what is refused with its place, and which rule wins.
import { type Condition, Conditions } from '@gate/relay/policy/conditions'
import { createPolicy, type Policy } from '@gate/relay/policy/decide'
import { type Approver, isFilled, mayApprove, parseQuorum } from '@gate/relay/policy/quorum'
import { compileGlob, compilePolicy } from '@gate/relay/policy/rules'
import { vocabulary } from '@gate/relay/protocols/postgres/operation'
import { GateError } from '@gate/shared/errors'
import type { AccessRequest, Fact, Operation, Subject, Target } from '@gate/shared/model'
import fc from 'fast-check'
import t from 'tap'

/** As it stands in section 4 of the design, and with the approvers of the limit: the design does not say whom to ask. */
const sample = `targets:
  - match: { labels: { env: prod, protocol: postgres } }
    allow:                                        # who may open it at all
      groups: [engineers, dba]
    rules:
      - name: reads
        when: op.action == "select"
        allow: [engineers, dba]
      - name: small-writes
        when: op.action in ["insert", "update", "delete"] && op.hasWhere
        allow: [engineers]
        limit: { rows: 100, then: hold, hold: { approvers: "1 of dba" } }   # the real count, before commit
      - name: wide-writes
        when: op.action in ["update", "delete"] && !op.hasWhere
        hold: { approvers: "1 of dba", expires: 15m }
      - name: never
        when: op.action in ["drop", "truncate", "grant"] || op.objectType == "database"
        deny: "Schema changes go through migrations."
    mask:
      - columns: ["public.customers.email", "*.password_hash", "billing.cards.*"]
        for: { except: [dba] }
        with: redact                              # redact | partial | hash | null | fixed
      - detect: [credit-card, email, us-ssn, api-key, jwt, private-key]
        with: redact
`

const target = (labels: Record<string, string> = { env: 'prod' }, name = 'prod-db', protocol = 'postgres'): Target => ({
  name,
  protocol,
  labels,
  options: {},
})

const subject = (...groups: string[]): Subject => ({
  id: 'https://id.example.com|alice',
  issuer: 'https://id.example.com',
  email: 'alice@example.com',
  name: 'Alice Ash',
  groups,
})

interface Asked {
  readonly action?: string
  readonly facts?: Record<string, Fact>
  readonly operation?: Partial<Operation>
  readonly groups?: string[]
  readonly on?: Target
}

function request({
  action = 'select',
  facts = {},
  operation = {},
  groups = ['engineers'],
  on = target(),
}: Asked): AccessRequest {
  const base = { protocol: 'postgres', resources: [], text: '', parameters: [], writes: false, routine: false }
  return {
    subject: subject(...groups),
    target: on,
    operation: { ...base, action, facts, ...operation },
    context: { task: undefined, reason: undefined, timeMs: Date.UTC(2030, 0, 1, 12) },
  }
}

const policy = (text: string, file = 'policy.yaml'): Policy => createPolicy(compilePolicy([{ file, text }], vocabulary))

/** A policy of one block that engineers and dba may open. */
const rules = (text: string, more = ''): string =>
  `targets:\n  - match: {}\n    allow: { groups: [engineers, dba] }\n    rules:\n${text.replace(/^/gm, '      ')}\n${more}`

function mistakes(text: string): string[] {
  try {
    policy(text)
  } catch (thrown) {
    if (thrown instanceof GateError && thrown.code === 'ERR_GATE_CONFIG') return thrown.message.split('\n')
    throw thrown
  }
  return []
}

t.test('the sample policy of the design loads, and decides as it says', async t => {
  const loaded = policy(sample)
  const decide = (asked: Asked): ReturnType<Policy['decide']> => loaded.decide(request(asked))
  t.match(loaded.version, /^[0-9a-f]{64}$/)
  t.match(decide({}), { effect: 'allow', rule: 'reads' })
  t.match(decide({ action: 'delete', facts: { hasWhere: true } }), {
    effect: 'allow',
    rule: 'small-writes',
    obligations: [{ kind: 'mask' }, { kind: 'mask' }, { kind: 'row-limit', rows: 100, then: 'hold' }],
  })
  t.match(decide({ action: 'delete', facts: { hasWhere: true }, groups: ['dba'] }), { effect: 'deny', rule: 'default' })
  t.match(decide({ action: 'update', facts: { hasWhere: false } }), {
    effect: 'hold',
    rule: 'wide-writes',
    approvers: { text: '1 of dba', parts: [{ count: 1, group: 'dba' }] },
    timeoutMs: 900_000,
  })
  for (const action of ['drop', 'truncate', 'grant']) {
    t.match(decide({ action }), { effect: 'deny', rule: 'never', reason: 'Schema changes go through migrations.' })
  }
  t.match(decide({ action: 'create', facts: { objectType: 'database' } }), { effect: 'deny', rule: 'never' })
  t.match(decide({ action: 'create', facts: { objectType: 'table' } }), { effect: 'deny', rule: 'default' })
  t.match(decide({ groups: ['support'] }), { effect: 'deny', rule: 'default', reason: /may open prod-db/ })
  t.match(decide({ on: target({ env: 'test' }) }), { effect: 'deny', rule: 'default' })
  t.equal(loaded.masks(subject('engineers'), target()).length, 2)
  t.match(loaded.masks(subject('engineers', 'dba'), target()), [{ detect: ['credit-card'], columns: [] }])
})

t.test('a limit that holds says by whom, or the policy does not load', async t => {
  const limited = (rule: string): string => rules(`- { name: a, ${rule} }`)
  t.match(mistakes(limited('allow: [dba], limit: { rows: 5, then: hold }')), [
    /^policy\.yaml:5:9: .*limit\.hold with approvers/,
  ])
  const holders = (rule: string): unknown => {
    const decision = policy(limited(rule)).decide(request({ groups: ['dba'] }))
    return decision.effect === 'deny' ? decision : decision.obligations
  }
  t.match(holders('allow: [dba], limit: { rows: 5, then: hold, hold: { approvers: 2 of dba } }'), [
    { rows: 5, then: 'hold', hold: { rule: 'a', approvers: { text: '2 of dba' }, timeoutMs: 60_000 } },
  ])
  t.match(
    holders('allow: [dba], limit: { rows: 5, then: hold, hold: { approvers: 1 of dba, expires: 5m } }'),
    [{ hold: { timeoutMs: 300_000 } }],
    'rows stay locked for as long as the policy says, and for a minute when it does not say',
  )
  t.match(holders('hold: { approvers: 1 of dba }, limit: { rows: 5, then: hold }'), [{ hold: { timeoutMs: 60_000 } }])
  t.match(holders('hold: { approvers: 1 of dba, expires: 1m }, limit: { rows: 5, then: hold }'), [
    { rows: 5, then: 'hold', hold: { rule: 'a', approvers: { text: '1 of dba' }, timeoutMs: 60_000 } },
  ])
  t.match(holders('allow: [dba], limit: { rows: 5, then: deny }'), [{ rows: 5, then: 'deny', hold: undefined }])
})

t.test('a decision', async t => {
  await t.test('is deny before hold before allow, wherever the rules stand', async t => {
    const parts = {
      deny: '- { name: no, when: op.writes, deny: "No." }',
      hold: '- { name: ask, when: op.writes, hold: { approvers: 1 of dba } }',
      allow: '- { name: yes, when: op.writes, allow: [engineers] }',
    }
    const strength = ['deny', 'hold', 'allow'] as const
    fc.assert(
      fc.property(fc.shuffledSubarray([...strength], { minLength: 1 }), fc.boolean(), (order, split) => {
        const blocks = split
          ? order.map(effect => rules(parts[effect]).replace('targets:\n', '')).join('')
          : rules(order.map(effect => parts[effect]).join('\n')).replace('targets:\n', '')
        const { effect } = policy(`targets:\n${blocks}`).decide(request({ operation: { writes: true } }))
        return effect === strength.find(each => order.includes(each))
      }),
    )
    t.pass()
  })

  await t.test('without a rule is no, except for what only keeps the connection going', async t => {
    const empty = policy(rules('- { name: never-true, when: op.writes, allow: [dba] }'))
    t.match(empty.decide(request({})), {
      effect: 'deny',
      rule: 'default',
      reason: 'no rule lets you select on prod-db',
    })
    t.match(empty.decide(request({ operation: { routine: true } })), { effect: 'allow', rule: 'routine' })
    t.match(empty.decide(request({ operation: { routine: true }, groups: ['support'] })), { effect: 'deny' })
    const none = policy('targets: []')
    t.match(none.decide(request({ operation: { routine: true } })), { effect: 'deny', rule: 'default' })
    const strict = policy(rules('- { name: no-show, deny: "No." }'))
    t.match(strict.decide(request({ operation: { routine: true } })), { effect: 'deny', rule: 'no-show' })
  })

  await t.test('says who may open a target, to those who may not', async t => {
    t.match(policy(sample).refusesOpening(subject('support'), target()), {
      effect: 'deny',
      hint: 'It is open to engineers, dba.',
    })
    t.match(policy('targets: []').refusesOpening(subject('dba'), target()), { effect: 'deny', hint: undefined })
    t.equal(policy(sample).refusesOpening(subject('dba'), target()), undefined)
  })

  await t.test('takes a rule that cannot be computed as a deny or a hold, never as an allow', async t => {
    const broken = 'when: target.labels.tier == "gold"'
    const decide = (rule: string): string => policy(rules(rule)).decide(request({})).effect
    t.equal(decide(`- { name: a, ${broken}, deny: "No." }\n- { name: b, allow: [engineers] }`), 'deny')
    t.equal(
      decide(`- { name: a, ${broken}, hold: { approvers: 1 of dba } }\n- { name: b, allow: [engineers] }`),
      'hold',
    )
    t.equal(decide(`- { name: a, ${broken}, allow: [engineers] }`), 'deny')
    t.equal(
      policy(rules(`- { name: a, ${broken}, allow: [engineers] }`)).decide(request({ on: target({ tier: 'gold' }) }))
        .effect,
      'allow',
    )
  })

  await t.test('is about those whom the rule is for', async t => {
    const text = rules(
      [
        '- { name: contractors, for: { groups: [contractors] }, deny: "Not you." }',
        '- { name: all-but-dba, for: { except: [dba] }, when: op.writes, hold: { approvers: 1 of dba } }',
        '- { name: yes, allow: [engineers] }',
      ].join('\n'),
    )
    const effect = (writes: boolean, ...groups: string[]): string =>
      policy(text).decide(request({ operation: { writes }, groups })).effect
    t.equal(effect(true, 'engineers'), 'hold')
    t.equal(effect(true, 'engineers', 'dba'), 'allow')
    t.equal(effect(false, 'engineers', 'contractors'), 'deny')
  })

  await t.test('adds up the masks and limits of every block and rule that applies', async t => {
    const text = `targets:
  - match: { name: "prod-*" }
    allow: { groups: [engineers] }
    viewers: [audit]
    rules:
      - { name: reads, allow: [engineers], limit: { rows: 10, then: deny } }
      - { name: more, when: "!op.writes", allow: [engineers], limit: { rows: 5, then: deny } }
    mask:
      - { columns: ["a.b"], with: "null" }
  - match: { labels: { env: [prod, stage] } }
    allow: { groups: [dba] }
    mask:
      - { columns: ["c.d.e"], with: hash }
      - { columns: ["f.*"], with: fixed, value: "x", for: { groups: [support] } }
  - match: { labels: { env: test } }
    allow: { groups: [engineers] }
    mask:
      - { detect: [email], with: partial }
`
    const loaded = policy(text)
    const decision = loaded.decide(request({}))
    t.match(decision, { effect: 'allow', rule: 'reads' })
    t.same(
      decision.effect === 'allow' &&
        decision.obligations.map(each =>
          each.kind === 'row-limit' ? each.rows : each.kind === 'mask' && each.columns,
        ),
      [['a.b'], ['c.d.e'], 10, 5],
    )
    t.match(loaded.masks(subject('support'), target()), [
      { with: 'null' },
      { with: 'hash' },
      { with: 'fixed', fixed: 'x' },
    ])
    t.equal(loaded.mayView(subject('audit'), target()), true)
    t.equal(loaded.mayView(subject('engineers'), target()), false)
    t.equal(loaded.mayView(subject('audit'), target({ env: 'prod' }, 'other')), false)
  })
})

t.test('a target', async t => {
  const matching = (match: string, on: Target): boolean =>
    policy(`targets: [{ match: ${match}, allow: { groups: [engineers] } }]`).refusesOpening(
      subject('engineers'),
      on,
    ) === undefined

  await t.test('is matched by name, protocol and labels, all of them', async t => {
    t.ok(matching('{}', target()))
    t.ok(matching('{ name: "prod-*", labels: { env: [test, prod], protocol: postgres } }', target()))
    t.notOk(matching('{ name: "prod-*", labels: { env: test } }', target()))
    t.notOk(matching('{ name: ["a", "b*"] }', target()))
    t.notOk(matching('{ labels: { tier: "" } }', target()), 'a label that is not there is not an empty one')
    t.notOk(matching('{ labels: { constructor: "x", toString: "y" } }', target()))
  })

  await t.test('cannot announce labels that pass for its name or protocol', async t => {
    const liar = target({ name: 'public-wiki', protocol: 'http', env: 'test' })
    t.notOk(matching('{ labels: { protocol: http } }', liar))
    t.notOk(matching('{ labels: { name: public-wiki } }', liar))
    t.ok(matching('{ labels: { protocol: postgres, name: prod-db } }', liar))
    t.notOk(matching('{ name: public-wiki }', liar))
    const decision = policy(
      rules('- { name: a, when: target.name == "public-wiki" || target.protocol == "http", allow: [engineers] }'),
    )
    t.match(decision.decide(request({ on: liar })), { effect: 'deny' })
  })

  await t.test('whose labels change is matched anew', async t => {
    const loaded = policy('targets: [{ match: { labels: { env: test } }, allow: { groups: [engineers] } }]')
    t.ok(loaded.refusesOpening(subject('engineers'), target({ env: 'prod' })))
    t.equal(loaded.refusesOpening(subject('engineers'), target({ env: 'test' })), undefined)
    t.ok(loaded.refusesOpening(subject('engineers'), target({ env: 'prod' })))
  })

  await t.test('name pattern means the same as the regular expression that it stands for', async t => {
    const piece = fc.constantFrom('a', 'b', '*', '.', 'ab', '')
    const text = fc.array(fc.constantFrom('a', 'b', '.'), { maxLength: 8 }).map(parts => parts.join(''))
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 6 }).map(parts => parts.join('')),
        text,
        (glob, name) => {
          const expression = new RegExp(`^${glob.replaceAll('.', '\\.').replaceAll('*', '.*')}$`)
          return compileGlob(glob)(name) === expression.test(name)
        },
      ),
      { numRuns: 2000 },
    )
    t.equal(compileGlob(`${'a*'.repeat(5000)}b`)('a'.repeat(100_000)), false, 'and takes no longer for being nasty')
  })
})

t.test('mistakes in a policy are reported with their place, all at once', async t => {
  const found = mistakes(`targets:
  - match: { labels: { env: prod } }
    allow: { groups: [engineers] }
    rules:
      - name: unknown-fact
        when: op.nothing == 1
        allow: [engineers]
      - name: no-condition
        when: op.action
        deny: "x"
      - name: backtracking
        when: op.text.matches("(a+)+$")
        deny: "x"
      - name: broken-pattern
        when: op.text.re2("(")
        deny: "x"
      - name: not-open
        allow: [engineers, managers]
      - name: not-open
        allow: [engineers]
      - name: never
        when: "false"
        deny: "x"
      - name: nobody
        hold: { approvers: "some of dba" }
`)
  t.match(found, [
    /^policy\.yaml:6:15: targets\.0\.rules\.0\.when: .*nothing/,
    /^policy\.yaml:9:15: .*expected a condition, got a value of type string/,
    /^policy\.yaml:12:15: .*re2/,
    /^policy\.yaml:15:15: .*op\.text\.re2/,
    /^policy\.yaml:18:16: .*unreachable: managers may not open/,
    /^policy\.yaml:19:15: .*a second rule named not-open/,
    /^policy\.yaml:22:15: .*unreachable: the condition is never true/,
    /^policy\.yaml:25:15: .*"some of dba" is no quorum/,
  ])

  await t.test('also those of its form', async t => {
    const wrong: [string, RegExp][] = [
      ['targets: {}', /^policy\.yaml:1:10: targets: /],
      ['target: []', /target/],
      ['targets:\n  - match: {}\n', /^policy\.yaml:2:5: targets\.0\.allow: /],
      ['targets:\n  - match: { label: {} }\n    allow: { groups: [a] }\n', /^policy\.yaml:2:12: .*"label"/],
      [rules('- { name: A, allow: [dba] }'), /^policy\.yaml:5:17: .*lower-case/],
      [rules('- { name: a, allow: [dba], record: full }'), /rules\.0\.record: record: full needs record\.recipients/],
      [rules('- { name: a, allow: [dba], record: some }'), /record/],
      [rules('- { name: a }'), /exactly one of allow, deny, hold/],
      [rules('- { name: a, allow: [dba], deny: "x" }'), /exactly one of allow, deny, hold/],
      [rules('- { name: a, allow: [] }'), /rules\.0\.allow/],
      [rules('- { name: a, deny: "x", limit: { rows: 1, then: deny } }'), /a rule that denies has no limit/],
      [rules('- { name: a, allow: [dba], limit: { rows: 0, then: deny } }'), /limit\.rows/],
      [rules('- { name: a, hold: { approvers: 1 of dba, expires: 8d } }'), /from 1s to 7d/],
      [
        rules('- { name: a, allow: [dba] }', '    mask: [{ columns: ["a.b"], detect: [email], with: redact }]'),
        /exactly one of columns, detect/,
      ],
      [rules('- { name: a, allow: [dba] }', '    mask: [{ columns: ["a.b"], with: fixed }]'), /value goes with/],
      [
        rules('- { name: a, allow: [dba] }', '    mask: [{ columns: ["a.b"], with: redact, value: x }]'),
        /value goes with/,
      ],
      [
        rules('- { name: a, allow: [dba] }', '    mask: [{ columns: ["email"], with: redact }]'),
        /expected schema\.table\.column/,
      ],
      [
        rules('- { name: a, allow: [dba] }', '    mask: [{ columns: ["a.b.c.d"], with: redact }]'),
        /expected schema\.table\.column/,
      ],
      [
        rules('- { name: a, allow: [dba] }', '    mask: [{ columns: ["pub*.b"], with: redact }]'),
        /expected schema\.table\.column/,
      ],
      [
        rules('- { name: a, deny: "x" }\n- { name: b, allow: [dba] }'),
        /^policy\.yaml:6:17: .*unreachable: a denies everything/,
      ],
    ]
    for (const [text, expected] of wrong) t.match(mistakes(text).join('\n'), expected, text)
  })
})

t.test('the version of a policy is that of its meaning, not of its spelling', async t => {
  const spelled = sample
    .replace(/: "([^"]*)"/g, ": '$1'")
    .replace(/ *#.*/g, '')
    .replace('labels: { env: prod, protocol: postgres }', 'labels: { protocol: postgres, env: prod }')
  t.not(spelled, sample)
  t.equal(policy(spelled, 'other.yaml').version, policy(sample).version)
  for (const change of [
    ['100', '101'],
    ['1 of dba', '2 of dba'],
    ['[engineers]', '[dba]'],
    ['15m', '16m'],
    ['redact ', 'hash '],
  ] as const) {
    t.not(policy(sample.replace(change[0], change[1])).version, policy(sample).version, change.join(' → '))
  }
  const two = (order: string[]): string =>
    compilePolicy(
      order.map(file => ({ file, text: file === 'a' ? sample : 'targets: []' })),
      vocabulary,
    ).version
  t.not(two(['a', 'b']), two(['b', 'a']))
})

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

t.test('a quorum', async t => {
  const group = fc.constantFrom('a', 'b', 'c')
  const part = fc.record({ count: fc.integer({ min: 1, max: 3 }), group })
  const quorums = fc.array(part, { minLength: 1, maxLength: 3 })
  const people: fc.Arbitrary<Approver[]> = fc.array(
    fc.record({ id: fc.constantFrom('1', '2', '3', '4', '5', '6'), groups: fc.uniqueArray(group) }),
    { maxLength: 8 },
  )
  const quorum = (parts: { count: number; group: string }[]): ReturnType<typeof parseQuorum> =>
    parseQuorum(parts.map(each => `${each.count} of ${each.group}`).join(' and '))

  /** Every way of giving different people the seats; slow and plain. */
  const filled = (seats: string[], left: Approver[]): boolean => {
    const [seat, ...rest] = seats
    if (seat === undefined) return true
    return left.some((person, index) => person.groups.includes(seat) && filled(rest, left.toSpliced(index, 1)))
  }

  await t.test('is read, written and refused', async t => {
    t.same(parseQuorum(' 1  of dba   and 2 of managers ').parts, [
      { count: 1, group: 'dba' },
      { count: 2, group: 'managers' },
    ])
    t.equal(parseQuorum(' 01 of dba  and 2 of managers').text, '1 of dba and 2 of managers')
    t.match(parseQuorum('1 of and and 1 of of').parts, [{ group: 'and' }, { group: 'of' }])
    for (const text of [
      '',
      'dba',
      '0 of dba',
      '21 of dba',
      '-1 of dba',
      '1 of',
      '1 of a b',
      '1 of a and',
      'and',
      '1 of a or 1 of b',
      '1.5 of a',
      '100 of a',
    ])
      t.throws(() => parseQuorum(text), { code: 'ERR_GATE_CONFIG' }, text)
    t.throws(() => parseQuorum(Array.from({ length: 9 }, () => '1 of a').join(' and ')), { code: 'ERR_GATE_CONFIG' })
    fc.assert(fc.property(quorums, parts => parseQuorum(quorum(parts).text).text === quorum(parts).text))
  })

  await t.test('never counts one person twice, whatever their groups and however often they say it', async t => {
    fc.assert(
      fc.property(quorums, people, (parts, approvers) => {
        const asked = quorum(parts)
        const seats = asked.parts.reduce((sum, { count }) => sum + count, 0)
        const different = new Set(approvers.map(({ id }) => id)).size
        return !isFilled(asked, approvers) || different >= seats
      }),
      { numRuns: 2000 },
    )
    t.equal(isFilled(parseQuorum('1 of a and 1 of b'), [{ id: '1', groups: ['a', 'b'] }]), false)
    t.equal(isFilled(parseQuorum('1 of a and 1 of a'), [{ id: '1', groups: ['a'] }]), false)
    t.equal(
      isFilled(parseQuorum('2 of a'), [
        { id: '1', groups: ['a'] },
        { id: '1', groups: ['a'] },
      ]),
      false,
    )
  })

  await t.test('is filled exactly when different people can take all seats', async t => {
    fc.assert(
      fc.property(quorums, people, (parts, approvers) => {
        const seats = parts.flatMap(each => Array.from({ length: each.count }, () => each.group))
        const last = [...new Map(approvers.map(person => [person.id, person])).values()]
        return isFilled(quorum(parts), approvers) === filled(seats, last)
      }),
      { numRuns: 2000 },
    )
    // Whoever is in both groups must not be used up for the first.
    const both = { id: '1', groups: ['a', 'b'] }
    t.equal(isFilled(parseQuorum('1 of a and 1 of b'), [both, { id: '2', groups: ['a'] }]), true)
  })

  await t.test('that cannot be filled says so at once, also with many approvers', async t => {
    const approvers = Array.from({ length: 40 }, (_, index) => ({ id: String(index), groups: ['a'] }))
    t.equal(isFilled(parseQuorum('20 of a and 1 of b'), approvers), false)
    t.equal(isFilled(parseQuorum('20 of a and 20 of a'), approvers), true)
    t.equal(isFilled(parseQuorum('20 of a and 20 of a and 1 of a'), approvers), false)
  })

  await t.test('knows whose word can count', async t => {
    const asked = parseQuorum('1 of dba and 1 of managers')
    t.same(
      [['dba'], ['managers', 'x'], ['engineers'], []].map(groups => mayApprove(asked, groups)),
      [true, true, false, false],
    )
  })
})
