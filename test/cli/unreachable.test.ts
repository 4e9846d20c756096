// gate login where no relay is, or one that speaks otherwise: with real servers, and the words that people see.
import t from 'tap'
import { answering } from '../support/answering.ts'
import { createAuthority } from '../support/certificates.ts'
import { runInProcess } from '../support/in-process.ts'
import { freePort } from '../support/net.ts'
import { temporaryDirectory } from '../support/tmp.ts'

const directory = await temporaryDirectory('unreachable')
t.teardown(() => directory[Symbol.asyncDispose]())
const pair = await (await createAuthority(directory.path)).issue('relay')

async function said(relay: string): Promise<string> {
  const { code, stdout, stderr } = await runInProcess(directory.path, ['login', '--relay', relay])
  t.equal(code, 7, relay)
  t.equal(stdout, '')
  t.notMatch(stderr, /SSL routines|\n\s+at /, 'nothing raw')
  return stderr
}

t.test('https where http is spoken, and http where https is', async t => {
  await using plain = await answering(200, '{}')
  t.match(await said(`https://${plain.host}`), `speaks no TLS`)
  t.match(await said(`https://${plain.host}`), `  If the relay has no TLS, its URL is http://${plain.host}.`)
  await using secure = await answering(200, '{}', pair)
  t.match(await said(`http://${secure.host}`), `  If the relay speaks TLS, its URL is https://${secure.host}.`)
})

t.test('where nothing listens', async t => {
  const relay = `127.0.0.1:${await freePort()}`
  for (const scheme of ['http', 'https'])
    t.match(await said(`${scheme}://${relay}`), /nothing listens there \(ECONNREFUSED\)\n {2}Is the relay running/)
})

t.test('where something else answers', async t => {
  for (const [status, body] of [
    [200, '<html>'],
    [502, 'Bad Gateway'],
    [404, '{"error":"no"}'],
  ] as const) {
    await using other = await answering(status, body)
    const relay = `http://${other.host}`
    t.match(await said(relay), `the relay answered ${status}, and not as gate does\n  Is ${relay} the`)
  }
})
