// Quorums: how they are written, and when different people fill all seats.
import { type Approver, isFilled, mayApprove, parseQuorum } from '@gate/relay/policy/quorum'
import fc from 'fast-check'
import t from 'tap'

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
