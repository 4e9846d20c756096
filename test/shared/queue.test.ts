// A queue gives what it was given, in order, whatever it has thrown away of its array meanwhile.
import { Queue } from '@gate/shared/queue'
import fc from 'fast-check'
import t from 'tap'

t.test('it does what an array does', async t => {
  const step = fc.oneof(
    fc.record({ push: fc.integer({ min: 1, max: 3_000 }) }),
    fc.record({ shift: fc.integer({ min: 1, max: 3_000 }) }),
    fc.constantFrom('removeSecond' as const, 'clear' as const),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), steps => {
      const queue = new Queue<number>()
      const array: number[] = []
      let next = 0
      const alike = (): boolean => queue.size === array.length && queue.head === array[0] && queue.second === array[1]
      return steps.every(each => {
        if (each === 'clear') {
          queue.clear()
          array.length = 0
        } else if (each === 'removeSecond') {
          if (queue.removeSecond() !== array.splice(1, 1)[0]) return false
        } else if ('push' in each) {
          for (let count = 0; count < each.push; count += 1, next += 1) {
            queue.push(next)
            array.push(next)
          }
        } else for (let count = 0; count < each.shift; count += 1) if (queue.shift() !== array.shift()) return false
        return alike()
      })
    }),
  )
  t.pass('for any pushes and shifts')
})
