// Runs test files with tap, as many at a time as the processor has room for, and says of each how it went; the whole TAP goes to
// stdout.
// Plain JavaScript, and not `tap run`: its loaders, for mocks and coverage that nothing here uses, cost each file as much again.
import { readdirSync, readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { basename, dirname, join, relative } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { root } from './prepare.mjs'

const MIN_JOBS = 2
/** While there is time to spare: many files wait for what takes seconds by its nature, such as a login that ends. */
const MAX_JOBS = 4
const SPARE = 0.3
const MEASURED_MS = 2000
const TIMEOUT_MS = Number(process.env.TAP_TIMEOUT ?? 900) * 1000
/** Of a failed file's output: enough to see why. */
const MAX_SHOWN_LINES = 200

const compiled = join(root, 'test', 'dist')
const batch = join(root, 'scripts', 'batch.mjs')
const properties = pathToFileURL(join(root, 'scripts', 'properties.mjs')).href
const nameOf = file => relative(compiled, file).replace(/\.test\.js$/, '')

/** What starts processes of its own has one to itself. */
const ALONE = /^(?:e2e|examples)\b/
const MAX_BATCH = 8

/** All test files, as they share processes: those of one folder together. */
function every() {
  const files = readdirSync(compiled, { recursive: true }).filter(name => name.endsWith('.test.js'))
  const batches = []
  for (const file of files.sort().map(name => join(compiled, name))) {
    const last = batches.at(-1)
    const isOfLast = last !== undefined && dirname(last[0]) === dirname(file) && last.length < MAX_BATCH
    if (isOfLast && !ALONE.test(nameOf(file))) last.push(file)
    else batches.push([file])
  }
  return batches
}

/** The assertions that failed, each with what tap says of it. */
function failures(output) {
  const shown = []
  let indent
  for (const line of output.split('\n')) {
    const failed = /^( *)not ok /.exec(line)
    if (failed !== null) indent = failed[1]
    if (indent !== undefined) shown.push(line)
    if (failed === null && line === `${indent}  ...`) indent = undefined
  }
  return shown.slice(0, MAX_SHOWN_LINES)
}

const outputs = new Map()
t.on('spawn', suite =>
  suite.on('process', child => {
    const chunks = []
    outputs.set(suite.name, { suite, chunks, startedMs: performance.now() })
    child.stdout.on('data', chunk => chunks.push(chunk))
  }),
)

function report(name, ok) {
  const { suite, chunks, startedMs } = outputs.get(name)
  const text = Buffer.concat(chunks).toString()
  const { pass, fail, skip } = suite.counts
  const counts = [
    `${pass} passed`,
    ...(fail > 0 ? [`${fail} failed`] : []),
    ...(skip > 0 ? [`${skip} skipped`] : []),
  ].join(', ')
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1)
  process.stderr.write(`${ok ? '    ok' : 'NOT OK'} ${name}: ${counts}, ${seconds} s\n`)
  if (!ok) process.stderr.write(`${failures(text).join('\n')}\n`)
  outputs.delete(name)
}

function add(files) {
  const [first, ...others] = files
  const name = [nameOf(first), ...others.map(file => basename(nameOf(file)))].join(' ')
  const isRandom = files.some(file => readFileSync(file, 'utf8').includes("'fast-check'"))
  const args = [
    '--enable-source-maps',
    ...(isRandom ? ['--import', properties] : []),
    ...(others.length === 0 ? [first] : [batch, ...files]),
  ]
  return t
    .spawn(process.execPath, args, { timeout: TIMEOUT_MS, buffered: true }, name)
    .then(({ ok }) => report(name, ok))
}

function timesMs() {
  const all = cpus().map(({ times }) => times)
  const sum = values => values.reduce((total, value) => total + value, 0)
  return { idle: sum(all.map(({ idle }) => idle)), all: sum(all.flatMap(times => Object.values(times))) }
}

/** What part of all processors' time is idle from now on, for a moment. */
async function spare() {
  const before = timesMs()
  await wait(MEASURED_MS)
  const after = timesMs()
  return (after.idle - before.idle) / (after.all - before.all)
}

const running = new Set()

/** Resolves when another file may start. */
async function room() {
  while (running.size >= MAX_JOBS) await Promise.race(running)
  while (running.size >= MIN_JOBS) {
    const measured = spare().then(part => part >= SPARE)
    const ended = Promise.race(running).then(() => false)
    if (await Promise.race([measured, ended])) return
  }
}

t.jobs = MAX_JOBS
t.setTimeout(0)
const chosen = process.argv.slice(2)
for (const files of chosen.length > 0 ? chosen.map(file => [file]) : every()) {
  await room()
  const file = add(files).finally(() => running.delete(file))
  running.add(file)
}
