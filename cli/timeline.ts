// The events of a session as lines that a person can read. Every kind of event has its own; nothing in them can deceive. Pure.
import { counted } from '@gate/shared/counted'
import type { EventView, SessionView } from './session-view.ts'
import { nameOf } from './session-view.ts'
import { shownLines } from './terminal-text.ts'
import { oneLine, printable, type Style } from './text.ts'

const MAX_TEXT_LENGTH = 2_000
const MAX_VALUES_LENGTH = 300
/** The relay refers to as many texts of earlier commands at most, and to none that is shorter. */
const MAX_REMEMBERED_TEXTS = 2_000
const MIN_REMEMBERED_LENGTH = 64

type Body = EventView['body']

/** The first line: who, where, when, what for. */
export function heading(session: SessionView, style: Style, time: (ms: number) => string): string {
  const { id, subject, target, program, clientAddress, task, reason, agent, startedMs } = session
  const more = [
    agent === null ? '' : `agent ${agent}`,
    program ?? '',
    clientAddress === null ? '' : `from ${clientAddress}`,
    task === null ? '' : `task ${task}`,
    reason ?? '',
  ].filter(Boolean)
  return `${style.bold(id)} ${printable(nameOf(subject))} on ${target}, ${time(startedMs)}${more.length === 0 ? '' : ` (${oneLine(more.join(', '), MAX_TEXT_LENGTH)})`}`
}

/** Texts of commands, for later ones that have the same. */
export class Texts {
  readonly #texts = new Map<number, string>()

  /** The text of a command event. */
  of({ command, text = '', sameTextAs }: Body): string {
    if (sameTextAs !== undefined) return this.#texts.get(sameTextAs) ?? `(as command ${sameTextAs})`
    if (command !== undefined && text.length > MIN_REMEMBERED_LENGTH) {
      this.#texts.set(command, text)
      const [oldest] = this.#texts.keys()
      if (this.#texts.size > MAX_REMEMBERED_TEXTS && oldest !== undefined) this.#texts.delete(oldest)
    }
    return text
  }
}

export function valuesOf({ parameters = [] }: Body): string {
  return parameters.map(({ text }) => (text === null ? 'NULL' : `'${text}'`)).join(', ')
}

/** How long an answer took; and until its first byte, where that was recorded. */
export function tookText({ firstByteMs, durationMs }: Pick<Body, 'firstByteMs' | 'durationMs'>): string {
  if (durationMs === undefined) return ''
  return firstByteMs === undefined ? `${durationMs} ms` : `${durationMs} ms (first byte after ${firstByteMs} ms)`
}

/** People of an event, with what they said. */
export function peopleOf({ by }: Body): string {
  if (by === undefined) return ''
  if (typeof by === 'string') return by
  return [by]
    .flat()
    .map(each => `${nameOf(each)}${each.reason === undefined ? '' : `: ${each.reason}`}`)
    .join(', ')
}

/** The event with every text on one line, as it is. */
function harmless(body: Body): Body {
  return mapped(body) as Body
}

function mapped(value: unknown): unknown {
  if (typeof value === 'string') return printable(value).replace(/\s+/g, ' ')
  if (Array.isArray(value)) return value.map(mapped)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, mapped(each)]))
}

export class Timeline {
  readonly #style: Style
  readonly #time: (ms: number) => string
  readonly #texts = new Texts()

  /** `time` writes the time of day. */
  constructor(style: Style, time: (ms: number) => string) {
    this.#style = style
    this.#time = time
  }

  line({ timeMs, body }: EventView): string {
    const time = this.#style.dim(this.#time(timeMs))
    const [mark, text] = this.#say(harmless(body))
    const number = body.command === undefined ? '' : String(body.command)
    const line = `${time} ${mark} ${number.padStart(3)}  ${text}`
    return body.type === 'output' ? this.#withOutput(line, body) : line
  }

  /** The lines that were shown, below each other: to read, not as they stood. */
  #withOutput(line: string, { text = '' }: Body): string {
    const shown = shownLines(text).map(each => `  ${this.#style.dim('│')} ${each}`)
    return [line, ...shown].join('\n')
  }

  #say(body: Body): readonly [mark: string, text: string] {
    const { good, bad, wait, dim } = this.#style
    switch (body.type) {
      case 'command':
        return this.#command(body)
      case 'outcome': {
        const rows = body.rows === undefined ? '' : `, ${counted(body.rows, 'row')}`
        const took = tookText(body)
        return [' ', dim(`→ ${body.status ?? ''}${rows}${took === '' ? '' : `, ${took}`}`)]
      }
      case 'hold': {
        const rows = body.rows === undefined ? '' : `, with ${counted(body.rows, 'row')} written before commit`
        return [wait('…'), `held for ${body.approvers ?? ''}${rows} (${body.request})`]
      }
      case 'approval': {
        const by = peopleOf(body)
        const mark = body.outcome === 'approved' ? good('✓') : bad('✗')
        return [mark, `${body.request} ${body.outcome}${by === '' ? '' : ` by ${by}`}`]
      }
      case 'rows': {
        const denied = body.decision?.effect === 'deny'
        const why = denied ? `: ${body.decision?.reason ?? ''}` : ''
        const total = body.total === undefined ? '' : ` (${body.total} in all)`
        const text = `${counted(body.rows ?? 0, 'row')} written before commit${total}, limit ${body.limit} of ${body.rule}${why}`
        return [body.decision?.effect === 'allow' ? good('✓') : bad('✗'), text]
      }
      default:
        return this.#happening(body)
    }
  }

  #command(body: Body): readonly [string, string] {
    const { good, bad, wait, dim } = this.#style
    const final = body.settled ?? body.decision
    const mark = final?.effect === 'allow' ? good('✓') : final?.effect === 'hold' ? wait('…') : bad('✗')
    const values = valuesOf(body)
    const parts = [
      oneLine(this.#texts.of(body), MAX_TEXT_LENGTH),
      values === '' ? '' : dim(` [${oneLine(values, MAX_VALUES_LENGTH)}]`),
      body.cutFrom === undefined ? '' : dim(` (recorded in part, of ${counted(body.cutFrom, 'byte')})`),
      body.prepared === true ? dim(' (prepared)') : '',
      body.grant === undefined ? '' : dim(` (grant ${body.grant})`),
      body.passedByBreakingGlass === true ? bad(' (not approved: the glass was broken)') : '',
      final?.effect === 'deny' ? bad(` — refused by ${final.rule}: ${final.reason ?? ''}`) : '',
    ]
    return [mark, parts.join('')]
  }

  /** What happens to a session beside its commands. */
  #happening(body: Body): readonly [string, string] {
    const { bad, dim } = this.#style
    const people = peopleOf(body)
    const reason = body.reason ?? ''
    switch (body.type) {
      case 'log.start':
        return [' ', dim(`the record of relay ${body.relay} begins`)]
      case 'session.start':
        return [' ', dim(`began, in the groups ${(body.subject?.groups ?? []).join(', ') || '(none)'}`)]
      case 'session.open':
        return [' ', dim(`reached through agent ${body.agent}`)]
      case 'review':
        return [bad('!'), `the glass was broken: ${reason} (review ${body.review})`]
      case 'cancel':
        return [' ', 'cancelled']
      case 'terminal':
        return [' ', dim(`a terminal of ${body.columns}×${body.rows}`)]
      case 'output':
        return [
          ' ',
          dim(body.cutFrom === undefined ? 'showed' : `showed ${counted(body.cutFrom, 'byte')}, recorded in part`),
        ]
      case 'view':
        return [' ', dim(`looked at by ${people}`)]
      case 'limit':
        return [
          bad('!'),
          `${body.limitBytes} bytes of the ${body.of} are recorded: from here on texts are kept as hashes`,
        ]
      case 'audit':
        return [' ', dim(`the record is read by ${people}, from ${body.from} on`)]
      case 'retention':
        return [' ', dim(`records ${body.first} to ${body.last} are deleted by age`)]
      case 'kill': {
        const lock = body.lock === undefined ? '' : ` (lock ${body.lock})`
        return [bad('✗'), `ended by ${people}: ${reason}${lock}`]
      }
      case 'lock':
        return [bad('✗'), `${body.kind} ${body.name ?? ''} locked by ${people}: ${reason} (${body.lock})`]
      case 'unlock':
        return [' ', `lock ${body.lock} taken away by ${people}`]
      case 'session.end':
        return [' ', `ended${body.code === 'ended' ? '' : `: ${body.code}`}${reason === '' ? '' : ` (${reason})`}`]
      default:
        return [' ', dim(`${body.type} (this gate does not know what that is)`)]
    }
  }
}
