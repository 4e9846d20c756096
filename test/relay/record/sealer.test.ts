// What is sealed can be read by the recipients, with the package and with age itself, and by nobody else.
import { execFileSync, spawnSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Sealer } from '@gate/relay/record/sealer'
import { silentLog } from '@gate/shared/log'
import { Decrypter, generateX25519Identity, identityToRecipient } from 'age-encryption'
import t from 'tap'
import { createHandClock } from '../../support/clock.ts'
import { temporaryDirectory } from '../../support/tmp.ts'

const hasAge = spawnSync('age', ['--version']).status === 0

const open = async (identity: string, sealed: string): Promise<string> => {
  const decrypter = new Decrypter()
  decrypter.addIdentity(identity)
  return decrypter.decrypt(Buffer.from(sealed, 'base64'), 'text')
}

const [ours, theirs, stranger] = await Promise.all([
  generateX25519Identity(),
  generateX25519Identity(),
  generateX25519Identity(),
])
const recipients = await Promise.all([ours, theirs].map(identity => identityToRecipient(identity)))

t.test('every recipient reads every text, and nobody else reads any', async t => {
  const clock = createHandClock()
  const sealer = await Sealer.open(recipients, clock, silentLog)
  const texts = ['', 'select 1', `é😀${'x'.repeat(60_000)}`]
  for (const text of texts) {
    const sealed = sealer.seal(text)
    t.equal(await open(ours, sealed), text)
    t.equal(await open(theirs, sealed), text)
    await t.rejects(open(stranger, sealed))
    if (text !== '') t.notMatch(Buffer.from(sealed, 'base64').toString('latin1'), text.slice(0, 8))
  }
  t.not(sealer.seal('select 1'), sealer.seal('select 1'))
  t.throws(() => sealer.seal('x'.repeat(65_537)), { code: 'ERR_GATE_LIMIT' })
})

t.test('a changed byte is noticed', async t => {
  const sealer = await Sealer.open(recipients, createHandClock(), silentLog)
  const sealed = Buffer.from(sealer.seal('select 1'), 'base64')
  for (const place of [30, sealed.length - 1, sealed.length - 20]) {
    const changed = Buffer.from(sealed)
    changed[place] = (changed[place] ?? 0) ^ 1
    await t.rejects(open(ours, changed.toString('base64')))
  }
})

t.test('the key is another one after a while', async t => {
  const clock = createHandClock()
  const sealer = await Sealer.open(recipients, clock, silentLog)
  const header = (): string => {
    const text = Buffer.from(sealer.seal('x'), 'base64').toString('latin1')
    return text.slice(0, text.indexOf('---'))
  }
  const first = header()
  t.equal(header(), first)
  clock.advance(11 * 60_000)
  header()
  await new Promise(resolve => setTimeout(resolve, 200))
  const sealed = sealer.seal('later')
  t.not(header(), first)
  t.equal(await open(ours, sealed), 'later')
})

t.test('what is no recipient is a mistake in the configuration', async t => {
  for (const wrong of ['age1nonsense', 'ssh-ed25519 AAAA', '', ours])
    await t.rejects(Sealer.open([wrong], createHandClock(), silentLog), { code: 'ERR_GATE_CONFIG' }, wrong.slice(0, 8))
})

t.test('age itself reads it', { skip: hasAge ? false : 'no age' }, async t => {
  await using directory = await temporaryDirectory('age')
  const sealer = await Sealer.open(recipients, createHandClock(), silentLog)
  const [key, file] = [join(directory.path, 'key'), join(directory.path, 'sealed.age')]
  await writeFile(key, theirs)
  await writeFile(file, Buffer.from(sealer.seal('select 42'), 'base64'))
  t.equal(execFileSync('age', ['-d', '-i', key, file], { encoding: 'utf8' }), 'select 42')
})
