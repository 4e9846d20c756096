// The rules of who may import whom hold, and breaking one is noticed.
import { cp, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { run } from './support/process.ts'
import { temporaryDirectory } from './support/tmp.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const depcruise = join(root, 'node_modules', '.bin', 'depcruise')

t.test('the sources keep every rule', async t => {
  const checked = await run(
    depcruise,
    ['--config', 'scripts/imports.cjs', 'shared', 'relay', 'agent', 'cli', 'test', 'scripts'],
    { cwd: root },
  )
  t.equal(checked.code, 0, checked.stdout)
})

t.test('a room that reaches for the recorder, and a CLI that imports the relay, are errors', async t => {
  await using directory = await temporaryDirectory('imports')
  const at = (...parts: string[]): string => join(directory.path, ...parts)
  const write = async (path: string, text: string): Promise<void> => {
    await mkdir(join(at(path), '..'), { recursive: true })
    await writeFile(at(path), text)
  }
  for (const file of ['tsconfig.json', 'relay/package.json', 'cli/package.json']) {
    await mkdir(join(at(file), '..'), { recursive: true })
    await cp(join(root, file), at(file))
  }
  await write('relay/record/recorder.ts', 'export const recorder = 1\n')
  await write('relay/dist/record/recorder.js', 'export const recorder = 1\n')
  await write(
    'relay/protocols/postgres/room.ts',
    "import { recorder } from '../../record/recorder.ts'\nexport const room = recorder\n",
  )
  await write('relay/policy/rules.ts', "import { readFileSync } from 'node:fs'\nexport const rules = readFileSync\n")
  await write('cli/thing.ts', "import { recorder } from '@gate/relay/record/recorder'\nexport const thing = recorder\n")
  await mkdir(at('node_modules', '@gate'), { recursive: true })
  await symlink(at('relay'), at('node_modules', '@gate', 'relay'))
  await symlink(join(root, 'node_modules', 'typescript'), at('node_modules', 'typescript'))
  const checked = await run(depcruise, ['--config', join(root, 'scripts', 'imports.cjs'), 'relay', 'cli'], {
    cwd: directory.path,
  })
  t.not(checked.code, 0)
  for (const broken of [
    'rooms-reach-policy-and-record-through-the-gate',
    'cli-knows-no-other-part',
    'pure-files-do-no-io',
  ]) {
    t.match(checked.stdout, broken)
  }
})

// TypeScript 5.9 leaves the extension of import() as it is in functions with `await using`; node then finds no such file.
t.test('no compiled file imports a source file', async t => {
  for (const folder of ['shared', 'relay', 'agent', 'cli', 'test', 'scripts']) {
    const dist = join(root, folder, 'dist')
    const all = await readdir(dist, { recursive: true })
    // esbuild resolved what is imported in a bundle, or failed.
    const names = all.filter(name => name.endsWith('.js') && name !== 'imports.test.js' && !name.startsWith('bundle/'))
    t.ok(names.length > 0)
    for (const name of names)
      t.notMatch(
        await readFile(join(dist, name), 'utf8'),
        /(?:from|import\() *['"][^'"]+\.tsx?['"]/,
        `${folder}/${name}`,
      )
  }
})
