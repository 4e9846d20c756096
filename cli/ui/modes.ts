// What keys do in the live list of requests. Pure: a mode and a key give the next mode, and what is to be done.
import type { Word } from '@gate/shared/approval'
import { duration } from '@gate/shared/duration'
import type { Key } from 'ink'
import type { RequestDetail, RequestView } from '../request-view.ts'
import { printable } from '../text.ts'

const MAX_TEXT_LENGTH = 1000
const PAGE_LINES = 10
const grantDuration = duration(1_000, 30 * 86_400_000)

export interface Mode {
  readonly selectedId: string | undefined
  readonly filter: string
  /** The request whose details are on the screen; `request` once they are there. */
  readonly openId: string | undefined
  readonly request: RequestDetail | undefined
  readonly scroll: number
  /** What is being asked of the person, and what they have typed. */
  readonly prompt: 'none' | 'filter' | 'approve' | 'grant' | 'deny'
  readonly text: string
}

export const initial: Mode = {
  selectedId: undefined,
  filter: '',
  openId: undefined,
  request: undefined,
  scroll: 0,
  prompt: 'none',
  text: '',
}

export type Command =
  | { readonly do: 'quit' }
  | { readonly do: 'open'; readonly id: string }
  /** What is decided is the request that was on the screen, whatever the list does meanwhile. */
  | { readonly do: 'decide'; readonly request: RequestDetail; readonly word: Word }

interface Next {
  readonly mode: Mode
  readonly command?: Command
}

/** `requests` are those on the screen, `maximumScroll` how far the details go beyond it. */
export function press(
  mode: Mode,
  input: string,
  key: Key,
  requests: readonly RequestView[],
  maximumScroll: number,
): Next {
  if (mode.prompt === 'approve') return confirm(mode, input)
  if (mode.prompt !== 'none') return type(mode, input, key)
  return mode.openId === undefined ? choose(mode, input, key, requests) : look(mode, input, key, maximumScroll)
}

function choose(mode: Mode, input: string, key: Key, requests: readonly RequestView[]): Next {
  const index = Math.max(
    0,
    requests.findIndex(request => request.id === mode.selectedId),
  )
  const select = (to: number): Next => ({
    mode: { ...mode, selectedId: requests[Math.max(0, Math.min(to, requests.length - 1))]?.id },
  })
  if (input === 'q' || key.escape) return { mode, command: { do: 'quit' } }
  if (input === '/') return { mode: { ...mode, prompt: 'filter', text: mode.filter } }
  if (key.downArrow || input === 'j') return select(index + 1)
  if (key.upArrow || input === 'k') return select(index - 1)
  const selected = requests[index]
  if (selected === undefined || !(key.return || input === 'a' || input === 'd')) return { mode }
  // Nobody decides over what they could not see: the details come first.
  return {
    mode: {
      ...mode,
      selectedId: selected.id,
      openId: selected.id,
      request: undefined,
      scroll: 0,
      prompt: input === 'a' ? 'approve' : input === 'd' ? 'deny' : 'none',
      text: '',
    },
    command: { do: 'open', id: selected.id },
  }
}

const back = (mode: Mode): Mode => ({
  ...mode,
  openId: undefined,
  request: undefined,
  scroll: 0,
  prompt: 'none',
  text: '',
})

function look(mode: Mode, input: string, key: Key, maximumScroll: number): Next {
  const scroll = (by: number): Next => ({
    mode: { ...mode, scroll: Math.max(0, Math.min(mode.scroll + by, maximumScroll)) },
  })
  if (key.escape || input === 'q') return { mode: back(mode) }
  if (key.downArrow || input === 'j') return scroll(1)
  if (key.upArrow || input === 'k') return scroll(-1)
  if (key.pageDown || input === ' ') return scroll(PAGE_LINES)
  if (key.pageUp) return scroll(-PAGE_LINES)
  if (mode.request?.decidable !== true) return { mode }
  if (input === 'a') return { mode: { ...mode, prompt: 'approve' } }
  if (input === 'g' && mode.request.grantMaxMs !== undefined) return { mode: { ...mode, prompt: 'grant', text: '' } }
  if (input === 'd') return { mode: { ...mode, prompt: 'deny', text: '' } }
  return { mode }
}

function confirm(mode: Mode, input: string): Next {
  const { request } = mode
  if (input !== 'y') return { mode: { ...mode, prompt: 'none' } }
  // It is not there yet: the key was pressed too soon to mean it.
  if (request === undefined) return { mode }
  const grantMs = request.kind === 'grant' ? request.grantMs : undefined
  return {
    mode: back(mode),
    command: { do: 'decide', request, word: { verdict: 'approve', reason: undefined, grantMs } },
  }
}

function type(mode: Mode, input: string, key: Key): Next {
  if (key.escape) {
    if (mode.prompt === 'filter') return { mode: { ...mode, prompt: 'none', text: '', filter: '' } }
    return { mode: { ...mode, prompt: 'none', text: '' } }
  }
  if (key.return) return enter(mode)
  if (key.backspace || key.delete) return { mode: { ...mode, text: mode.text.slice(0, -1) } }
  if (key.ctrl || key.meta) return { mode }
  return { mode: { ...mode, text: (mode.text + printable(input)).slice(0, MAX_TEXT_LENGTH) } }
}

function enter(mode: Mode): Next {
  const { request, prompt } = mode
  const text = mode.text.trim()
  if (prompt === 'filter') return { mode: { ...mode, prompt: 'none', text: '', filter: text } }
  if (request === undefined || text === '') return { mode }
  if (prompt === 'deny')
    return {
      mode: back(mode),
      command: { do: 'decide', request, word: { verdict: 'deny', reason: text, grantMs: undefined } },
    }
  const parsed = grantDuration.safeParse(text)
  if (!parsed.success || parsed.data > (request.grantMaxMs ?? 0)) return { mode: { ...mode, text: '' } }
  const word: Word = { verdict: 'approve', reason: undefined, grantMs: parsed.data }
  return { mode: back(mode), command: { do: 'decide', request, word } }
}
