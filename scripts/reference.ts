// Prints the table of PostgreSQL's actions and facts for docs/postgres.md; with --write puts it there.
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { noFacts } from '@gate/relay/protocols/postgres/analysis/facts'
import { actionExamples, factExamples, otherActions, routineActions } from '@gate/relay/protocols/postgres/reference'

const code = (text: string): string => `\`${text.replaceAll('|', '\\|')}\``

function actions(): string {
  const names = new Set([...Object.keys(actionExamples), ...Object.keys(otherActions)])
  const rows = [...names].map(name => {
    const examples = (actionExamples[name] ?? []).map(code)
    const also = otherActions[name] === undefined ? [] : [otherActions[name]]
    const routine = routineActions.includes(name) ? ' (allowed unless a rule says otherwise)' : ''
    return `| ${code(name)} | ${[...examples, ...also].join('; ')}${routine} |`
  })
  return ['| `op.action` | statements, for example |', '| --- | --- |', ...rows].join('\n')
}

function typeOf(value: unknown): string {
  return Array.isArray(value) ? 'list of string' : typeof value === 'boolean' ? 'bool' : 'string'
}

function facts(): string {
  const rows = Object.entries(factExamples).map(
    ([name, { says, example, value }]) =>
      `| ${code(name)} | ${typeOf(noFacts[name as keyof typeof noFacts])} | ${says} | ${code(example)} → ${code(JSON.stringify(value))} |`,
  )
  return ['| fact | type | what it says | for example |', '| --- | --- | --- | --- |', ...rows].join('\n')
}

export function reference(): string {
  return `${actions()}\n\n${facts()}`
}

export const marks = /<!-- reference -->[\s\S]*<!-- \/reference -->/

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const file = fileURLToPath(new URL('../../docs/postgres.md', import.meta.url))
  const block = `<!-- reference -->\n${reference()}\n<!-- /reference -->`
  if (process.argv.includes('--write'))
    writeFileSync(
      file,
      readFileSync(file, 'utf8').replace(marks, () => block),
    )
  else process.stdout.write(`${reference()}\n`)
}
