// Prints what the documents show of the code: PostgreSQL's actions and facts, the states of a request; with --write puts it there.
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { stateDiagram } from '@gate/relay/approval/states'
import { vocabulary } from '@gate/relay/protocols/http/operation'
import * as http from '@gate/relay/protocols/http/reference'
import { noFacts } from '@gate/relay/protocols/postgres/analysis/facts'
import { actionExamples, factExamples, otherActions, routineActions } from '@gate/relay/protocols/postgres/reference'
import { EVENT_VERSION, eventBody } from '@gate/relay/record/events'
import * as z from 'zod'

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

function httpRequest({ method = 'GET', target, headers = {}, body }: http.Example): string {
  const shown = Object.entries(headers).filter(([name]) => name !== 'content-type')
  return [`${method} ${target}`, ...shown.map(([name, value]) => `${name}: ${value}`), body ?? '']
    .filter(Boolean)
    .join(' ')
}

function httpReference(): string {
  const actionRows = Object.entries(http.actions).map(
    ([name, says]) => `| ${name.split(', ').map(code).join(', ').replace('`…`', '…')} | ${says} |`,
  )
  const factRows = Object.entries(http.factExamples).map(([name, { says, example, value }]) => {
    const type = vocabulary[name as keyof typeof vocabulary].replace('list<string>', 'list of string')
    return `| ${code(name)} | ${type} | ${says} | ${code(httpRequest(example))} → ${code(JSON.stringify(value))} |`
  })
  return [
    ['| `op.action` | what it is |', '| --- | --- |', ...actionRows].join('\n'),
    ['| fact | type | what it says | for example |', '| --- | --- | --- | --- |', ...factRows].join('\n'),
  ].join('\n\n')
}

/** The blocks that the code makes, by their mark in the document. */
const blocks = {
  reference: { file: 'docs/postgres.md', text: () => `${actions()}\n\n${facts()}` },
  http: { file: 'docs/http.md', text: httpReference },
  states: { file: 'docs/approvals.md', text: () => `\`\`\`mermaid\n${stateDiagram()}\n\`\`\`` },
}

for (const [mark, { file, text }] of Object.entries(blocks)) {
  const block = `<!-- ${mark} -->\n${text()}\n<!-- /${mark} -->`
  const path = fileURLToPath(new URL(`../../${file}`, import.meta.url))
  if (process.argv.includes('--write')) {
    const marked = new RegExp(`<!-- ${mark} -->[\\s\\S]*<!-- /${mark} -->`)
    writeFileSync(
      path,
      readFileSync(path, 'utf8').replace(marked, () => block),
    )
  } else process.stdout.write(`${block}\n`)
}

/** Beside the documents: the form of a recorded event. */
if (process.argv.includes('--write')) {
  const schema = { title: `An event of gate's record, version ${EVENT_VERSION}`, ...z.toJSONSchema(eventBody) }
  const path = fileURLToPath(new URL('../../docs/event.schema.json', import.meta.url))
  writeFileSync(path, `${JSON.stringify(schema, undefined, 2)}\n`)
}
