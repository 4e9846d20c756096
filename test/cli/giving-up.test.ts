// Who gives up while gate login asks: the code says so, the line is ended, and nothing is kept.
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { answering } from '../support/answering.ts'
import { atTerminal, hasScript } from '../support/at-terminal.ts'
import { createAuthority } from '../support/certificates.ts'
import { createCli } from '../support/gate.ts'
import { temporaryDirectory } from '../support/tmp.ts'

const skip = hasScript ? false : 'no script(1) on this machine'

t.test('at the question for the fingerprint', { skip }, async t => {
  await using directory = await temporaryDirectory('giving-up')
  await using relay = await answering(200, '{}', await (await createAuthority(directory.path)).issue('relay'))
  const home = join(directory.path, 'home')
  for (const [what, keys] of [
    ['Ctrl-C', '\u0003'],
    ['the end of the input', '\u0004'],
  ] as const) {
    await using login = atTerminal(home, ['login', '--relay', `https://${relay.host}`])
    await login.waitFor(/\(yes\/no\)/)
    login.child.stdin?.write(keys)
    const { code, stdout } = await login.finished()
    t.equal(code, 130, what)
    t.match(stdout, /\n[^\n]*gate:\S* the login was given up/, 'on a line of its own')
    t.notMatch(stdout, /Warning|unsettled/)
  }
  t.same(await readdir(home).catch(() => []), [], 'nothing is kept')
  await using no = atTerminal(home, ['login', '--relay', `https://${relay.host}`])
  await no.waitFor(/\(yes\/no\)/)
  no.child.stdin?.write('no\r')
  t.equal((await no.finished()).code, 7)
})

t.test('while the identity provider does not answer', async t => {
  let ask = (): void => {}
  const asked = new Promise<void>(resolve => {
    ask = resolve
  })
  const silent = createServer(() => ask())
  silent.listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const issuer = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`
  const issuers = [{ issuer, clientId: 'gate-cli', scopes: ['openid'] }]
  await using relay = await answering(200, JSON.stringify({ product: 'gate', version: 1, issuers }))
  await using cli = await createCli()
  await using login = cli.start(['login', '--relay', `http://${relay.host}`])
  await asked
  login.kill('SIGINT')
  t.match(await login.finished(10_000), { code: 130, stderr: /the login was given up/ })
  silent.closeAllConnections()
  silent.close()
})

t.test('colour is for terminals, also where only one of the two outputs is one', { skip }, async t => {
  await using directory = await temporaryDirectory('colour')
  const errors = join(directory.path, 'errors')
  await atTerminal(join(directory.path, 'home'), ['targets', '2>', errors]).finished()
  t.match(await readFile(errors, 'utf8'), /^gate: you are not logged in\n/)
})
