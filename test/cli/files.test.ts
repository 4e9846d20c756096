// What the CLI keeps on the machine: only its user can read it, it is replaced whole, and the environment says where it is.
import { chmod, chown, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { connectApp } from '@gate/cli/app'
import { type CliConfig, readCliConfig } from '@gate/cli/config'
import { ownDirectory, readOwnFile, removeOwnFile, writeOwnFile } from '@gate/cli/files'
import { openKeychain } from '@gate/cli/keychain'
import { findProfile, type Profile, readProfile, writeProfile } from '@gate/cli/profile'
import { createStyle } from '@gate/cli/text'
import { systemClock } from '@gate/shared/clock'
import t from 'tap'
import { temporaryDirectory } from '../support/tmp.ts'

const isRoot = process.getuid?.() === 0
const mode = async (path: string): Promise<number> => (await stat(path)).mode & 0o777

t.test('the file in place of a keychain is in a directory that only we enter, and only we read it', async t => {
  await using directory = await temporaryDirectory('keychain')
  const home = join(directory.path, 'a', 'gate')
  const old = process.umask(0)
  try {
    const keychain = await openKeychain(home, 'file')
    t.match(keychain.description, home)
    t.equal(await keychain.get('https://relay'), undefined)
    t.same(await readdir(directory.path), [], 'looking makes nothing')
    await keychain.set('https://relay', 'secret "é😀"')
    await keychain.set('__proto__', 'another')
    t.equal(await mode(home), 0o700)
    t.equal(await mode(join(home, 'credentials.json')), 0o600)
    t.equal(await keychain.get('https://relay'), 'secret "é😀"')
    t.equal(await keychain.get('__proto__'), 'another')
    for (const name of ['constructor', 'toString', '']) t.equal(await keychain.get(name), undefined, name)
    const again = await openKeychain(home, 'file')
    await again.delete('__proto__')
    await again.delete('never there')
    t.equal(await keychain.get('https://relay'), 'secret "é😀"')
    await again.delete('https://relay')
    t.same(await readdir(home), [], 'nothing is left of the last secret')
  } finally {
    process.umask(old)
  }
})

t.test('a file is replaced whole, whatever its mode was, and no link is followed', async t => {
  await using directory = await temporaryDirectory('files')
  const path = (name: string): string => join(directory.path, name)
  await writeFile(path('elsewhere'), 'precious')
  await symlink(path('elsewhere'), path('file'))
  await writeOwnFile(directory.path, 'file', 'new')
  t.equal(await readFile(path('elsewhere'), 'utf8'), 'precious')
  t.equal(await readOwnFile(directory.path, 'file'), 'new')
  await chmod(path('file'), 0o666)
  await writeOwnFile(directory.path, 'file', 'newer')
  t.equal(await mode(path('file')), 0o600)
  await mkdir(path('taken'))
  await t.rejects(writeOwnFile(directory.path, 'taken', 'x'))
  t.same((await readdir(directory.path)).sort(), ['elsewhere', 'file', 'taken'], 'and leaves no half of itself')
  const texts = Array.from({ length: 10 }, (_, index) => String(index).repeat(100_000))
  await Promise.all(texts.map(text => writeOwnFile(directory.path, 'file', text)))
  t.ok(texts.includes((await readOwnFile(directory.path, 'file')) ?? ''), 'of many writers one wins, whole')
  await removeOwnFile(directory.path, 'file')
  await removeOwnFile(directory.path, 'file')
  t.equal(await readOwnFile(directory.path, 'file'), undefined)
  await t.rejects(readOwnFile(directory.path, 'taken'), { code: 'EISDIR' })
})

t.test('a directory that others can write to, or that is another’s, is not used', async t => {
  await using directory = await temporaryDirectory('files')
  const home = join(directory.path, 'gate')
  await ownDirectory(home)
  for (const wide of [0o777, 0o770, 0o702, 0o1777]) {
    await chmod(home, wide)
    await t.rejects(ownDirectory(home), { code: 'ERR_GATE_CONFIG', hint: /chmod 700/ }, wide.toString(8))
    await t.rejects(writeOwnFile(home, 'file', 'secret'), { code: 'ERR_GATE_CONFIG' })
    t.same(await readdir(home), [])
  }
  await chmod(home, 0o755)
  t.equal(await ownDirectory(home), home)
})

t.test(
  'a directory of another user is not used',
  { skip: isRoot ? false : 'NOT TESTED: only root can give a directory away' },
  async t => {
    await using directory = await temporaryDirectory('files')
    await chown(directory.path, 65_534, 65_534)
    await t.rejects(ownDirectory(directory.path), { code: 'ERR_GATE_CONFIG', message: /belongs to/ })
  },
)

t.test('the environment says where things are, in this order', async t => {
  t.equal(readCliConfig({ GATE_HOME: '/a', XDG_CONFIG_HOME: '/b' }).home, '/a')
  t.equal(readCliConfig({ XDG_CONFIG_HOME: '/b' }).home, '/b/gate')
  t.equal(readCliConfig({}).home, join(homedir(), '.config', 'gate'))
  t.equal(readCliConfig({ GATE_RELAY: 'https://x' }).relay, 'https://x')
  t.equal(readCliConfig({}).relay, undefined)
  const bus = { DBUS_SESSION_BUS_ADDRESS: 'unix:path=/run/user/0/bus' }
  t.equal(readCliConfig(bus).keychain, 'auto')
  t.equal(readCliConfig({ ...bus, GATE_KEYCHAIN: 'file' }).keychain, 'file')
  t.equal(readCliConfig({}).keychain, process.platform === 'linux' ? 'file' : 'auto', 'no bus, no keychain')
})

t.test('colours, questions and browsers are for people at a terminal', async t => {
  const fakes = [process.stdout, process.stdin].map(
    stream => [stream, Object.getOwnPropertyDescriptor(stream, 'isTTY')] as const,
  )
  // A terminal is a fake here, one word of it; test/e2e/terminal.test.ts has a real one.
  for (const [stream] of fakes) Object.defineProperty(stream, 'isTTY', { value: true, configurable: true })
  try {
    t.match(readCliConfig({ DISPLAY: ':0' }), { color: true, interactive: true, canOpenBrowser: true })
    t.match(readCliConfig({ NO_COLOR: '1' }), { color: false, interactive: true })
    t.match(readCliConfig({ NO_COLOR: '', CI: 'true' }), { color: true, interactive: false })
    t.match(readCliConfig({ TERM: 'dumb' }), { color: false })
    t.match(readCliConfig({ DISPLAY: ':0', SSH_CONNECTION: 'x' }), { canOpenBrowser: false })
    if (process.platform === 'linux') t.match(readCliConfig({}), { canOpenBrowser: false })
  } finally {
    for (const [stream, was] of fakes) {
      if (was === undefined) delete (stream as { isTTY?: boolean }).isTTY
      else Object.defineProperty(stream, 'isTTY', was)
    }
  }
})

t.test('a profile', async t => {
  await using directory = await temporaryDirectory('profile')
  const config: CliConfig = { ...readCliConfig({}), home: join(directory.path, 'gate') }
  const profile: Profile = { relay: 'https://a.example', issuer: 'https://id.example', clientId: 'gate-cli' }

  await t.test('is not there before the first login', async t => {
    t.equal(await findProfile(config), undefined)
    await t.rejects(readProfile(config), { code: 'ERR_GATE_UNAUTHENTICATED', hint: /gate login --relay/ })
  })

  await t.test('is read as it was written', async t => {
    for (const pin of [{}, { pin: { fingerprint: 'SHA256:x' } }, { pin: { fingerprint: 'x', certificate: 'y' } }]) {
      await writeProfile(config, { ...profile, ...pin })
      t.same(await readProfile(config), { ...profile, ...pin })
    }
  })

  await t.test(
    'is not replaced by the environment: a token never goes to a relay that was not logged in to',
    async t => {
      const app = (relay: string | undefined) => ({
        config: { ...config, relay, keychain: 'file' as const },
        clock: systemClock,
        style: createStyle(config),
        print: () => {},
        note: () => {},
      })
      await t.rejects(connectApp(app('https://b.example')), {
        code: 'ERR_GATE_UNAUTHENTICATED',
        hint: 'Run: gate login --relay https://b.example',
      })
      for (const relay of [undefined, profile.relay]) {
        await using connected = await connectApp(app(relay))
        t.equal(connected.profile.relay, profile.relay)
        await t.rejects(connected.credentials.token(), {
          code: 'ERR_GATE_UNAUTHENTICATED',
          message: 'you are not logged in',
        })
      }
    },
  )

  await t.test('that cannot be read says what to do', async t => {
    for (const text of [
      '',
      '{',
      '{}',
      JSON.stringify({ ...profile, more: 1 }),
      JSON.stringify({ ...profile, relay: 1 }),
    ]) {
      await writeFile(join(config.home, 'relay.json'), text)
      await t.rejects(readProfile(config), { code: 'ERR_GATE_CONFIG', hint: /gate login/ }, text)
    }
  })

  await t.test('without a login that can be read is no login', async t => {
    await writeProfile(config, profile)
    const keychain = await openKeychain(config.home, 'file')
    for (const text of ['', 'x', '{}', '{"token":"x"}']) {
      await keychain.set(profile.relay, text)
      await using connected = await connectApp({
        config: { ...config, relay: undefined, keychain: 'file' },
        clock: systemClock,
        style: createStyle(config),
        print: () => {},
        note: () => {},
      })
      await t.rejects(connected.credentials.token(), { code: 'ERR_GATE_UNAUTHENTICATED' }, text)
    }
  })
})
