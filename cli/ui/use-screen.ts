// What frames have put on a screen, as React takes it.
import { useEffect, useRef, useState } from 'react'
import type { Frame, Size } from '../frames.ts'
import { Screen } from './screen.ts'

/** Brings a screen to the number of frames that is wanted last; numbers in between are passed over. */
class Follower {
  readonly #screen: Screen
  readonly #frames: readonly Frame[]
  readonly #view: Size
  readonly #told: (lines: readonly string[]) => void
  #wanted = 0
  #isRunning = false
  #isStopped = false

  constructor(screen: Screen, frames: readonly Frame[], view: Size, told: (lines: readonly string[]) => void) {
    this.#screen = screen
    this.#frames = frames
    this.#view = view
    this.#told = told
  }

  want(count: number): void {
    this.#wanted = count
    if (!this.#isRunning) void this.#run()
  }

  stop(): void {
    this.#isStopped = true
  }

  async #run(): Promise<void> {
    this.#isRunning = true
    for (let shown: number | undefined; shown !== this.#wanted && !this.#isStopped; ) {
      shown = this.#wanted
      await this.#screen.show(this.#frames, shown)
      if (!this.#isStopped) this.#told(this.#screen.lines(this.#view))
    }
    this.#isRunning = false
  }
}

/** The lines after so many of the frames, always the same ones; `size` is that of the view, and of a screen whose frames say none. */
export function useScreen(
  frames: readonly Frame[],
  count: number,
  { columns, rows }: Size,
  colour: boolean,
): readonly string[] {
  const [lines, setLines] = useState<readonly string[]>([])
  const follower = useRef<Follower | undefined>(undefined)

  useEffect(() => {
    const view = { columns, rows }
    const current = new Follower(new Screen(view, colour), frames, view, setLines)
    follower.current = current
    return () => current.stop()
  }, [columns, rows, colour, frames])

  // biome-ignore lint/correctness/useExhaustiveDependencies: another screen has to be brought there, too.
  useEffect(() => follower.current?.want(count), [count, columns, rows])

  return lines
}
