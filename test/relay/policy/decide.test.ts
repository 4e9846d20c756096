// What a policy decides: which rule wins, and what comes with it.
import type { Policy } from '@gate/relay/policy/decide'
import fc from 'fast-check'
import t from 'tap'
import { type Asked, mistakes, policy, request, rules, sample, subject, target } from '../../support/policy.ts'

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

t.test('whether it matters which tables a command is about is said too often rather than too seldom', async t => {
  const asks = (...rules: string[]): boolean =>
    policy(
      `targets: [{ match: { name: prod-db }, allow: { groups: [x] }, rules: [${rules.join(', ')}] }]`,
    ).asksForTables(target())
  t.equal(asks('{ name: a, allow: [x] }'), false)
  t.equal(asks(`{ name: a, when: 'op.action == "drop" && !op.hasWhere', deny: no }`, '{ name: b, allow: [x] }'), false)
  t.equal(asks('{ name: a, allow: [x] }', '{ name: b, when: "size(op.written) > 1", deny: no }'), true)
  t.equal(asks('{ name: b, when: "op.read.exists(each, each == \'a\')", deny: no }'), true)
  t.equal(asks(`{ name: b, when: 'size(op.read) == 0', deny: no }`), true)
  t.equal(asks('{ name: b, when: "op.action == \'call\'", deny: no }'), true)
  t.equal(policy(sample).asksForTables(target()), true, 'columns are masked for somebody')
  t.equal(policy(sample).asksForTables(target({ env: 'none' })), false)
})
