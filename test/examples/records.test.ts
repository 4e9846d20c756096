// The story of docs/records.md with three people and real processes, as it stands there.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { Running } from '../support/process.ts'
import { told, words } from '../support/story.ts'
import { temporaryDirectory } from '../support/tmp.ts'
import { hasPsql, startWorld } from '../support/world.ts'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const documentation = await readFile(join(root, 'docs', 'records.md'), 'utf8')
const blocks = [...documentation.matchAll(/^```(\w+) (\S+)\n([\s\S]*?)^```$/gm)].map(
  ([, language = '', name = '', text = '']) => ({ language, name, text }),
)

const people = [
  { id: 'alice', email: 'alice@example.com', name: 'Alice', groups: ['engineers'] },
  { id: 'bob', email: 'bob@example.com', name: 'Bob', groups: ['dba'] },
  { id: 'carol', email: 'carol@example.com', name: 'Carol', groups: ['security'] },
]
const sql = "create table accounts (id int primary key, state text); insert into accounts values (1, 'new')"

t.test('the example, from the first command to the last', { skip: hasPsql ? false : 'no psql' }, async t => {
  const policy = blocks.find(({ name }) => name === 'policy.yaml')?.text ?? ''
  await using directory = await temporaryDirectory('records')
  await using world = await startWorld({ policy, sql, oidc: { people }, relay: { more: 'operators: [security]' } })
  const commands = told(documentation)
  t.ok(commands.length >= 20)
  const known: Record<string, string> = {}
  const answers = new Map<string, string>()
  const running: Running[] = []
  for (const { person, line } of commands) {
    const cli = await world.person(person as 'alice' | 'bob' | 'carol')
    const [program, ...args] = words(line.replace(/\b(SESSION|LOCK)\b/g, name => known[name] ?? name))
    t.equal(program, 'gate')
    const started = cli.start(args, { cwd: directory.path })
    if (line.includes('pg_sleep') || line.includes('sessions watch')) {
      running.push(started)
      if (line.includes('watch')) await started.waitFor(/select pg_sleep/)
      else {
        // Its session is open once its statement is counted.
        for (let open = false; !open; ) {
          const found = JSON.parse((await cli.run('sessions', '--json')).stdout) as {
            endedMs: null
            commands: number
          }[]
          open = found.some(each => each.endedMs === null && each.commands === 1)
        }
      }
      continue
    }
    const done = await started.finished()
    t.equal(done.code, line.includes('drop table') ? 1 : 0, `${person}: ${line}: ${done.stdout}${done.stderr}`)
    answers.set(line, done.stdout + done.stderr)
    known['SESSION'] =
      /\bs_[a-z0-9]{12}\b/.exec(args[0] === 'sessions' ? done.stdout : '')?.[0] ?? known['SESSION'] ?? ''
    known['LOCK'] = /\bk_[a-z0-9]{12}\b/.exec(done.stdout)?.[0] ?? known['LOCK'] ?? ''
  }
  const [held, watched] = running
  t.match((await held?.finished())?.stderr, documentation.match(/`(FATAL: .*)`/)?.[1] ?? 'not in the document')
  t.match((await watched?.finished())?.stdout, /ended by bob@example\.com: it holds up the backup[\s\S]*ended/)
  const answer = (part: string): string => [...answers].find(([line]) => line.includes(part))?.[1] ?? ''
  t.equal(answer('--text').match(/s_[a-z0-9]{12}/g)?.length, 1)
  t.match(answer('--rule never'), /MIG-42\/2/)
  t.match(answer('show SESSION'), /✗ +1 {2}drop table accounts — refused by never/)
  const task = answer('sessions --task MIG-42')
  t.match(task, /✓ update accounts[\s\S]*→ UPDATE 1, 1 row[\s\S]*✗ drop table accounts\n +→ refused by never/)
  t.match(answer('--task MIG-42 --format markdown'), /^# Incident report: task MIG-42\n[\s\S]*### 2\./)
  t.match(answer('gate locks'), /user +alice@example\.com/)
  t.match(answer('replay'), /looked at by|pg_sleep/)
  const cast = await readFile(join(directory.path, 'session.cast'), 'utf8')
  t.match(JSON.parse(cast.split('\n')[0] ?? ''), { version: 2 })
  t.match(answer('--format jsonl'), /^\{"session":\{"id":"s_/)
})
