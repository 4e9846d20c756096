// Where the agent's secrets come from; what goes wrong is named by its place, never by its content.

import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readSecret } from '@gate/agent/secret'
import t from 'tap'
import { temporaryDirectory } from '../support/tmp.ts'

const isRoot = process.getuid?.() === 0
const MAXIMUM = 64 * 1024

/** Everything of an error that a log or a person could see. */
async function failure(source: Parameters<typeof readSecret>[0]): Promise<{ code?: string; text: string }> {
  try {
    return { text: `READ ${(await readSecret(source)).length}` }
  } catch (thrown) {
    return { code: (thrown as { code: string }).code, text: JSON.stringify(thrown) + String(thrown) }
  }
}

t.test('a file', async t => {
  await using directory = await temporaryDirectory('secret')
  const file = join(directory.path, 'password')

  await t.test('is the secret, without the newline that editors add', async t => {
    for (const [text, secret] of [
      ['hunter2', 'hunter2'],
      ['hunter2\n', 'hunter2'],
      ['hunter2\r\n', 'hunter2'],
      [' é😀 \n\n', ' é😀 \n'],
      ['\n', ''],
      ['', ''],
      ['a\nb', 'a\nb'],
    ]) {
      await writeFile(file, text ?? '')
      t.equal(await readSecret({ file }), secret)
    }
    await writeFile(file, 'x'.repeat(MAXIMUM))
    t.equal((await readSecret({ file })).length, MAXIMUM)
  })

  await t.test('is read anew each time, so that it can be rotated', async t => {
    for (const text of ['first', 'second']) {
      await writeFile(file, text)
      t.equal(await readSecret({ file }), text)
    }
  })

  await t.test('that is missing, a directory or far too long is an error', async t => {
    await writeFile(file, 'x'.repeat(MAXIMUM + 1))
    for (const wrong of [file, join(directory.path, 'none'), directory.path, '/dev/zero']) {
      const { code, text } = await failure({ file: wrong })
      t.equal(code, 'ERR_GATE_TARGET_LOGIN', wrong)
      t.notMatch(text, /xxx/)
    }
  })

  await t.test(
    'that we may not read is an error',
    { skip: isRoot ? 'NOT TESTED: root may read everything' : false },
    async t => {
      await chmod(file, 0)
      t.equal((await failure({ file })).code, 'ERR_GATE_TARGET_LOGIN')
    },
  )
})

t.test('an environment variable is the secret as it is', async t => {
  process.env['GATE_TEST_SECRET'] = ' hunter2\n'
  t.equal(await readSecret({ environment: 'GATE_TEST_SECRET' }), ' hunter2\n')
  delete process.env['GATE_TEST_SECRET']
  t.match(await failure({ environment: 'GATE_TEST_SECRET' }), {
    code: 'ERR_GATE_TARGET_LOGIN',
    text: /environment variable/,
  })
})

t.test('a command', async t => {
  const script = (text: string) => readSecret({ command: [process.execPath, '-e', text] })

  await t.test('prints the secret, and is no shell', async t => {
    t.equal(await script('console.log("hunter2")'), 'hunter2')
    t.equal(await script('process.stdout.write("é😀")'), 'é😀')
    t.equal(await readSecret({ command: ['echo', '$HOME; id'] }), '$HOME; id')
  })

  await t.test('that fails, says nothing of itself, or too much, is an error without a word of it', async t => {
    const wrong = [
      [process.execPath, '-e', 'console.log("hunter2"); console.error("hunter2"); process.exit(1)'],
      [process.execPath, '-e', 'process.stdout.write("hunter2".repeat(20_000))'],
      ['/no/such/program', 'hunter2'],
      [''],
    ]
    for (const command of wrong) {
      const { code, text } = await failure({ command })
      t.equal(code, 'ERR_GATE_TARGET_LOGIN')
      t.notMatch(text, 'hunter2')
      t.match(text, 'the password command of the target cannot be read')
    }
  })
})
