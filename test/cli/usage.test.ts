// The command line itself: its mistakes are said as everything else is, and its help has examples that hold.
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createProgram } from '@gate/cli/program'
import type { Command } from 'commander'
import t from 'tap'
import { appOf, runInProcess } from '../support/in-process.ts'

const home = mkdtempSync(join(tmpdir(), 'gate-usage-'))
const gate = (...args: string[]): ReturnType<typeof runInProcess> => runInProcess(home, args)

t.test('what the parser does not understand is said by gate, with the next step', async t => {
  for (const [args, message] of [
    [['frob'], "unknown command 'frob'"],
    [['login', '--bogus'], "unknown option '--bogus'"],
    [['login', '--relay'], "option '--relay <url>' argument missing"],
    [['connect'], "missing required argument 'target'"],
    [['request', 'prod-db'], "required option '--rule <name>' not specified"],
  ] as const) {
    const plain = await gate(...args)
    t.equal(plain.code, 2)
    t.equal(plain.stdout, '')
    t.equal(plain.stderr.split('\n')[0], `gate: ${message}`)
    t.match(plain.stderr, /\n {2}gate --help shows what there is/)
  }
  t.match((await gate('session')).stderr, /^gate: unknown command 'session'\n {2}\(Did you mean sessions\?\)\n/)
  const json = await gate('deny', '--json', '--bogus')
  t.equal(json.code, 2)
  t.match(JSON.parse(json.stderr), { error: { code: 'ERR_GATE_USAGE', message: "unknown option '--bogus'" } })
})

t.test('a limit that is none is said before anybody is asked', async t => {
  for (const limit of ['abc', '0', '-1', '1001', '1e2'])
    t.match(await gate('sessions', `--limit=${limit}`), {
      code: 2,
      stderr: `--limit: expected 1 to 1000, got "${limit}"`,
    })
  t.match(await gate('sessions', '--limit=1000'), { code: 3 }, 'nobody is logged in')
})

t.test('help is shown where it is asked for, and where a command is missing', async t => {
  const asked = await gate('--help')
  t.match(asked, { code: 0, stderr: '', stdout: /^Usage: gate / })
  for (const [args, usage] of [
    [[], 'Usage: gate '],
    [['audit'], 'Usage: gate audit '],
  ] as const) {
    const missing = await gate(...args)
    t.match(missing, { code: 2, stdout: '' })
    t.ok(missing.stderr.startsWith(usage))
  }
})

/** The command that words lead to, and the words that are left. */
function find(program: Command, words: readonly string[]): { command: Command; rest: readonly string[] } {
  const [word, ...rest] = words
  const next = program.commands.find(each => each.name() === word)
  return next === undefined ? { command: program, rest: words } : find(next, rest)
}

/** A command line in words, as a shell takes it apart: quotes, and no more. */
function wordsOf(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '')
}

t.test('the help of every command has an example that uses that command, and options that it has', async t => {
  const app = appOf(
    home,
    () => {},
    () => {},
  )
  const program = createProgram(app, [], () => {})
  const commands = (command: Command, path: readonly string[]): (readonly string[])[] => [
    path,
    ...command.commands.flatMap(each => commands(each, [...path, each.name()])),
  ]
  const paths = commands(program, []).filter(([name = '']) => !['help', 'relay', 'agent'].includes(name))
  t.ok(paths.length > 30)
  for (const path of paths) {
    const { code, stdout } = await gate(...path, '--help')
    t.equal(code, 0)
    t.match(stdout, /\nExit codes: 0 done/)
    const [, block = ''] = /\nExamples?:\n((?: {2}.*\n)+)/.exec(stdout) ?? []
    t.not(block, '', `an example of gate ${path.join(' ')}`)
    const line = new RegExp(`\\bgate ${path.join(' ')}`)
    for (const example of block.trimEnd().split('\n')) {
      t.match(example, line)
      const [own = ''] = example.split(/ -- | \| |[()]\s*$/)
      const { command, rest } = find(program, wordsOf(own.replace(/^.*?\bgate ?/, '')))
      for (const word of rest.filter(each => each.startsWith('--')))
        t.ok(
          command.options.some(option => option.long === word || option.negate === true),
          `${word} of ${example}`,
        )
    }
  }
})
