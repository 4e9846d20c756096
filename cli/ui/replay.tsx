// A session played back: its timeline, or its terminal, with the time it took. Props in, no I/O.
import { type Key, render, useApp, useInput, useStdout } from 'ink'
import { type ReactNode, useEffect, useRef, useState } from 'react'
import type { Frame } from '../frames.ts'
import { advance, formatPosition, type Player, positionMs, pressed, startPlayer } from './player.ts'
import { ScreenView, viewOf } from './screen-view.tsx'
import { useScreen } from './use-screen.ts'

/** Finer steps cost a core and show nothing more. */
const TICK_MS = 50

export interface ReplayProps {
  readonly title: string
  readonly frames: readonly Frame[]
  readonly speed: number
  readonly fromMs: number
  readonly colour: boolean
  /** Milliseconds on a clock that only goes forward. */
  monotonic(): number
}

export async function runReplay(props: ReplayProps): Promise<void> {
  const app = render(<Replay {...props} />, { exitOnCtrlC: true })
  await app.waitUntilExit()
}

export function Replay({ title, frames, speed, fromMs, colour, monotonic }: ReplayProps): ReactNode {
  const { exit } = useApp()
  const { stdout } = useStdout()
  const [player, setPlayer] = useState<Player>(() => startPlayer(frames, speed, fromMs))
  // Keys and time act on the newest state, also between a redraw and React's effects.
  const newest = useRef(player)
  const put = (next: Player): void => {
    if (next === newest.current) return
    newest.current = next
    setPlayer(next)
  }

  // biome-ignore lint/correctness/useExhaustiveDependencies: the timer lives as long as the replay.
  useEffect(() => {
    let last = monotonic()
    const timer = setInterval(() => {
      const now = monotonic()
      put(advance(newest.current, now - last))
      last = now
    }, TICK_MS)
    return () => clearInterval(timer)
  }, [])

  useInput((input: string, key: Key) => {
    const next = pressed(newest.current, input, key)
    if (next === undefined) exit()
    else put(next)
  })

  const lines = useScreen(player.frames, player.shown, viewOf(stdout), colour)
  return <ScreenView title={title} lines={lines} status={status(player)} />
}

function status(player: Player): string {
  if (player.prompt !== undefined) return `go to: ${player.prompt}▏ (seconds, or minutes:seconds; Esc goes back)`
  const length = formatPosition(player.frames.at(-1)?.timeMs ?? 0)
  const state = player.playing ? '▶' : player.shown >= player.frames.length ? '■' : '‖'
  return `${state} ${formatPosition(positionMs(player))}/${length} · ${player.shown}/${player.frames.length} · ${player.speed}× · space pause · ←→ step · ↑↓ speed · g go to · q quit`
}
