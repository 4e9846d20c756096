// Completion in a real bash, with a gate that only says which words it was given.
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { runInProcess } from '../support/in-process.ts'
import { run } from '../support/process.ts'
import { temporaryDirectory } from '../support/tmp.ts'

const directory = await temporaryDirectory('completion')
t.teardown(() => directory[Symbol.asyncDispose]())

/** What bash offers for the words, the last of which is being typed; what it says on standard error is an error. */
async function offered(words: readonly string[], before = ''): Promise<string> {
  const script = join(directory.path, 'gate.bash')
  await writeFile(script, (await runInProcess(directory.path, ['complete', 'bash'])).stdout)
  const bin = join(directory.path, 'bin')
  await mkdir(bin, { recursive: true })
  await writeFile(
    join(bin, 'gate'),
    '#!/bin/sh\nprintf "%s\\n" "$@" > "$SEEN"\nprintf "prod-db\\tpostgres\\nprod-two\\tpostgres\\n\\$(touch evil)\\tx\\n:4\\n"\n',
  )
  await chmod(join(bin, 'gate'), 0o755)
  const done = await run(
    'bash',
    [
      '--norc',
      '-euc',
      `source ${script}; source ${script}; ${before}
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _gate_complete; printf '%s\\n' "\${COMPREPLY[@]+"\${COMPREPLY[@]}"}"`,
      'bash',
      ...words,
    ],
    { cwd: directory.path, env: { PATH: `${bin}:${process.env['PATH']}`, SEEN: join(directory.path, 'seen') } },
  )
  t.equal(done.stderr, '', 'sourced twice without a word')
  t.equal(done.code, 0)
  return done.stdout
}

t.test('names that begin as what is typed are offered, without what is said of them', async t => {
  t.equal(await offered(['gate', 'connect', 'prod-t']), 'prod-two\n')
  t.equal(await offered(['gate', 'connect', '']), 'prod-db\nprod-two\n$(touch evil)\n')
  t.equal(await offered(['gate', 'connect', 'x']), '\n')
})

t.test('nothing that is typed or offered is run', async t => {
  const { readdir, readFile } = await import('node:fs/promises')
  await offered(['gate', '$(touch evil)', '`touch evil`', 'a b', ''])
  t.equal(await readFile(join(directory.path, 'seen'), 'utf8'), 'complete\n--\n$(touch evil)\n`touch evil`\na b\n\n')
  t.notOk((await readdir(directory.path)).includes('evil'))
})

t.test('behind -- stands the command line of another program', async t => {
  t.equal(await offered(['gate', 'connect', 'prod-db', '--', 'p'], 'compopt() { echo "$@"; };'), '-o default\n\n')
})

t.test('the other shells have theirs', async t => {
  const { code, stderr } = await runInProcess(directory.path, ['complete', 'csh'])
  t.equal(code, 2)
  t.match(stderr, /^gate: .*'csh' is invalid/)
})
