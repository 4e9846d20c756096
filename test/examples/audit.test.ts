// What docs/audit.md tells is what happens: three people, real processes.
import { cp, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { programs } from '../support/gate.ts'
import { run } from '../support/process.ts'
import { told, words } from '../support/story.ts'
import { temporaryDirectory } from '../support/tmp.ts'
import { hasPsql, openPolicy, startWorld } from '../support/world.ts'

const document = fileURLToPath(new URL('../../../docs/audit.md', import.meta.url))

t.test('the example of docs/audit.md', { skip: hasPsql ? false : 'no psql on this machine' }, async t => {
  const people = [
    { id: 'alice', email: 'alice@example.com', name: 'Alice', groups: ['engineers'] },
    { id: 'bob', email: 'bob@example.com', name: 'Bob', groups: ['dba'] },
    { id: 'carol', email: 'carol@example.com', name: 'Carol', groups: ['auditors'] },
  ]
  await using world = await startWorld({
    policy: openPolicy,
    oidc: { people },
    relay: { more: 'record: { auditors: [auditors] }' },
  })
  await using copy = await temporaryDirectory('audit-copy')
  const text = await readFile(document, 'utf8')
  const commands = told(text)
  t.equal(commands.length, 7)
  let key = ''
  const said: string[] = []
  for (const { person, line } of commands) {
    const [, ...args] = words(line).map(word => word.replace('DIRECTORY', copy.path).replace('KEY', key))
    const done =
      person === 'nobody'
        ? await run(process.execPath, [programs.gate, ...args], {
            env: { GATE_HOME: join(copy.path, 'no'), GATE_KEYCHAIN: 'file' },
          })
        : await (await world.person(person as 'alice' | 'carol')).run(...args)
    t.equal(done.code, 0, `${person}: ${line}: ${done.stdout}${done.stderr}`)
    said.push(done.stdout)
    if (line === 'gate audit key') {
      key = done.stdout.trim()
      await cp(join(world.relay.directory, 'state', 'records'), copy.path, { recursive: true })
    }
  }
  const [, receipts, verified, , events, some, offline] = said
  t.match(receipts, /^s_\w{12} .* good$/m)
  t.match(verified, /✓ \d+ records of \S+ are as they were signed/)
  t.match(offline, /✓ \d+ records of \S+ are as they were signed/)
  t.match(events, /^\{"sequence":1,.*"log.start"/)
  t.match(some, /^\{"sequence":3,/)
})
