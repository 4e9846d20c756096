// The live list of what waits for this person's decision. Props in, callbacks out, no I/O.

import { asGateError } from '@gate/shared/errors'
import { Box, type Key, render, Text, useApp, useInput, useStdout } from 'ink'
import { type ReactNode, useCallback, useEffect, useRef, useState } from 'react'
import type { RequestView } from '../request-view.ts'
import { oneLine, printable, span } from '../text.ts'

export interface ApprovalsProps {
  readonly color: boolean
  now(): number
  /** Shows every new list until it ends or fails. */
  follow(show: (requests: readonly RequestView[]) => void): Promise<void>
  /** Returns the request's new state, or what went wrong. */
  decide(id: string, verdict: 'approve' | 'deny', reason: string | undefined): Promise<string>
}

/** Redrawing more often costs a core and shows nothing more. */
const REDRAW_MS = 1000
const MAX_STATEMENT_LINES = 12
const RESERVED_LINES = 8
const MAX_REASON_LENGTH = 1000

type Mode =
  | { readonly kind: 'list' }
  | { readonly kind: 'confirm'; readonly request: RequestView }
  | { readonly kind: 'reason'; readonly request: RequestView; readonly text: string }

/** The reason for a denial after one more key. */
function typed(mode: Extract<Mode, { kind: 'reason' }>, input: string, key: Key, send: (reason: string) => void): Mode {
  if (key.escape) return { kind: 'list' }
  if (key.return) {
    if (mode.text.trim() === '') return mode
    send(mode.text.trim())
    return { kind: 'list' }
  }
  if (key.backspace || key.delete) return { ...mode, text: mode.text.slice(0, -1) }
  return key.ctrl || key.meta ? mode : { ...mode, text: (mode.text + printable(input)).slice(0, MAX_REASON_LENGTH) }
}

export async function runApprovals(props: ApprovalsProps): Promise<void> {
  const app = render(<Approvals {...props} />, { exitOnCtrlC: true })
  await app.waitUntilExit()
}

export function Approvals({ color, now, follow, decide }: ApprovalsProps): ReactNode {
  const { exit } = useApp()
  const { stdout } = useStdout()
  const [requests, setRequests] = useState<readonly RequestView[]>()
  const [selectedId, setSelectedId] = useState<string>()
  const [mode, setMode] = useState<Mode>({ kind: 'list' })
  const [message, setMessage] = useState('')
  const [, redraw] = useState(0)

  useEffect(() => {
    follow(setRequests).then(
      () => exit(),
      (thrown: unknown) => exit(asGateError(thrown)),
    )
    const timer = setInterval(() => redraw(count => count + 1), REDRAW_MS)
    return () => clearInterval(timer)
  }, [follow, exit])

  const waiting = (requests ?? []).filter(request => request.decidable && request.expiresMs > now())
  const index = Math.max(
    0,
    waiting.findIndex(request => request.id === selectedId),
  )
  const selected = waiting[index]

  // Keys act on what is on the screen: the handler reads the newest state, also between a redraw and React's effects.
  const screen = useRef({ mode, waiting, index, selected })
  screen.current = { mode, waiting, index, selected }

  const settle = useCallback(
    (request: RequestView, verdict: 'approve' | 'deny', reason: string | undefined): void => {
      setMode({ kind: 'list' })
      setMessage(`${request.id}: …`)
      decide(request.id, verdict, reason).then(
        state => setMessage(`${request.id}: ${printable(state)}`),
        (thrown: unknown) => setMessage(`${request.id}: ${asGateError(thrown).message}`),
      )
    },
    [decide],
  )

  const press = useCallback(
    (input: string, key: Key): void => {
      const { mode, waiting, index, selected } = screen.current
      if (mode.kind === 'reason') setMode(typed(mode, input, key, reason => settle(mode.request, 'deny', reason)))
      else if (mode.kind === 'confirm') {
        if (input === 'y') settle(mode.request, 'approve', undefined)
        else setMode({ kind: 'list' })
      } else if (input === 'q' || key.escape) exit()
      else if (key.downArrow || input === 'j') setSelectedId(waiting[Math.min(index + 1, waiting.length - 1)]?.id)
      else if (key.upArrow || input === 'k') setSelectedId(waiting[Math.max(index - 1, 0)]?.id)
      else if (selected !== undefined && (input === 'a' || input === 'd')) {
        // What is decided is the request that was on the screen when the key was pressed, whatever the list does meanwhile.
        setSelectedId(selected.id)
        setMode(
          input === 'a' ? { kind: 'confirm', request: selected } : { kind: 'reason', request: selected, text: '' },
        )
      }
    },
    [exit, settle],
  )
  useInput(press)

  const columns = stdout.columns ?? 80
  const lines = (stdout.rows ?? 24) - RESERVED_LINES - MAX_STATEMENT_LINES
  const first = Math.max(0, Math.min(index - Math.floor(lines / 2), waiting.length - lines))
  return (
    <Box flexDirection="column">
      <Text bold>{requests === undefined ? 'asking the relay…' : `${waiting.length} waiting for your decision`}</Text>
      {waiting.slice(first, first + Math.max(lines, 3)).map(request => (
        <Row
          key={request.id}
          request={request}
          isSelected={request === selected}
          color={color}
          now={now()}
          columns={columns}
        />
      ))}
      {selected === undefined ? null : <Details request={selected} columns={columns} />}
      <Footer mode={mode} selected={selected} message={message} />
    </Box>
  )
}

function Row({
  request,
  isSelected,
  color,
  now,
  columns,
}: {
  request: RequestView
  isSelected: boolean
  color: boolean
  now: number
  columns: number
}): ReactNode {
  const left = span(request.expiresMs - now)
  const head = `${isSelected ? '›' : ' '} ${request.id} ${left.padStart(4)} ${oneLine(request.subject.email ?? request.subject.id, 24)} ${request.target} `
  return (
    <Text inverse={isSelected && color} wrap="truncate">
      {head + oneLine(request.text, Math.max(10, columns - head.length))}
    </Text>
  )
}

function Details({ request, columns }: { request: RequestView; columns: number }): ReactNode {
  const statement = printable(request.text).split('\n')
  const shown = statement
    .slice(0, MAX_STATEMENT_LINES - (request.rows === undefined ? 6 : 7))
    .map(line => (line.length > columns - 4 ? `${line.slice(0, columns - 5)}…` : line))
  const cut = statement.length > shown.length || statement.some(line => line.length > columns - 4)
  return (
    <Box flexDirection="column" marginTop={1}>
      <Text wrap="truncate">
        {`${printable(request.subject.email ?? request.subject.id)} (${printable(request.subject.groups.join(', '))}) · ${request.target} · ${request.rule}: ${request.approvers}`}
      </Text>
      <Text wrap="truncate">{`${request.action} ${printable(request.resources.map(({ name }) => name).join(', '))}${request.task === undefined ? '' : ` · task ${oneLine(request.task, 60)}`}`}</Text>
      {request.rows === undefined ? null : (
        <Text bold>{`${request.rows} rows are written and not committed: they stay locked until you decide`}</Text>
      )}
      {request.reason === undefined ? null : <Text wrap="truncate">{`“${oneLine(request.reason, columns - 2)}”`}</Text>}
      {shown.map((line, number) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the lines of one statement never change places.
        <Text key={number} wrap="truncate">{`│ ${line}`}</Text>
      ))}
      {request.parameters.length === 0 ? null : (
        <Text wrap="truncate">
          {request.parameters
            .map((value, number) => `$${number + 1}=${value.text === null ? 'NULL' : `'${oneLine(value.text, 60)}'`}`)
            .join(' ')}
        </Text>
      )}
      {cut ? <Text bold>{`… longer than this window: gate requests --json shows all of ${request.id}`}</Text> : null}
    </Box>
  )
}

function Footer({
  mode,
  selected,
  message,
}: {
  mode: Mode
  selected: RequestView | undefined
  message: string
}): ReactNode {
  const prompt = {
    list: selected === undefined ? 'q quit' : '↑↓ choose · a approve · d deny · q quit',
    confirm: mode.kind === 'confirm' ? `approve ${mode.request.id}? y/n` : '',
    reason:
      mode.kind === 'reason' ? `deny ${mode.request.id}, because: ${mode.text}▏ (Enter sends, Esc goes back)` : '',
  }[mode.kind]
  return (
    <Box flexDirection="column" marginTop={1}>
      {message === '' ? null : <Text>{message}</Text>}
      <Text dimColor={mode.kind === 'list'} bold={mode.kind !== 'list'}>
        {prompt}
      </Text>
    </Box>
  )
}
