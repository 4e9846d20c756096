// The story's steps as people read them: what was typed, what came back, and whether it is what it should be.
import { say, style } from './terminal.ts'

const MAX_LINES = 14
const MAX_COLUMNS = 160

export interface Step {
  /** Shows what somebody typed and what came back. */
  show(who: string, typed: string, output: string): void
  /** One thing that has to be so. */
  must(what: string, holds: boolean): void
}

/** Ctrl-C reaches the processes of a step as well as us, and they may be quicker. */
const INTERRUPTED_MS = 200

export class Report {
  readonly #signal: AbortSignal
  #steps = 0
  readonly #wrong: number[] = []

  constructor(signal: AbortSignal) {
    this.#signal = signal
  }

  /** Plays one step; what it throws counts as wrong, and the story goes on. @throws when the story was interrupted. */
  async step(title: string, play: (step: Step) => Promise<void>): Promise<void> {
    this.#signal.throwIfAborted()
    this.#steps += 1
    const number = this.#steps
    const began = performance.now()
    let wrong = false
    const must = (what: string, holds: boolean): void => {
      if (!holds) wrong = true
      say(`    ${holds ? style.good('✓') : style.bad('✗ this is not so:')} ${what}`)
    }
    say(`${style.bold(`${String(number).padStart(2)}  ${title}`)}`)
    try {
      await play({ show, must })
    } catch (thrown) {
      await new Promise(resolve => setTimeout(resolve, INTERRUPTED_MS))
      this.#signal.throwIfAborted()
      must(`it goes on without an error, but: ${thrown instanceof Error ? thrown.message : String(thrown)}`, false)
    }
    if (wrong) this.#wrong.push(number)
    say(style.dim(`    ${((performance.now() - began) / 1000).toFixed(1)} s`))
    say()
  }

  /** Says how it went; the exit code. */
  finish(): number {
    const [first, ...more] = this.#wrong
    if (first === undefined) {
      say(style.good(`${this.#steps} steps, all as they should be`))
      return 0
    }
    const which = more.length === 0 ? `step ${first} is` : `steps ${this.#wrong.join(', ')} are`
    say(style.bad(`${this.#steps} steps, and ${which} not as they should be`))
    return 1
  }
}

function show(who: string, typed: string, output: string): void {
  say(`    ${style.dim(`${who} $`)} ${typed}`)
  if (output.trim() === '') return
  const lines = output.trimEnd().split('\n')
  const shown = lines.length > MAX_LINES ? lines.slice(0, MAX_LINES - 1) : lines
  for (const line of shown)
    say(`    ${style.dim('│')} ${line.length > MAX_COLUMNS ? `${line.slice(0, MAX_COLUMNS - 1)}…` : line}`)
  if (shown.length < lines.length) say(`    ${style.dim(`│ … and ${lines.length - shown.length} more lines`)}`)
}
