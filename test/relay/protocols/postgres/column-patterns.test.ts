// Policy's patterns for columns: the index says what reading them one after the other says.
import { ColumnPatterns } from '@gate/relay/protocols/postgres/column-patterns'
import fc from 'fast-check'
import t from 'tap'

const names = ['a', 'b', 'A', 'é', 'toString']
const name = fc.constantFrom(...names)
const part = fc.constantFrom(...names, '*')
const pattern = fc.array(part, { minLength: 2, maxLength: 3 }).map(parts => parts.join('.'))

/** As the documentation words it. */
function isNamed(pattern: string, full: readonly string[]): boolean {
  const parts = pattern.split('.')
  const last = full.slice(-parts.length)
  return parts.every((each, index) => each === '*' || each === last[index])
}

t.test('the first list that names a column, whatever the patterns', async t => {
  let found = 0
  fc.assert(
    fc.property(fc.array(fc.array(pattern, { maxLength: 4 }), { maxLength: 6 }), name, name, name, (lists, ...full) => {
      const [schema, table, column] = full
      const expected = lists.findIndex(list => list.some(each => isNamed(each, full)))
      const actual = new ColumnPatterns(lists).of({ schema, name: table })?.(column)
      if (expected >= 0) found += 1
      if (expected >= 0) return actual === expected
      return actual === undefined || lists[actual] === undefined
    }),
    { numRuns: 3_000 },
  )
  t.ok(found > 300, 'patterns often name the column')
})
