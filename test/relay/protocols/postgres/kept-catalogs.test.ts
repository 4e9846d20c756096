// What a session remembers keeps no snapshot of the catalog alive but the newest: each change of the schema makes another.
import { setImmediate } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { StatementFacts } from '@gate/relay/protocols/postgres/analysis/facts'
import type { Catalog } from '@gate/relay/protocols/postgres/catalog'
import { CatalogUse } from '@gate/relay/protocols/postgres/catalog-use'
import { Recording } from '@gate/relay/protocols/postgres/recording'
import type { Resolved } from '@gate/relay/protocols/postgres/resolving'
import { SchemaChanges } from '@gate/relay/protocols/postgres/schema-changes'
import { StatementMasks } from '@gate/relay/protocols/postgres/statement-masks'
import { systemClock } from '@gate/shared/clock'
import t from 'tap'
import { analyser, mask, statements, withType } from '../../../support/lineage.ts'

const CATALOGS = 20
const values = { parameters: [], types: [], uninspectedBytes: 0 }

t.teardown(() => analyser[Symbol.asyncDispose]())

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

async function resolved(text: string): Promise<Resolved> {
  const [facts] = (await statements(text)) as [StatementFacts]
  return { facts, effective: facts, text, defines: undefined, unknown: undefined }
}

/** A session, and what it is told. */
function session() {
  const masks = [mask]
  const changes = new SchemaChanges()
  changes.begin('all', Symbol('somebody else'))
  let newest: Catalog | undefined
  const source = {
    freshCatalog: () => newest,
    newestCatalog: () => newest,
    readCatalog: async () => newest as Catalog,
    catalogChanges: () => {},
    changes,
  }
  const catalogs = new CatalogUse(source, systemClock)
  const statementMasks = new StatementMasks(Buffer.alloc(32))
  const recording = new Recording(() => masks, Buffer.alloc(32))
  return {
    /** Has the catalog of then, and what counts while others change it, seen by all that remember something. */
    async judge(statement: Resolved, catalog: Catalog): Promise<readonly WeakRef<Catalog>[]> {
      newest = catalog
      const derived = await catalogs.for([statement], { masked: true, recordMasks: masks, asksForTables: true })
      for (const each of [catalog, derived]) {
        statementMasks.refusal(statement, masks, each)
        statementMasks.of(statement, masks, each)
        recording.of(statement, values, [], each)
        catalogs.again(statement.effective, each)
      }
      return [new WeakRef(catalog), new WeakRef(derived)]
    },
  }
}

t.test('a session that changed the schema and is over', async t => {
  const changes = new SchemaChanges()
  const catalog = await withType('type_of_a_session')
  const { facts } = await resolved('alter table customers add column more text')
  const before = changes.count
  const ended = (() => {
    const source = {
      freshCatalog: () => catalog,
      newestCatalog: () => catalog,
      readCatalog: async () => catalog,
      catalogChanges: () => {},
      changes,
    }
    const use = new CatalogUse(source, systemClock)
    use.own.runs(facts, [1], catalog, { masked: true })
    return new WeakRef(use)
  })()
  t.equal(changes.count, before + 1)
  await setImmediate()
  collect()
  await setImmediate()
  collect()
  t.equal(ended.deref(), undefined, 'is not kept by what others know of its change')
  t.equal(changes.concernedSince(before, [{ schema: undefined, name: 'customers' }], Symbol('another')), true)
})

t.test('twenty catalogs, and a statement that is remembered for each', async t => {
  const { judge } = session()
  const kept: Resolved[] = []
  const seen: WeakRef<Catalog>[] = []
  for (let number = 0; number < CATALOGS; number += 1) {
    const statement = await resolved(`select id, email from customers where id = ${number}`)
    kept.push(statement)
    seen.push(...(await judge(statement, await withType(`type_${number}`))))
  }
  t.equal(new Set(seen.map(each => each.deref())).size, 2 * CATALOGS, 'they are all different')
  await setImmediate()
  collect()
  await setImmediate()
  collect()
  t.ok(seen.at(-1)?.deref() !== undefined && seen.at(-2)?.deref() !== undefined, 'the newest is there')
  t.equal(seen.filter(each => each.deref() !== undefined).length, 2, 'and no other')
  t.equal(kept.length, CATALOGS)
})
