// The worker thread that parses: PostgreSQL's own grammar in WebAssembly, and the walk over its tree.
// A statement such as 1+1+… of 40 kB overflows the module's stack and breaks it for everyone on a main thread; here it
// has a large stack, a deadline and a replacement.
import { parentPort, workerData } from 'node:worker_threads'
import { loadModule, parseSync } from 'libpg-query'
import { readFacts, type StatementFacts } from './facts.ts'
import { hideConstants } from './recordable.ts'
import type { Json } from './tree.ts'

export interface AnalysisRequest {
  readonly id: number
  readonly text: string
}

export type AnalysisReply =
  | { readonly ready: true }
  | { readonly id: number; readonly statements: readonly StatementFacts[] }
  | ({ readonly id: number } & Unparsable)

/** The grammar does not know the text; `recordable` is what may be written down of it, undefined when that is nothing. */
export interface Unparsable {
  readonly syntaxError: string
  /** The character, from 1, where the parser stopped. */
  readonly position: number
  readonly recordable: string | undefined
}

/** What the thread is started with. */
export interface AnalysisData {
  /** The key of placeholders. */
  readonly recordKey: Uint8Array
}

if (parentPort === null) throw new Error('analysis/worker runs as a worker thread only')
const port = parentPort
const { recordKey } = workerData as AnalysisData
await loadModule()

function analyse(text: string): { statements: StatementFacts[] } | Unparsable {
  // The library refuses an empty text; the server takes it for a query without statements.
  if (text === '') return { statements: [] }
  const bytes = Buffer.from(text, 'utf8')
  let result: Json
  try {
    result = parseSync(text) as unknown as Json
  } catch (thrown) {
    // Anything else than the grammar's own error means that the module cannot be trusted any more: the thread ends.
    if (!(thrown instanceof Error) || thrown.name !== 'SqlError') throw thrown
    const details = 'sqlDetails' in thrown ? (thrown.sqlDetails as { cursorPosition?: number }) : {}
    const position = (details.cursorPosition ?? 0) + 1
    return { syntaxError: thrown.message, position, recordable: hideConstants(bytes, recordKey) }
  }
  return { statements: readFacts(result, bytes, recordKey) }
}

port.on('message', ({ id, text }: AnalysisRequest) => {
  port.postMessage({ id, ...analyse(text) } satisfies AnalysisReply)
})
port.postMessage({ ready: true } satisfies AnalysisReply)
