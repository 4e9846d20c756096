// The story of docs/approvals.md with three people and real processes, as it stands there.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stateDiagram } from '@gate/relay/approval/states'
import t from 'tap'
import type { Cli } from '../support/gate.ts'
import type { Running } from '../support/process.ts'
import { told, words } from '../support/story.ts'
import { hasPsql, startWorld } from '../support/world.ts'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const documentation = await readFile(join(root, 'docs', 'approvals.md'), 'utf8')

interface Block {
  readonly language: string
  readonly name: string
  readonly text: string
}

const blocks: readonly Block[] = [...documentation.matchAll(/^```(\w+) (\S+)\n([\s\S]*?)^```$/gm)].map(
  ([, language = '', name = '', text = '']) => ({ language, name, text }),
)

const people = [
  { id: 'alice', email: 'alice@example.com', name: 'Alice', groups: ['engineers'] },
  { id: 'bob', email: 'bob@example.com', name: 'Bob', groups: ['dba', 'managers'] },
  { id: 'carol', email: 'carol@example.com', name: 'Carol', groups: ['dba'] },
]

const sql = "create table accounts (id int primary key, state text); insert into accounts values (1, 'old'), (2, 'old')"

t.test('the diagram of a request is the one that the code makes', async t => {
  const written = /<!-- states -->\n```mermaid\n([\s\S]*?)\n```\n<!-- \/states -->/.exec(documentation)?.[1]
  t.equal(written, stateDiagram(), 'npm run build && npm run reference writes it anew')
})

t.test('the example, from the first command to the last', { skip: hasPsql ? false : 'no psql' }, async t => {
  const policy = blocks.find(({ name }) => name === 'policy.yaml')?.text ?? ''
  await using world = await startWorld({ policy, sql, oidc: { people } })
  const commands = told(documentation)
  t.ok(commands.length >= 15)
  /** What the placeholders of the documents stand for, as the programs said it last. */
  const known: Record<string, string> = {}
  let held: Running | undefined
  const replaced = (line: string): string =>
    line.replace(/\b(REQUEST|GRANT|REVIEW|SESSION)\b/g, name => known[name] ?? name)
  const learn = (said: string): void => {
    for (const [name, pattern] of Object.entries({
      REQUEST: /\br_[a-z0-9]{12}\b/,
      GRANT: /\bg_[a-z0-9]{12}\b/,
      REVIEW: /\bv_[a-z0-9]{12}\b/,
      SESSION: /\bs_[a-z0-9]{12}\b/,
    })) {
      const [id] = pattern.exec(said) ?? []
      if (id !== undefined) known[name] = id
    }
  }
  const answers: string[] = []
  for (const [index, { person, line }] of commands.entries()) {
    const cli: Cli = await world.person(person as 'alice' | 'bob' | 'carol')
    const [program, ...args] = words(replaced(line))
    t.equal(program, 'gate')
    const next = commands[index + 1]?.line ?? ''
    // A command that somebody approves next waits for it.
    if (args[0] === 'connect' && /^gate (approve|requests)/.test(next)) {
      held = cli.start(args)
      learn((await held.waitFor(/request r_[a-z0-9]+/))[0])
      answers.push('(held)')
      continue
    }
    const done = await cli.run(...args)
    t.equal(done.code, 0, `${person}: ${line}: ${done.stdout}${done.stderr}`)
    learn(done.stdout)
    answers.push(done.stdout + done.stderr)
    if (held !== undefined && /approved r_/.test(done.stdout) && !/still waits/.test(done.stdout)) {
      const finished = await held.finished()
      t.equal(finished.code, 0, finished.stderr)
      answers.push(finished.stdout)
      held = undefined
    }
  }
  const all = answers.join('\n')
  t.match(all, /DELETE 2/, 'the delete ran when both had approved')
  t.match(all, /expects +2 rows|expects +\d+ rows/, "approvers saw the planner's estimate")
  t.match(all, /still waits/, 'one of two is not enough')
  t.equal(all.match(/UPDATE 0/g)?.length, 4, 'approved, granted, with broken glass, and that once more in the record')
  t.match(all, /the glass is broken/)
  t.match(all, /! +the glass was broken: the shop is down \(review v_/, 'gate sessions show says so')
  t.match(all, /update accounts set state = 'open' \(not approved: the glass was broken\)/)
  t.match(all, /✓ revoked g_/)
  t.match(all, /✗ denied r_/)
  t.match(all, /✓ closed v_/)
  const alice = await world.person('alice')
  t.match((await alice.run('requests', '--mine', '--json')).stdout, '"state":"denied"')
  const again = alice.start(['connect', 'prod-db', '--', 'psql', '-c', "update accounts set state = 'x'"])
  await again.waitFor(/waiting for approval/)
  await again[Symbol.asyncDispose]()
  t.pass('a grant that was taken back is gone')
  const marked = (await world.relay.events()).filter(event => JSON.stringify(event).includes('"brokeGlass":true'))
  t.ok(marked.length >= 5, 'every event of the session is marked')
  t.match(JSON.stringify(marked), '"passedByBreakingGlass":true')
})
