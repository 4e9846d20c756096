// What a relay finds again in its state directory: made once, whole or not at all, and never taken for good when it is damaged.
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readMaskKey, readRecordKey, readRelayId } from '@gate/relay/state'
import t from 'tap'
import { temporaryDirectory } from '../support/tmp.ts'

const readers: Readonly<Record<string, (state: string) => Promise<unknown>>> = {
  'relay.id': readRelayId,
  'mask.key': readMaskKey,
  'record.key': readRecordKey,
}

t.test('whoever comes first makes it, and everybody gets the same', async t => {
  await using directory = await temporaryDirectory('state')
  const state = join(directory.path, 'new')
  const ids = await Promise.all(Array.from({ length: 20 }, () => readRelayId(state)))
  t.equal(new Set(ids).size, 1)
  const keys = await Promise.all(Array.from({ length: 20 }, () => readMaskKey(state)))
  t.equal(new Set(keys.map(key => Buffer.from(key).toString('hex'))).size, 1)
  t.equal(keys[0]?.length, 32)
  const [first, second] = [await readRecordKey(state), await readRecordKey(state)]
  t.ok(first.equals(second))
  t.same((await readdir(state)).sort(), Object.keys(readers).sort(), 'nothing is left beside them')
  for (const name of Object.keys(readers)) t.equal((await stat(join(state, name))).mode & 0o777, 0o600, name)
})

t.test('one that is empty, cut or something else is refused and stays as it is', async t => {
  await using directory = await temporaryDirectory('state')
  for (const [name, read] of Object.entries(readers)) {
    await read(directory.path)
    const path = join(directory.path, name)
    const whole = await readFile(path, 'utf8')
    for (const text of ['', '\n', whole.slice(0, 5), '\0'.repeat(64)]) {
      await writeFile(path, text)
      await t.rejects(read(directory.path), { code: 'ERR_GATE_CONFIG', message: new RegExp(name), hint: /backup/ })
      t.equal(await readFile(path, 'utf8'), text)
    }
    await writeFile(path, `${whole}\n`)
    await read(directory.path)
  }
})
