// Shell completion, through @bomb.sh/tab: the only file that knows it.
import tab from '@bomb.sh/tab/commander'
import type { Command } from 'commander'
import type { App } from './app.ts'
import { bashCompletion } from './bash-completion.ts'

/** Completing must never make a person wait for a relay that is away. */
const PATIENCE_MS = 1_500

interface Candidate {
  readonly name: string
  readonly detail: string
}

export interface Candidates {
  targets(): Promise<readonly Candidate[]>
  requests(): Promise<readonly Candidate[]>
  /** Recorded sessions, or only those that are open. */
  sessions(open: boolean): Promise<readonly Candidate[]>
  locks(): Promise<readonly Candidate[]>
}

/** Adds `gate complete <shell>`. */
export function addCompletion(program: Command): void {
  tab(program)
  const complete = program.commands.find(command => command.name() === 'complete')
  complete?.description('print a script that completes commands and names, for bash, zsh, fish or powershell')
}

/** The script for a shell where it is our own; undefined for the others. */
export function ownScript([command, shell, ...more]: readonly string[]): string | undefined {
  return command === 'complete' && shell === 'bash' && more.length === 0 ? bashCompletion : undefined
}

/** Whether the command line is one that a shell sends to complete another. */
export function isCompletion(args: readonly string[]): boolean {
  return args[0] === 'complete' && args[1] === '--'
}

/** Completes names that only the relay knows; undefined when the word to complete is none of them. */
export async function completeNames(
  _app: App,
  args: readonly string[],
  candidates: Candidates,
): Promise<readonly string[] | undefined> {
  const words = args.slice(2)
  const current = words.at(-1) ?? ''
  if (words.length < 2 || current.startsWith('-')) return undefined
  const source = sourceOf(words, candidates)
  if (source === undefined) return undefined
  const late = new Promise<readonly Candidate[]>(resolve => setTimeout(() => resolve([]), PATIENCE_MS).unref())
  // A shell has no place for an error.
  const found = await Promise.race([source().catch(() => []), late])
  return found.filter(({ name }) => name.startsWith(current)).map(({ name, detail }) => `${name}\t${detail}`)
}

/** What stands where the cursor is: the words before it say so. */
function sourceOf(words: readonly string[], candidates: Candidates): (() => Promise<readonly Candidate[]>) | undefined {
  const [command, second = ''] = words
  switch (command) {
    case 'connect':
    case 'request':
      return candidates.targets
    case 'approve':
    case 'deny':
      return candidates.requests
    case 'unlock':
      return candidates.locks
    case 'lock':
      return second === 'target' && words.length === 3 ? candidates.targets : undefined
    case 'sessions':
      if (words.length !== 3) return undefined
      if (second === 'kill' || second === 'watch') return () => candidates.sessions(true)
      return ['show', 'export', 'replay'].includes(second) ? () => candidates.sessions(false) : undefined
    default:
      return undefined
  }
}
