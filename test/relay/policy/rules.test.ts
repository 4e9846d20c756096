// Policy from its text: which targets it is about, what does not load and where it says so, and what its version is that of.
import { compileGlob, compilePolicy } from '@gate/relay/policy/rules'
import { vocabulary as httpVocabulary } from '@gate/relay/protocols/http/operation'
import { vocabulary } from '@gate/relay/protocols/postgres/operation'
import type { Target } from '@gate/shared/model'
import fc from 'fast-check'
import t from 'tap'
import { mistakes, policy, request, rules, sample, subject, target } from '../../support/policy.ts'

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
      [rules('- { name: a, allow: [dba] }', '    mask: [{ fields: ["**.card*"], with: redact }]'), /expected names/],
      [
        rules('- { name: a, allow: [dba] }', '    mask: [{ fields: ["users[*].email"], with: redact }]'),
        /expected names/,
      ],
      [
        rules('- { name: a, allow: [dba] }', '    mask: [{ fields: ["users[].email"], with: redact }]'),
        /expected names/,
      ],
      [
        rules('- { name: a, allow: [dba] }', '    mask: [{ fields: ["$.users.email"], with: redact }]'),
        /expected names/,
      ],
      [rules('- { name: a, allow: [dba] }', '    mask: [{ fields: ["a..b"], with: redact }]'), /expected names/],
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

t.test('routes and headers that conditions name are those of the policy', async t => {
  const compiled = (when: string, ...others: string[]): string => {
    const text = rules(
      `- { name: a, deny: "x", when: '${when}' }`,
      '    routes: ["/refunds/{id}"]\n    headers: [x-tenant]',
    )
    const sources = [text, ...others].map((each, at) => ({ file: `${at}.yaml`, text: each }))
    try {
      compilePolicy(sources, httpVocabulary)
      return ''
    } catch (thrown) {
      return String(thrown)
    }
  }
  for (const [when, expected] of [
    ['op.route == "/refund/{id}"', /0\.yaml:5:\d+: .*when: \/refund\/\{id\} is none of the routes/],
    ['!("/b" != op.route) && op.route != ""', /when: \/b is none of the routes/],
    ['op.action == "get" && op.route in ["/refunds/{id}", "/c"]', /when: \/c is none of the routes/],
    ['"X-Tenant: 7" in op.headers', /when: X-Tenant is none of the headers/],
  ] as const)
    t.match(compiled(when), expected, when)
  t.equal(compiled('op.route == "/refunds/{id}" && "x-tenant: 7" in op.headers && op.route.startsWith("/x")'), '')
  const other = 'targets: [{ match: {}, allow: { groups: [a] }, routes: ["/b"] }]'
  t.equal(compiled('op.route == "/b"', other), '', 'or of another file')
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
