// An approval request in words: what lists and details show of it, with nothing in it that could deceive.
import { counted } from '@gate/shared/counted'
import { formatDuration } from '@gate/shared/duration'
import type { RequestDetail, RequestView } from './request-view.ts'
import { oneLine, printable, span } from './text.ts'
import { utc } from './when.ts'

/** What is known of a request, in the order in which it matters. */
export function factsOf(request: RequestDetail): [string, string][] {
  const { subject, grantMs, grantMaxMs, estimate, rows } = request
  const context = Object.entries(request.context).map(([name, value]) => `${name} ${value}`)
  const facts: [string, string | undefined][] = [
    ['who', `${printable(subject.email ?? subject.id)} (${printable(subject.groups.join(', '))})`],
    ['target', printable([`${request.target} (${request.protocol})`, ...context].join(', '))],
    ['task', request.task === undefined ? undefined : oneLine(request.task, 200)],
    ['reason', request.reason === undefined ? undefined : oneLine(request.reason, 1000)],
    [
      'does',
      request.kind === 'grant'
        ? `asks to pass ${request.rule} for ${formatDuration(grantMs ?? 0)}`
        : `${request.action} ${printable(request.resources.map(({ name }) => name).join(', '))}`,
    ],
    ['rows', rows === undefined ? undefined : writtenRows(rows)],
    [
      'expects',
      estimate === undefined ? undefined : `${counted(estimate.rows, 'row')} (${oneLine(estimate.detail, 300)})`,
    ],
    ['rule', `${request.rule}: needs ${request.approvers}`],
    ['grants', grantMaxMs === undefined ? undefined : `up to ${formatDuration(grantMaxMs)} (--for)`],
    ['until', `${utc(request.expiresMs)} (${span(request.expiresMs - request.nowMs)})`],
    ['state', request.state === 'waiting' ? undefined : request.state],
    ['said', said(request)],
  ]
  return facts.flatMap(([label, value]) => (value === undefined ? [] : [[label, value] as [string, string]]))
}

function said({ decisions }: RequestDetail): string | undefined {
  if (decisions.length === 0) return undefined
  return decisions
    .map(({ by, verdict, reason }) => {
      const who = printable(by.email ?? by.id)
      return `${verdict} by ${who}${reason === undefined ? '' : ` (${oneLine(reason, 200)})`}`
    })
    .join(', ')
}

/** The people whose word ended a request, with their reasons; undefined when nobody's did. */
export function saidBy({ state, decisions }: RequestDetail): string | undefined {
  const verdict = state === 'denied' ? 'deny' : 'approve'
  const ended = decisions.filter(decision => decision.verdict === verdict)
  if (ended.length === 0) return undefined
  return ended
    .map(({ by, reason }) => `${nameOf(by)}${reason === undefined ? '' : ` (${oneLine(reason, 200)})`}`)
    .join(', ')
}

const nameOf = ({ id, email }: RequestDetail['decisions'][number]['by']): string => oneLine(email ?? id, 60)

/** What the same person did before in the same session. */
export function earlier({ history }: RequestDetail): string[] {
  const marks = { allow: '✓', deny: '✗', hold: '…' }
  return history.map(({ command, effect, text, status }) => {
    const end = status === undefined ? '' : ` → ${printable(status)}`
    return `  ${String(command).padStart(4)} ${marks[effect]} ${oneLine(text, 100)}${end}`
  })
}

/** Whoever decides over written rows holds up everybody who wants to change them. */
export function writtenRows(rows: number): string {
  return `${rows} written and not committed: they stay locked until you decide`
}

/** What a list shows of a request. */
export function headline(request: RequestView): string {
  if (request.kind === 'command') return request.text
  return `grant: ${request.rule} for ${formatDuration(request.grantMs ?? 0)}`
}

/** A bound value, with the type that the client declared for it. */
export function boundValue(value: RequestView['parameters'][number], index: number): string {
  const text = value.text === null ? 'NULL' : `'${printable(value.text)}'`
  return `$${index + 1} = ${text}${value.type === undefined ? '' : `::${printable(value.type)}`}${cutValue(value)}`
}

/** How much of a long value is not shown. */
function cutValue({ text, bytes, format }: RequestView['parameters'][number]): string {
  if (text === null || format !== 'text' || Buffer.byteLength(text) >= bytes) return ''
  return ` … (${counted(bytes, 'byte')})`
}
