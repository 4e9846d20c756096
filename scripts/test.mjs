// Installs, builds, lints and tests; the last line says how many assertions passed and failed.
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { prepare, root } from './prepare.mjs'

const bin = name => join(root, 'node_modules', '.bin', name)

/** For the longest file on a busy machine. */
const TEST_TIMEOUT_S = 900

function summary(passed, failed) {
  process.stdout.write(`${passed} passed, ${failed} failed\n`)
  process.exitCode = failed === 0 ? 0 : 1
}

function step(name, program, args, { env = {}, stdout = 'inherit' } = {}) {
  process.stderr.write(`${name} …\n`)
  return (
    spawnSync(program, args, { cwd: root, stdio: ['ignore', stdout, 'inherit'], env: { ...process.env, ...env } })
      .status === 0
  )
}

/** The embedded store's empty cluster, made once; relays under test start from a copy. */
async function makeSeed(directory) {
  const load = path => import(pathToFileURL(join(root, path)).href)
  const { openStore } = await load('relay/dist/store/store.js')
  const { systemClock } = await load('shared/dist/clock.js')
  const { silentLog } = await load('shared/dist/log.js')
  const store = await openStore({ kind: 'embedded', directory }, systemClock, silentLog)
  await store[Symbol.asyncDispose]()
}

/** tap ends its output with `# { total: 5, pass: 3, … }`; `fail` is there only when something failed. */
function count(file, key) {
  try {
    const totals = [...readFileSync(file, 'utf8').matchAll(/^# \{ (.*) \}$/gm)].at(-1)?.[1] ?? ''
    return Number(new RegExp(`\\b${key}: (\\d+)`).exec(totals)?.[1] ?? 0)
  } catch {
    return 0
  }
}

/** Where random tests begin: elsewhere with each commit, and at the same place each time that one commit is tested. */
function propertySeed() {
  const { stdout, status } = spawnSync('git', ['rev-parse', 'HEAD'], { cwd: root, encoding: 'utf8' })
  return status === 0 ? String(Number.parseInt(stdout.slice(0, 7), 16)) : '1'
}

await prepare()
const lints = [
  step('lint', bin('biome'), ['ci', '--error-on-warnings', '.']),
  step('imports', bin('depcruise'), [
    '--config',
    'scripts/imports.cjs',
    'shared',
    'relay',
    'agent',
    'cli',
    'test',
    'scripts',
  ]),
]
const temporary = mkdtempSync(join(tmpdir(), 'gate-test-'))
try {
  const seed = join(temporary, 'seed')
  await makeSeed(seed)
  const clusters = join(temporary, 'clusters')
  mkdirSync(clusters, { mode: 0o700 })
  writeFileSync(join(clusters, 'password'), randomBytes(16).toString('hex'), { mode: 0o600 })
  const output = join(temporary, 'output.tap')
  const suites = [join(root, 'scripts', 'suites.mjs'), ...process.argv.slice(2).map(file => resolve(file))]
  const passed = step('test', process.execPath, suites, {
    stdout: openSync(output, 'w'),
    env: {
      GATE_TEST_SEED: seed,
      GATE_TEST_CLUSTERS: clusters,
      GATE_PROPERTY_SEED: process.env.GATE_PROPERTY_SEED ?? propertySeed(),
      TMPDIR: process.env.TMPDIR ?? '/tmp',
      TAP_TIMEOUT: String(TEST_TIMEOUT_S),
    },
  })
  const failed = count(output, 'fail') + lints.filter(good => !good).length
  // A file that dies without a failed assertion still makes tap fail.
  summary(count(output, 'pass'), passed || failed > 0 ? failed : 1)
} finally {
  rmSync(temporary, { recursive: true, force: true })
}
