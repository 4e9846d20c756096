// Answers before the answer (RFC 9110 section 15.2), so that undici passes over all of them. Pure.

/** So much of a head says what it is the head of; `#` is any digit. */
const EARLY = 'HTTP/1.# 1##'
const HEAD_END = '\r\n\r\n'
const TWO = 0x32

/** What is none from its first bytes on goes on at once: whoever sent it may have no more to say. */
const beginsEarly = (line: string): boolean =>
  [...line].every((sign, at) => (EARLY[at] === '#' ? sign >= '0' && sign <= '9' : sign === EARLY[at]))

/**
 * undici breaks off at a 100 that it did not wait for, and passes over a 102 (RFC 9110 section 15.2 has both ignored by who
 * did not ask). So a 100 is made a 102. Every byte goes on: what is no answer is undici's to refuse.
 */
export class EarlyAnswers {
  /** Where in the stream of answers the next byte stands. */
  #at: 'status line' | 'early head' | 'answer' = 'status line'
  /** The beginning of a status line, until it can be told what it is. */
  #line = Buffer.alloc(0)
  /** Bytes of the end of a head that have come. */
  #ended = 0

  /** An answer begins: another request is sent. */
  begin(): void {
    this.#at = 'status line'
    this.#ended = 0
  }

  /** What of it can go on by now. */
  push(bytes: Buffer): Buffer {
    if (this.#at === 'answer') return bytes
    const all = this.#line.length === 0 ? bytes : Buffer.concat([this.#line, bytes])
    this.#line = Buffer.alloc(0)
    let from = 0
    for (;;) {
      if (this.#at === 'early head') from = this.#headEnd(all, from)
      if (from === all.length) return all
      const line = all.toString('latin1', from, from + EARLY.length)
      if (!beginsEarly(line) || line.endsWith('101')) {
        this.#at = 'answer'
        return all
      }
      if (line.length < EARLY.length) {
        this.#line = Buffer.from(all.subarray(from))
        return all.subarray(0, from)
      }
      if (line.endsWith('100')) all[from + EARLY.length - 1] = TWO
      from += EARLY.length
      this.#at = 'early head'
    }
  }

  /** Where what is behind the head begins; the end of the bytes where it is not over. */
  #headEnd(bytes: Buffer, from: number): number {
    let at = from
    while (at < bytes.length && this.#ended < HEAD_END.length) {
      const sign = bytes[at]
      const isNext = sign === HEAD_END.charCodeAt(this.#ended)
      this.#ended = isNext ? this.#ended + 1 : Number(sign === HEAD_END.charCodeAt(0))
      at += 1
    }
    if (this.#ended === HEAD_END.length) this.begin()
    return at
  }
}
