// The example of docs/http.md with three people and real processes, and its table of facts.
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { vocabulary } from '@gate/relay/protocols/http/operation'
import { factExamples } from '@gate/relay/protocols/http/reference'
import { commandOf, readHead } from '@gate/relay/protocols/http/request'
import type { Gate } from '@gate/relay/protocols/protocol'
import t from 'tap'
import { startHttpWorld } from '../support/http-world.ts'
import { told, words } from '../support/story.ts'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const documentation = await readFile(join(root, 'docs', 'http.md'), 'utf8')
const policy = /^```yaml policy\.yaml\n([\s\S]*?)^```$/m.exec(documentation)?.[1] ?? ''

t.test('facts are what the table says', async t => {
  t.same(Object.keys(factExamples).sort(), Object.keys(vocabulary).sort())
  const gate = {
    routes: ['/users/{id}'],
    headers: ['x-tenant'],
    recordFields: [],
    bodyNeed: 'rules',
  } as unknown as Gate
  for (const [name, { example, value }] of Object.entries(factExamples)) {
    const { method = 'GET', target, headers = {}, body } = example
    const raw = ['host', 'localhost', ...Object.entries(headers).flat()]
    const start = body === undefined ? undefined : Buffer.from(body)
    const content = { start, isWhole: true, length: start?.length ?? 0 }
    const { command } = commandOf(
      readHead({ method, target, raw, isUpgrade: false }, 'x'),
      content,
      gate,
      new Uint8Array(32),
    )
    t.equal(command.refusal, undefined)
    t.same(command.operation.facts[name], value, name)
    t.ok(documentation.includes(`| \`${name}\` |`), 'npm run build && npm run reference writes the table anew')
  }
})

t.test(
  'the example, from the first command to the last',
  { skip: existsSync('/usr/bin/curl') ? false : 'no curl' },
  async t => {
    await using world = await startHttpWorld({ policy })
    const commands = told(documentation)
    t.equal(commands.length, 7)
    const answers: string[] = []
    let request = ''
    for (const { person, line } of commands) {
      const cli = await world.person(person as 'alice' | 'bob' | 'carol')
      const [program, ...args] = words(line.replace('REQUEST', request))
      t.equal(program, 'gate')
      const done = await cli.run(...args)
      t.equal(done.code, 0, `${line}: ${done.stdout}${done.stderr}`)
      request = /\br_[a-z0-9]{12}\b/.exec(done.stdout)?.[0] ?? request
      answers.push(done.stdout)
    }
    const [seen, refused, masked, held, , passed, sessions] = answers
    t.match(seen, '"email":"ann@secret.example"')
    t.match(refused, /"rule":"never"/)
    t.match(masked, '"email":"a***@***.example"')
    t.match(masked, '"pan":"**** **** **** 1111"')
    t.match(held, /"status":202.*"rule":"refunds"/)
    t.match(passed, /"url":"\/refunds\/7".*amount.*20/)
    t.match(sessions, /alice@example\.com +billing-api/)
  },
)
