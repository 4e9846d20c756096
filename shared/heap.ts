// How far the heap of a program that hands bytes on may grow before all of it is looked through.
import { setFlagsFromString } from 'node:v8'

/**
 * V8 sizes what may be allocated until the next mark-sweep by what is alive, and counts buffers outside the heap with it.
 * Here little is alive, while megabytes of buffers pass each second: it marked the whole heap six times a second for 25 MB each,
 * which took up to half the CPU of every hop. Up to four times what is alive is the most that V8 itself chooses.
 */
const GROWING_PERCENT = 300

/** For programs that stay and move much; to be called before they do. Memory stays within four times what is alive. */
export function letHeapGrow(): void {
  setFlagsFromString(`--heap-growing-percent=${GROWING_PERCENT}`)
}
