// What names of a message stand for: EXECUTE is what was prepared, and is decided as that when it runs.
import { resolve } from '@gate/relay/protocols/postgres/resolving'
import t from 'tap'
import { analyser, statements } from '../../../support/lineage.ts'

t.teardown(() => analyser[Symbol.asyncDispose]())

t.test('what is prepared is not while it runs', async t => {
  for (const run of ['execute p', 'explain analyze execute p']) {
    const text = `prepare p as delete from customers where id = 1; ${run}`
    const resolved = resolve(await statements(text), text, () => 'missing', false)
    if (resolved === 'unsure') throw new Error('unsure')
    const deletes = resolved.map(({ effective }) => effective.parts.find(({ action }) => action === 'delete'))
    t.same(
      deletes.map(part => part?.facts['prepared']),
      [true, false],
      run,
    )
  }
})
