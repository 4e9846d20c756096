// Prints how large the files and functions of each folder are: a report to look at, not a gate. `npm run measure`.
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const root = fileURLToPath(new URL('../..', import.meta.url))
const folders = ['shared', 'relay', 'agent', 'cli', 'scripts', 'test']
const LONG_FILE_LINES = 300
const LONG_FUNCTION_LINES = 60

interface Long {
  readonly where: string
  readonly lines: number
}

function* sources(directory: string): Generator<string> {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) {
      if (!['dist', 'node_modules'].includes(entry.name)) yield* sources(path)
    } else if (/\.tsx?$/.test(entry.name)) yield path
  }
}

/** Lines of each function, arrow functions included; those inside others count in both. */
function functions(file: string, text: string): Long[] {
  const tree = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)
  const found: Long[] = []
  const line = (at: number): number => tree.getLineAndCharacterOfPosition(at).line
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node) && 'body' in node && node.body !== undefined) {
      const start = line(node.getStart())
      found.push({ where: `${relative(root, file)}:${start + 1}`, lines: line(node.end) - start + 1 })
    }
    ts.forEachChild(node, visit)
  }
  visit(tree)
  return found
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}

function spread(values: readonly number[]): string {
  return [quantile(values, 0.5), quantile(values, 0.9), Math.max(0, ...values)].join(' / ')
}

const long: Long[] = []
process.stdout.write('folder     files   lines   file median / p90 / max   function median / p90 / max\n')
for (const folder of folders) {
  const files = [...sources(join(root, folder))].map(path => ({ path, text: readFileSync(path, 'utf8') }))
  const lines = files.map(({ text }) => text.split('\n').length - 1)
  const all = files.flatMap(({ path, text }) => functions(path, text))
  // Tests are lists of cases: their functions are as long as the lists.
  if (folder !== 'test') long.push(...all.filter(each => each.lines > LONG_FUNCTION_LINES))
  for (const [index, { path }] of files.entries()) {
    const count = lines[index] ?? 0
    if (count > LONG_FILE_LINES) long.push({ where: relative(root, path), lines: count })
  }
  const total = lines.reduce((sum, count) => sum + count, 0)
  process.stdout.write(
    `${folder.padEnd(10)} ${String(files.length).padStart(5)} ${String(total).padStart(7)}   ${spread(lines).padEnd(23)}   ${spread(all.map(each => each.lines))}\n`,
  )
}
process.stdout.write(`\nfiles over ${LONG_FILE_LINES} lines and functions over ${LONG_FUNCTION_LINES}:\n`)
for (const { where, lines } of long.toSorted((a, b) => b.lines - a.lines))
  process.stdout.write(`${String(lines).padStart(6)}  ${where}\n`)
