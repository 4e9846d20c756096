// A terminal session while it runs: its screen, for somebody who looks on. What is put comes in, no I/O.
import { render } from 'ink'
import { type ReactNode, useEffect, useState } from 'react'
import { type Frame, terminalFrame } from '../frames.ts'
import type { EventView } from '../session-view.ts'
import { Screen } from './screen.ts'
import { ScreenView, viewOf } from './screen-view.tsx'

const FIRST_SIZE = { columns: 80, rows: 24 } as const
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
  /** Of the commands that run. */
  const screens = new Map<number | undefined, Screen>()
  let screen = new Screen(FIRST_SIZE, colour)
  let said = ''
  let told: (shown: Shown) => void = () => {}
  let timer: NodeJS.Timeout | undefined
  const draw = (): void => {
    timer = undefined
    told({ lines: screen.lines(viewOf(process.stdout)), said })
  }
  const add = async (frame: Frame, command: number | undefined): Promise<void> => {
    screen = screens.get(command) ?? new Screen(frame.size ?? FIRST_SIZE, colour)
    screens.set(command, screen)
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
      if (event.body.type === 'outcome') screens.delete(event.body.command)
      if (frame === undefined) said = line
      else await add(frame, event.body.command)
      if (event.body.cutFrom !== undefined && frame !== undefined) said = 'not all of it is recorded'
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
  const [{ lines, said }, setShown] = useState<Shown>({ lines: [], said: '' })
  // biome-ignore lint/correctness/useExhaustiveDependencies: it is followed once.
  useEffect(() => follow(setShown), [])
  const status = said === '' ? 'live · Ctrl-C stops looking' : `live · ${said}`
  return <ScreenView title={title} lines={lines} status={status} />
}
