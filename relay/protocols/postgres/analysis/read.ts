// Text → facts, in whatever thread: PostgreSQL's own grammar in WebAssembly, and the walk over its tree.
import { loadModule, parseSync } from 'libpg-query'
import type { StatementFacts } from './facts.ts'
import { hideConstants } from './recordable.ts'
import { readFacts } from './statements.ts'
import { mayHaveTexts } from './texts-in-calls.ts'
import type { Json } from './tree.ts'

export type Analysis = { readonly statements: readonly StatementFacts[] } | Unparsable

/** The grammar does not know the text; `recordable` is what may be written down of it, undefined when that is nothing. */
export interface Unparsable {
  readonly syntaxError: string
  /** The character, from 1, where the parser stopped. */
  readonly position: number
  readonly recordable: string | undefined
}

/** Has to be done in each thread before the first text is read. */
export const loadGrammar = (): Promise<void> => loadModule()

/**
 * Reads a text; `recordKey` is that of placeholders in what may be written down of it. `parsed` is told what the parser said.
 * @throws when the module cannot be trusted any more, in this thread: it must not be used again there.
 */
export function readText(text: string, recordKey: Uint8Array, parsed?: (tree: Json) => void): Analysis {
  // The library refuses an empty text; the server takes it for a query without statements.
  if (text === '') return { statements: [] }
  const bytes = Buffer.from(text, 'utf8')
  let result: Json
  try {
    result = parseSync(text) as unknown as Json
  } catch (thrown) {
    if (!isOfGrammar(thrown)) throw thrown
    const details = 'sqlDetails' in thrown ? (thrown.sqlDetails as { cursorPosition?: number }) : {}
    const position = (details.cursorPosition ?? 0) + 1
    return { syntaxError: thrown.message, position, recordable: hideConstants(bytes, recordKey) }
  }
  parsed?.(result)
  return { statements: readFacts(result, bytes, recordKey, mayHaveTexts(text) ? parse : undefined) }
}

/** The tree of a text within another; undefined for what the grammar does not know. */
function parse(text: string): Json | undefined {
  try {
    return text === '' ? undefined : (parseSync(text) as unknown as Json)
  } catch (thrown) {
    if (!isOfGrammar(thrown)) throw thrown
    return undefined
  }
}

/** Anything else than the grammar's own error means that the module is broken. */
const isOfGrammar = (thrown: unknown): thrown is Error => thrown instanceof Error && thrown.name === 'SqlError'
