// Text → facts, in whatever thread: PostgreSQL's own grammar in WebAssembly, and the walk over its tree.
import { loadModule, parseSync } from 'libpg-query'
import { readFacts, type StatementFacts } from './facts.ts'
import type { Json } from './tree.ts'

export type Analysis =
  | { readonly statements: readonly StatementFacts[] }
  /** The grammar does not know the text; `position` is the character, from 1, where it stopped. */
  | { readonly syntaxError: string; readonly position: number }

/** Has to be done in each thread before the first text is read. */
export const loadGrammar = (): Promise<void> => loadModule()

/** @throws when the module cannot be trusted any more, in this thread: it must not be used again there. */
export function readText(text: string): Analysis {
  // The library refuses an empty text; the server takes it for a query without statements.
  if (text === '') return { statements: [] }
  let result: Json
  try {
    result = parseSync(text) as unknown as Json
  } catch (thrown) {
    // Anything else than the grammar's own error means that the module is broken.
    if (!(thrown instanceof Error) || thrown.name !== 'SqlError') throw thrown
    const details = 'sqlDetails' in thrown ? (thrown.sqlDetails as { cursorPosition?: number }) : {}
    return { syntaxError: thrown.message, position: (details.cursorPosition ?? 0) + 1 }
  }
  return { statements: readFacts(result, Buffer.byteLength(text)) }
}
