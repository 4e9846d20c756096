// The live list of what waits for this person's decision. Props in, callbacks out, no I/O.
import type { Word } from '@gate/shared/approval'
import { asGateError } from '@gate/shared/errors'
import { Box, type Key, render, Text, useApp, useInput, useStdout } from 'ink'
import { type ReactNode, useCallback, useEffect, useReducer, useRef, useState } from 'react'
import type { RequestDetail, RequestView, ReviewView } from '../request-view.ts'
import { printable } from '../text.ts'
import { type Command, initial, type Mode, press } from './modes.ts'
import { Details, detailLines } from './request-details.tsx'
import { filtered, RequestList } from './request-list.tsx'

export interface Shown {
  readonly requests: readonly RequestView[]
  readonly reviews: readonly ReviewView[]
  /** How far the relay's clock is ahead of this machine's. */
  readonly aheadMs: number
}

export interface ApprovalsProps {
  readonly color: boolean
  now(): number
  /** Shows every new list until it ends or fails. */
  follow(show: (shown: Shown) => void): Promise<void>
  /** A request whole. @throws what the relay says. */
  open(id: string): Promise<RequestDetail>
  /** Returns the request's new state, or what went wrong. */
  decide(request: RequestDetail, word: Word): Promise<string>
}

/** Redrawing more often costs a core and shows nothing more. */
const REDRAW_MS = 1000
/** Lines that are not the list's or the details' own. */
const FRAME_LINES = 5

export async function runApprovals(props: ApprovalsProps): Promise<void> {
  const app = render(<Approvals {...props} />, { exitOnCtrlC: true })
  await app.waitUntilExit()
}

export function Approvals({ color, now, follow, open, decide }: ApprovalsProps): ReactNode {
  const { exit } = useApp()
  const { stdout } = useStdout()
  const [shown, setShown] = useState<Shown>()
  const [mode, setMode] = useState<Mode>(initial)
  const [message, setMessage] = useState('')
  const [, redraw] = useReducer((count: number) => count + 1, 0)

  useEffect(() => {
    follow(setShown).then(
      () => exit(),
      (thrown: unknown) => exit(asGateError(thrown)),
    )
    const timer = setInterval(redraw, REDRAW_MS)
    return () => clearInterval(timer)
  }, [follow, exit])

  // Some terminals say that they have no size.
  const columns = stdout.columns || 80
  const height = Math.max(5, (stdout.rows || 24) - FRAME_LINES)
  const relayNow = now() + (shown?.aheadMs ?? 0)
  const waiting = (shown?.requests ?? []).filter(request => request.decidable && request.expiresMs > relayNow)
  const matching = filtered(waiting, mode.filter)

  // Keys act on what is on the screen: the handler reads the newest state, also between a redraw and React's effects.
  const screen = useRef({ mode, matching, columns, height })
  screen.current = { mode, matching, columns, height }

  const perform = useCallback(
    (command: Command): void => {
      if (command.do === 'quit') return exit()
      if (command.do === 'open') {
        open(command.id).then(
          request => setMode(current => (current.openId === command.id ? { ...current, request } : current)),
          (thrown: unknown) => {
            setMode(({ filter, selectedId }) => ({ ...initial, filter, selectedId }))
            setMessage(`${command.id}: ${asGateError(thrown).message}`)
          },
        )
        return
      }
      const { request, word } = command
      setMessage(`${request.id}: …`)
      decide(request, word).then(
        state => setMessage(`${request.id}: ${printable(state)}`),
        (thrown: unknown) => setMessage(`${request.id}: ${asGateError(thrown).message}`),
      )
    },
    [exit, open, decide],
  )

  useInput((input: string, key: Key) => {
    const { mode, matching, columns, height } = screen.current
    const lines = mode.request === undefined ? 0 : detailLines(mode.request, columns).length
    const next = press(mode, input, key, matching, Math.max(0, lines - height))
    screen.current = { ...screen.current, mode: next.mode }
    setMode(next.mode)
    if (next.command !== undefined) perform(next.command)
  })

  const { reviews = [] } = shown ?? {}
  return (
    <Box flexDirection="column">
      <Text bold>{shown === undefined ? 'asking the relay…' : `${waiting.length} waiting for your decision`}</Text>
      {reviews.length === 0 ? null : (
        <Text {...(color ? { color: 'red' } : {})} bold wrap="truncate">
          {`! glass is broken: ${reviews.map(each => `${printable(each.subject.email ?? each.subject.id)} on ${each.target}`).join(', ')} (gate reviews)`}
        </Text>
      )}
      {mode.openId === undefined ? (
        <RequestList
          requests={matching}
          selectedId={mode.selectedId}
          color={color}
          now={relayNow}
          columns={columns}
          height={height}
        />
      ) : (
        <Details request={mode.request} scroll={mode.scroll} columns={columns} height={height} />
      )}
      <Footer mode={mode} any={matching.length > 0} message={message} />
    </Box>
  )
}

function Footer({ mode, any, message }: { mode: Mode; any: boolean; message: string }): ReactNode {
  return (
    <Box flexDirection="column" marginTop={1}>
      {message === '' ? null : <Text wrap="truncate">{message}</Text>}
      <Text dimColor={mode.prompt === 'none'} bold={mode.prompt !== 'none'} wrap="truncate">
        {prompt(mode, any)}
      </Text>
    </Box>
  )
}

function prompt({ prompt: kind, text, filter, openId, request }: Mode, any: boolean): string {
  switch (kind) {
    case 'filter':
      return `show only: ${text}▏ (Enter keeps it, Esc shows all)`
    case 'approve':
      if (request === undefined) return 'asking the relay…'
      return `approve ${request.id}? y/n`
    case 'grant':
      return `approve ${openId} and let the same rule be passed for: ${text}▏ (30m, 1h; Esc goes back)`
    case 'deny':
      return `deny ${openId}, because: ${text}▏ (Enter sends, Esc goes back)`
    case 'none': {
      if (openId === undefined)
        return any
          ? `↑↓ choose · Enter look · a approve · d deny · / filter${filter === '' ? '' : ` (${filter})`} · q quit`
          : 'q quit · / filter'
      const grant = request?.grantMaxMs === undefined ? '' : ' · g for a time'
      return `↑↓ scroll · a approve${grant} · d deny · Esc back`
    }
  }
}
