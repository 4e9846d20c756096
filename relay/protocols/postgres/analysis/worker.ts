// The worker thread that parses what is too long for the main thread.
// A statement such as 1+1+… of 40 kB overflows the module's stack and breaks it for everyone on a main thread; here it
// has a large stack, a deadline and a replacement.
import { parentPort, workerData } from 'node:worker_threads'
import { type Analysis, loadGrammar, readText } from './read.ts'

export interface AnalysisRequest {
  readonly id: number
  readonly text: string
}

export type AnalysisReply = { readonly ready: true } | { readonly id: number; readonly analysis: Analysis }

/** What the thread is started with. */
export interface AnalysisData {
  /** The key of placeholders. */
  readonly recordKey: Uint8Array
}

if (parentPort === null) throw new Error('analysis/worker runs as a worker thread only')
const port = parentPort
const { recordKey } = workerData as AnalysisData
await loadGrammar()

port.on('message', ({ id, text }: AnalysisRequest) => {
  // What is thrown ends the thread.
  port.postMessage({ id, analysis: readText(text, recordKey) } satisfies AnalysisReply)
})
port.postMessage({ ready: true } satisfies AnalysisReply)
