// Joining a relay that does not let the agent in, or is not there: what is said, and whether a key stays.
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { enrol } from '@gate/agent/enrol'
import t from 'tap'
import { answering } from '../support/answering.ts'
import { createAuthority } from '../support/certificates.ts'
import { freePort } from '../support/net.ts'
import { temporaryDirectory } from '../support/tmp.ts'

const directory = await temporaryDirectory('enrol')
t.teardown(() => directory[Symbol.asyncDispose]())
const keys = (state: string): Promise<string[]> => readdir(state).catch(() => ['(no directory)'])

t.test('a key that the relay refused does not stay, unless it was there before', async t => {
  const body = JSON.stringify({ code: 'ERR_GATE_TOKEN', message: 'not known', hint: 'Make another.' })
  await using relay = await answering(401, body)
  const state = join(directory.path, 'refused')
  const refused = { code: 'ERR_GATE_TOKEN', message: 'not known', hint: 'Make another.' }
  await t.rejects(enrol(`http://${relay.host}`, 'one', state, 'token', undefined), refused)
  t.same(await keys(state), [])
  await using good = await answering(200, JSON.stringify({ agent: 'one', targets: ['prod-*'] }))
  t.same(await enrol(`http://${good.host}`, 'one', state, 'token', undefined), ['prod-*'])
  await t.rejects(enrol(`http://${relay.host}`, 'one', state, 'token', undefined), refused)
  t.same(await keys(state), ['agent.key'])
})

t.test('without a token nothing is asked and nothing is made', async t => {
  const state = join(directory.path, 'no-token')
  await t.rejects(enrol('http://127.0.0.1:1', 'one', state, '', undefined), {
    code: 'ERR_GATE_USAGE',
    hint: /gate-relay enroll --agent one --targets PATTERN makes one/,
  })
  t.same(await keys(state), ['(no directory)'])
})

t.test('a relay that is not reached, or not believed, is said with the next step', async t => {
  const state = join(directory.path, 'unreachable')
  const join_ = (relay: string): Promise<unknown> => enrol(relay, 'one', state, 'token', undefined)
  const code = 'ERR_GATE_RELAY_UNREACHABLE'
  await t.rejects(join_(`http://127.0.0.1:${await freePort()}`), { code, message: /nothing listens/, hint: /running/ })
  await using plain = await answering(200, '<html>')
  await t.rejects(join_(`https://${plain.host}`), { code, message: /speaks no TLS/, hint: /its URL is http:/ })
  await t.rejects(join_(`http://${plain.host}`), { code, message: /answered 200, and not as gate does/ })
  await using secure = await answering(200, '{}', await (await createAuthority(directory.path)).issue('relay'))
  await t.rejects(join_(`http://${secure.host}`), { code, hint: /its URL is https:/ })
  // Agents pin no certificate: they name an authority.
  await t.rejects(join_(`https://${secure.host}`), { code: 'ERR_GATE_RELAY_CHANGED', hint: /agent\.yaml: ca: FILE/ })
  t.same(await keys(state), ['agent.key'], 'the relay may know it: nobody heard its answer')
})
