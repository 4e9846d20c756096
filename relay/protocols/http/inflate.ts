// Undoes `deflate` as it is found: within zlib's wrapper, as RFC 9110 section 8.4.1.2 has it, or without, as clients take it too.
import { Duplex } from 'node:stream'
import { createInflate, createInflateRaw } from 'node:zlib'

const HEADER_BYTES = 2
/** RFC 1950 section 2.2: the low half of the first byte says deflate, and both together are a multiple of 31. */
const METHOD_MASK = 0x0f
const METHOD_DEFLATE = 8
const CHECK = 31

const isWrapped = (head: Buffer): boolean =>
  ((head[0] ?? 0) & METHOD_MASK) === METHOD_DEFLATE && head.readUInt16BE() % CHECK === 0

/** No stream of deflate that an encoder makes begins like a wrapper: it would be a stored block with odd padding. */
export function createAnyInflate(): Duplex {
  return new AnyInflate()
}

class AnyInflate extends Duplex {
  #inner: Duplex | undefined
  /** Less than a header. */
  #head = Buffer.alloc(0)

  override _write(chunk: Buffer, _encoding: BufferEncoding, written: (error?: Error | null) => void): void {
    if (this.#inner !== undefined) return void this.#inner.write(chunk, written)
    this.#head = Buffer.concat([this.#head, chunk])
    if (this.#head.length < HEADER_BYTES) return written()
    this.#open(isWrapped(this.#head)).write(this.#head, written)
  }

  /** What ends within a header is broken, and nothing at all is nothing. */
  override _final(done: (error?: Error | null) => void): void {
    const inner = this.#inner ?? this.#open(true)
    inner.end(this.#head.length < HEADER_BYTES ? this.#head : undefined)
    done()
  }

  #open(wrapped: boolean): Duplex {
    const inner = wrapped ? createInflate() : createInflateRaw()
    this.#inner = inner
    inner.on('data', chunk => {
      if (!this.push(chunk)) inner.pause()
    })
    inner.on('end', () => void this.push(null))
    inner.on('error', thrown => this.destroy(thrown))
    return inner
  }

  override _read(): void {
    this.#inner?.resume()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#inner?.destroy()
    done(error)
  }
}
