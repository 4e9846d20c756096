// Prints the house as a tree, from the first line of each file; with --write puts it into the README.
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
/** In the order a byte travels. */
const folders = ['cli', 'shared', 'relay', 'agent', 'scripts', 'test']
const order = [
  'ingress',
  'session',
  'protocols',
  'policy',
  'approval',
  'mask',
  'record',
  'egress',
  'identity',
  'store',
  'admin',
]
const skipped = new Set(['dist', 'node_modules', 'bin'])
const COLUMN = 34

/** The file's own first sentence, without the comment's marks. */
function purpose(path: string): string {
  const line =
    readFileSync(path, 'utf8')
      .split('\n')
      .find(text => text.startsWith('//') || text.startsWith('# ')) ?? ''
  return line.replace(/^(\/\/|#)\s*/, '')
}

function rank(name: string): number {
  const at = order.indexOf(name)
  return at === -1 ? order.length : at
}

function lines(directory: string, depth: number): string[] {
  const names = readdirSync(directory).filter(name => !skipped.has(name))
  const isFolder = (name: string): boolean => statSync(join(directory, name)).isDirectory()
  const files = names.filter(name => !isFolder(name) && /\.(ts|tsx|mjs|cjs)$/.test(name) && name !== 'index.ts')
  const index = names.includes('index.ts') ? ['index.ts'] : []
  const inside = names.filter(isFolder).sort((a, b) => rank(a) - rank(b) || a.localeCompare(b))
  return [
    ...[...index, ...files.sort()].map(
      name => `${`${'  '.repeat(depth)}${name}`.padEnd(COLUMN)} ${purpose(join(directory, name))}`,
    ),
    ...inside.flatMap(name => [`${'  '.repeat(depth)}${name}/`, ...lines(join(directory, name), depth + 1)]),
  ]
}

/** Tests are named after what they test, and demo and benchmark explain themselves: their folders are enough. */
function folder(name: string): string[] {
  const all = lines(join(root, name), 1)
  return [
    `${name}/`,
    ...(name === 'test' || name === 'scripts' ? all.filter(line => !/^ {4,}\S+\.ts/.test(line)) : all),
  ]
}

export function tree(): string {
  return `\`\`\`\n${folders.flatMap(folder).join('\n')}\n\`\`\``
}

export const marks = /<!-- tree -->[\s\S]*<!-- \/tree -->/

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const readme = join(root, 'README.md')
  const block = `<!-- tree -->\n${tree()}\n<!-- /tree -->`
  if (process.argv.includes('--write'))
    writeFileSync(
      readme,
      readFileSync(readme, 'utf8').replace(marks, () => block),
    )
  else process.stdout.write(`${tree()}\n`)
}
