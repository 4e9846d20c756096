// Undoes Zstandard as a stream, with fzstd: node's own decoder came with 22.15. Nothing here makes it.
import { Transform } from 'node:stream'
import { Decompress } from 'fzstd'
import { Growth } from './growth.ts'
import { ZstdFrames } from './zstd-frames.ts'

/** A block of four bytes can become 128 kB: what is given at once is little, so that growth is noticed in between. */
const SLICE_BYTES = 1_024

/** Breaks with what is wrong with the body; checksums are not compared. */
export function createZstdDecompress(): Transform {
  const frames = new ZstdFrames()
  const growth = new Growth()
  const decoder = new Decompress(decoded => {
    growth.gave(decoded.length)
    // The decoder goes on in the same memory.
    stream.push(Buffer.from(decoded))
  })
  const decode = (chunk: Buffer): void => {
    frames.push(chunk)
    for (let at = 0; at < chunk.length; at += SLICE_BYTES) {
      const slice = chunk.subarray(at, at + SLICE_BYTES)
      growth.took(slice.length)
      decoder.push(slice)
    }
  }
  const attempt = (work: () => void, done: (error?: Error | null) => void): void => {
    try {
      work()
      done()
    } catch (thrown) {
      done(thrown as Error)
    }
  }
  const stream = new Transform({
    transform: (chunk: Buffer, _encoding, done) => attempt(() => decode(chunk), done),
    flush: done => attempt(() => decoder.push(Buffer.alloc(0), true), done),
  })
  return stream
}
