// When a command waits for the disk: a real relay on a disk that holds its syncs, a real database behind it.
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import t from 'tap'
import { temporaryDirectory } from '../support/tmp.ts'
import { hasPsql, openPolicy, psql, startPsql, startWorld } from '../support/world.ts'

const skip = hasPsql ? false : 'no psql on this machine'
const faults = pathToFileURL(fileURLToPath(new URL('../support/disk-faults.js', import.meta.url))).href

for (const [more, holds] of [
  ['', { insert: true, select: false }],
  ['record: { durability: fsync }', { insert: true, select: true }],
  ['record: { durability: write }', { insert: false, select: false }],
] as const) {
  t.test(`with ${more === '' ? 'nothing said' : more}`, { skip }, async t => {
    await using disk = await temporaryDirectory('disk')
    await using world = await startWorld({
      embedded: true,
      policy: openPolicy,
      sql: 'create table counted (n int)',
      relay: { more, env: { NODE_OPTIONS: `--import ${faults}`, GATE_TEST_DISK: disk.path } },
    })
    const alice = await world.person('alice')
    await using gate = await alice.connect('prod-db')
    const there = async (n: number): Promise<boolean> =>
      (await world.postgres.query(`select count(*) from counted where n = ${n}`, 'app'))[0]?.[0] === '1'

    await t.test('what has to wait for the disk reaches the target only when the disk has its record', async t => {
      await using open = startPsql(gate, ['-XAt'])
      open.child.stdin?.write("select 'open';\n")
      await open.waitFor(/open/)
      await writeFile(join(disk.path, 'hold'), '')
      await using other = startPsql(gate, ['-XAt'])
      if (holds.select) {
        other.child.stdin?.write('select 1;\n')
        // It is in the record, and what it asks does not run: the target shows no session's statement but our own.
        await recorded(world, 'select 1')
        t.notMatch(other.stdout(), /1/)
      } else t.match((await psql(gate, ['-At', '-c', "select 'at once'"])).stdout, /at once/)
      open.child.stdin?.write("insert into counted values (1);\nselect 'in';\n")
      if (holds.insert) {
        await recorded(world, 'insert into counted values (1)')
        t.equal(await there(1), false)
        t.notMatch(open.stdout(), /INSERT/)
      } else {
        await open.waitFor(/in\n/)
        t.equal(await there(1), true)
      }
      await rm(join(disk.path, 'hold'))
      await open.waitFor(/in\n/)
      t.equal(await there(1), true)
    })

    if (!holds.insert) return
    await t.test('a disk that fails to keep a record stops the command, and the record goes on by itself', async t => {
      await writeFile(join(disk.path, 'fail'), '')
      const refused = await psql(gate, ['-c', 'insert into counted values (2)'])
      t.not(refused.code, 0)
      t.match(refused.stderr, /gate: the record cannot be written \(EIO\)/)
      t.equal(await there(2), false)
      await rm(join(disk.path, 'fail'))
      for (let tried = 0; tried < 200; tried += 1)
        if ((await psql(gate, ['-c', 'insert into counted values (3)'])).code === 0) break
      t.equal(await there(3), true)
      t.equal(await there(2), false)
      t.match(world.relay.process().stderr(), /record\.failing[\s\S]*record\.writing-again/)
    })
  })
}

async function recorded(world: Awaited<ReturnType<typeof startWorld>>, text: string): Promise<void> {
  for (let tried = 0; tried < 300; tried += 1) {
    const events = (await world.relay.events()) as { body: { text?: string } }[]
    if (events.some(({ body }) => body.text?.startsWith(text))) return
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  throw new Error(`${text} is not in the record`)
}
