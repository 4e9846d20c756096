// A terminal session while it runs: its screen, for somebody who looks on. What is put comes in, no I/O.
import { Box, render, Text, useStdout } from 'ink'
import { type ReactNode, useEffect, useState } from 'react'
import { type Frame, terminalFrame } from '../frames.ts'
import type { EventView } from '../session-view.ts'
import { Screen } from './screen.ts'

const FIRST_SIZE = { columns: 80, rows: 24 } as const
/** Lines that are not the screen's. */
const FRAME_LINES = 3
/** Finer steps cost a core and show nothing more. */
const REDRAW_MS = 50

interface Shown {
  readonly lines: readonly string[]
  /** What happened beside the screen. */
  readonly said: string
}

export interface Live {
  /** Shows an event: on the screen, or as the line that is said of it. */
  put(event: EventView, line: string): Promise<void>
  close(): Promise<void>
}

/** Draws the session from now on; of several terminals the one that showed something last. */
export function openLive(title: string, colour: boolean): Live {
  let screen = new Screen(FIRST_SIZE, colour)
  let command: number | undefined
  let said = ''
  let told: (shown: Shown) => void = () => {}
  let timer: NodeJS.Timeout | undefined
  const draw = (): void => {
    timer = undefined
    told({ lines: screen.lines(), said })
  }
  const add = async (frame: Frame, of: number | undefined): Promise<void> => {
    if (of !== command) screen = new Screen(frame.size ?? FIRST_SIZE, colour)
    command = of
    await screen.add(frame)
  }
  const app = render(
    <LiveScreen
      title={title}
      follow={next => {
        told = next
      }}
    />,
    { exitOnCtrlC: false, patchConsole: false },
  )
  return {
    put: async (event, line) => {
      const frame = terminalFrame(event)
      if (frame === undefined) said = line
      else await add(frame, event.body.command)
      timer ??= setTimeout(draw, REDRAW_MS)
    },
    close: async () => {
      clearTimeout(timer)
      await screen.settle()
      draw()
      await new Promise(resolve => setTimeout(resolve, REDRAW_MS))
      app.unmount()
      await app.waitUntilExit()
    },
  }
}

interface LiveScreenProps {
  readonly title: string
  follow(told: (shown: Shown) => void): void
}

function LiveScreen({ title, follow }: LiveScreenProps): ReactNode {
  const { stdout } = useStdout()
  const [{ lines, said }, setShown] = useState<Shown>({ lines: [], said: '' })
  // biome-ignore lint/correctness/useExhaustiveDependencies: it is followed once.
  useEffect(() => follow(setShown), [])
  const height = Math.max(3, (stdout.rows ?? FIRST_SIZE.rows) - FRAME_LINES)
  return (
    <Box flexDirection="column">
      <Text bold wrap="truncate">
        {title}
      </Text>
      <Text wrap="truncate">{lines.slice(-height).join('\n')}</Text>
      <Text dimColor wrap="truncate">
        {said === '' ? 'live · Ctrl-C stops looking' : `live · ${said}`}
      </Text>
    </Box>
  )
}
