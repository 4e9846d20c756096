// Texts that differ in their numbers only: what is said of them without the parser is what the parser would have said.

import { hiddenConstant } from '@gate/relay/protocols/postgres/analysis/pieces'
import { type Analysis, loadGrammar, readText } from '@gate/relay/protocols/postgres/analysis/read'
import { Shapes } from '@gate/relay/protocols/postgres/analysis/shapes'
import type { Json } from '@gate/relay/protocols/postgres/analysis/tree'
import fc from 'fast-check'
import t from 'tap'

const key = Buffer.alloc(32, 7)
await loadGrammar()

function learn(shapes: Shapes, text: string): void {
  let tree: Json = null
  const analysis = readText(text, key, parsed => {
    tree = parsed
  })
  shapes.learn(text, tree, analysis)
}

/** Every field of it, also those that are worked out when they are asked for. */
function plain(analysis: Analysis): unknown {
  if ('syntaxError' in analysis) return analysis
  return analysis.statements.map(({ recordable, ...facts }) => ({
    ...facts,
    recordable: {
      ...recordable,
      pieces: recordable.pieces.map(piece =>
        typeof piece === 'string' ? piece : { ...piece, value: hiddenConstant(key, piece.value) },
      ),
    },
  }))
}

/** What is said of `other` once `first` was read. */
function after(first: string, other: string): Analysis | undefined {
  const shapes = new Shapes()
  learn(shapes, first)
  return shapes.find(other)
}

t.test('point queries are read once', async t => {
  for (const [first, other] of [
    [
      'SELECT abalance FROM pgbench_accounts WHERE aid = 1;',
      'SELECT abalance FROM pgbench_accounts WHERE aid = 999999999;',
    ],
    ['select * from a where (b = 1 or c >= 2) and not d<>3', 'select * from a where (b = 10 or c >= 0) and not d<>3'],
    ['update s.t set a = b where\tid=7 returning id ;\n', 'update s.t set a = b where\tid=0077 returning id ;\n'],
    ['delete from t where 5 < x.id', 'delete from t where 0 < x.id'],
  ] as const) {
    const found = after(first, other)
    t.ok(found, first)
    if (found !== undefined) t.same(plain(found), plain(readText(other, key)), other)
  }
})

t.test('what a number can change is read each time', async t => {
  for (const [first, other] of [
    ['select * from t limit 1', 'select * from t limit 2'],
    ['select * from t order by 1', 'select * from t order by 2'],
    ['select 1', 'select 2'],
    ['select a::float(24) from t where a = 1', 'select a::float(25) from t where a = 1'],
    ['select a from t where a = 1 limit 1', 'select a from t where a = 1 limit 2'],
    ['delete from t where 1 = 2', 'delete from t where 1 = 1'],
    ['delete from t where (a = 1) = (a = 2)', 'delete from t where (a = 1) = (a = 1)'],
    [
      'delete from t where (a = 1) is null or (a = 2) is not null',
      'delete from t where (a = 1) is null or (a = 1) is not null',
    ],
    ['select a from t where b = f(1)', 'select a from t where b = f(2)'],
    ['select a from t where b in (1, 2)', 'select a from t where b in (1, 3)'],
    ['select a from t where a = 1 union select 2', 'select a from t where a = 1 union select 3'],
    [
      'select a from t where a = 1; select b from t where b = 1',
      'select a from t where a = 1; select b from t where b = 2',
    ],
    ['insert into t values (1)', 'insert into t values (2)'],
    ['explain select a from t where a = 1', 'explain select a from t where a = 2'],
    ['prepare p as select a from t where a = 1', 'prepare p as select a from t where a = 2'],
    ["select a from t where a = 1 and b = 'x'", "select a from t where a = 2 and b = 'x'"],
    ['select "a 1" from t where a = 1', 'select "a 1" from t where a = 2'],
    ['select a from t where a = 1 -- 1', 'select a from t where a = 2 -- 1'],
    ['select a from t where a = $1 or a = 1', 'select a from t where a = $1 or a = 2'],
    // More than an integer holds; a part of something else; what the grammar refuses.
    ['select a from t where a = 1', 'select a from t where a = 9999999999'],
    ['select a from t where a = 1', 'select a from t where a = 1e5'],
    ['select a from t where a = 1', 'select a from t where a = 1.5'],
    ['select a from t where a = 1', 'select a from t where a = 0x1'],
    ['select a from t where a = 1', 'select a from t where a = 1_0'],
    ['select a from t where a = 1', 'select a from t where a = 1a'],
    ['select a from t where a = 1', 'select a from t where a = -1'],
    ['select a from t where a == 1', 'select a from t where a == 2'],
  ] as const)
    t.equal(after(first, other), undefined, `${first} | ${other}`)
})

t.test('what looks like a secret is read each time', async t => {
  const [first, found] = ['select a from t where a = 1 and b = 2', 'select a from t where a = 3 and b = 4']
  t.ok(after(first, found))
  // A telephone number, with what stands beside it.
  const seen = 'select phone from t where phone = 5'
  const shapes = new Shapes()
  learn(shapes, seen)
  for (const other of ['select phone from t where phone = 491511234', 'select phone from t where phone = 078051120']) {
    const said = shapes.find(other)
    if (said !== undefined) t.same(plain(said), plain(readText(other, key)), other)
  }
})

const column = fc.constantFrom('a', 't.b', 'password', 'phone', 's.t.c')
const number = fc.oneof(fc.nat({ max: 20 }), fc.nat({ max: 999_999_999 })).map(String)
/** For every hole of most statements one of its own. */
const enough = fc.array(number, { minLength: 1, maxLength: 12 })
const operator = fc.constantFrom('=', '<>', '<', '>', '<=', '>=', ' = ', '!=', '+', '*')
const hole = '§'
const { condition } = fc.letrec<{ condition: string; leaf: string }>(tie => ({
  leaf: fc.oneof(
    { weight: 6, arbitrary: fc.tuple(column, operator).map(([left, middle]) => `${left} ${middle} ${hole}`) },
    fc.tuple(column, operator).map(([right, middle]) => `${hole} ${middle} ${right}`),
    fc.constantFrom(
      ...[`a in (${hole},${hole})`, `${hole} = ${hole}`, `f(${hole}) = a`, `a between ${hole} and ${hole}`],
      ...[
        `(a = ${hole}) is null`,
        `(a = ${hole}) is not null`,
        `a = any (select ${hole})`,
        'a = a',
        `a = ${hole} + ${hole}`,
      ],
    ),
  ),
  condition: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    tie('leaf'),
    fc.tuple(tie('condition'), fc.constantFrom('and', 'or'), tie('condition')).map(parts => `(${parts.join(' ')})`),
    tie('condition').map(inner => `not (${inner})`),
  ),
}))
const statement = fc
  .tuple(
    fc.constantFrom(
      'select a from t',
      'select * from s.t x',
      'delete from t',
      'update t set a = b',
      `select ${hole} from t`,
    ),
    condition,
    fc.constantFrom('', ';', ' ;\n', ` limit ${hole}`, ' order by a', ` group by ${hole}`),
  )
  .map(([begin, where, end]) => `${begin} where ${where}${end}`)

t.test('what is said without the parser is what the parser says, whatever the statement', async t => {
  let said = 0
  fc.assert(
    fc.property(statement, enough, enough, (form, firstNumbers, otherNumbers) => {
      const fill = (values: readonly string[]): string => {
        let next = 0
        return form.replaceAll(hole, () => values[next++ % values.length] ?? '')
      }
      const first = fill(firstNumbers)
      const other = fill(otherNumbers)
      const found = after(first, other)
      if (found === undefined) return
      said += 1
      t.same(plain(found), plain(readText(other, key)), other)
    }),
    { numRuns: 1_500 },
  )
  t.ok(said > 100, `${said} of them were said without the parser`)
})
