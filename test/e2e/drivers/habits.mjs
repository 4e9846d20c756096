// What the Node.js driver scripts have in common: a list of habits, and one JSON line for what each of them saw.
import { createRequire } from 'node:module'
import { join } from 'node:path'

/** The packages are in a cache of their own, not beside this file. */
export const require = createRequire(join(process.env.DRIVER_HOME, 'package.json'))

const plain = (_key, value) => {
  if (typeof value === 'bigint') return `${value}n`
  if (value?.type === 'Buffer') return Buffer.from(value.data).toString('hex')
  return value
}

/** Runs the habits in order, each with a list to write down what it sees. */
export async function perform(habits) {
  const only = process.argv.slice(2)
  for (const [habit, live] of Object.entries(habits)) {
    if (only.length > 0 && !only.includes(habit)) continue
    const saw = []
    let failed
    try {
      await live((...what) => saw.push(what))
    } catch (thrown) {
      failed = thrown.stack
    }
    process.stdout.write(`${JSON.stringify({ habit, saw, failed }, plain)}\n`)
  }
}

const fields = ['name', 'code', 'message', 'severity', 'detail', 'hint', 'position', 'internalPosition', 'where']
/** The two drivers call the same fields by different names. */
const more = ['schema', 'table', 'column', 'dataType', 'constraint', 'routine', 'schema_name', 'table_name']
const most = ['column_name', 'constraint_name', 'internal_position', 'internal_query']

/** What the promise is rejected with, as the driver understood it. */
export async function failure(promise) {
  try {
    return { unexpected: await promise }
  } catch (thrown) {
    return Object.fromEntries(
      [...fields, ...more, ...most].filter(key => thrown[key] !== undefined).map(key => [key, thrown[key]]),
    )
  }
}
