// An incident report in Markdown: sessions and their steps. What people wrote stays text, whatever it looks like. Pure.
import type { SessionView } from './session-view.ts'
import { nameOf } from './session-view.ts'
import { result, type Step } from './steps.ts'
import { printable } from './text.ts'
import { utc } from './when.ts'

/** Text inside a line of Markdown: no character in it means anything. */
function inline(text: string): string {
  return printable(text)
    .replace(/\s+/g, ' ')
    .replace(/[\\`*_[\]<>|~]/g, '\\$&')
}

/** A code block with a fence that is longer than any in the text. */
function code(text: string): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([run]) => run.length))
  const fence = '`'.repeat(longest + 1)
  return `${fence}sql\n${printable(text)}\n${fence}`
}

const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`

/** The report of the sessions, which have these steps in the order of time. */
export function report(
  title: string,
  sessions: readonly SessionView[],
  steps: readonly Step[],
  writtenMs: number,
): string {
  const people = [...new Set(sessions.map(({ subject }) => nameOf(subject)))]
  const targets = [...new Set(sessions.map(({ target }) => target))]
  const starts = sessions.map(({ startedMs }) => startedMs)
  const ends = sessions.map(({ endedMs }) => endedMs)
  const until = ends.includes(null) ? 'still open' : utc(Math.max(...ends.map(end => end ?? 0)))
  const refused = steps.filter(({ effect }) => effect === 'deny').length
  const asked = steps.filter(({ request }) => request !== undefined).length
  const failed = steps.filter(step => step.failed).length
  const facts = [
    ['Time', `${utc(Math.min(...starts))} to ${until}`],
    ['People', people.map(inline).join(', ')],
    ['Targets', targets.map(inline).join(', ')],
    ['Statements', `${steps.length}: ${refused} refused, ${asked} asked people about, ${failed} failed at the target`],
    ['Report written', utc(writtenMs)],
  ]
  return [
    `# ${inline(title)}`,
    '',
    row(['', '']),
    '| --- | --- |',
    ...facts.map(row),
    '',
    '## Sessions',
    '',
    row(['Session', 'Who', 'Target', 'Task', 'Reason', 'From', 'To', 'End']),
    '| --- | --- | --- | --- | --- | --- | --- | --- |',
    ...sessions.map(sessionRow),
    '',
    '## What was done',
    '',
    ...steps.flatMap((step, index) => stepLines(step, index + 1)),
  ].join('\n')
}

function sessionRow({ id, subject, target, task, reason, startedMs, endedMs, endCode }: SessionView): string {
  const end = endedMs === null ? 'still open' : utc(endedMs)
  return row([
    id,
    inline(nameOf(subject)),
    inline(target),
    inline(task ?? ''),
    inline(reason ?? ''),
    utc(startedMs),
    end,
    inline(endCode ?? ''),
  ])
}

function stepLines(step: Step, number: number): string[] {
  const task = step.task === null ? '' : `, ${inline(step.task)}`
  const values = step.values === '' ? [] : [`Values: ${inline(step.values)}`, '']
  return [
    `### ${number}. ${utc(step.timeMs)}, ${inline(step.target)}, ${inline(step.who)}${task}`,
    '',
    code(step.text),
    '',
    ...values,
    `${inline(step.effect === 'allow' ? `Allowed by ${step.rule}` : step.effect === 'hold' ? `Held by ${step.rule}` : 'Not run')}: ${inline(result(step)).replace(/\.$/, '')}.`,
    '',
  ]
}
