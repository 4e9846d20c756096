// Answers that the client may not see yet: kept until they may be shown, or thrown away. Pure.
import type { Inbound } from './inbound.ts'

/** Answers of one command that wait for a decision over its rows. */
export const MAX_WITHHELD_BYTES = 16 * 1024 * 1024

export class Withholding {
  readonly #inbound: Inbound
  readonly #send: (unit: Buffer) => void
  #mode: 'passes' | 'keeps' | 'discards' = 'passes'
  #units: Buffer[] = []
  #bytes = 0

  constructor(inbound: Inbound, send: (unit: Buffer) => void) {
    this.#inbound = inbound
    this.#send = send
  }

  /** Whether the client sees less than what passes. */
  get active(): boolean {
    return this.#mode !== 'passes'
  }

  /** More was kept than may be; it is lost. */
  get overflowed(): boolean {
    return this.#bytes > MAX_WITHHELD_BYTES
  }

  /** From here on everything is kept, unless it is thrown away already. */
  begin(): void {
    if (this.#mode !== 'passes') return
    this.#mode = 'keeps'
    this.#inbound.redirect(unit => this.#keep(unit))
  }

  #keep(unit: Buffer): void {
    this.#bytes += unit.length
    if (this.overflowed) this.#units = []
    else this.#units.push(unit)
  }

  /** What was kept goes to the client, and so does what follows. */
  release(): void {
    const units = this.#pass()
    for (const unit of units) this.#send(unit)
  }

  /** What was kept is thrown away; what follows passes. */
  drop(): void {
    this.#pass()
  }

  #pass(): Buffer[] {
    if (this.#mode === 'passes') return []
    this.#mode = 'passes'
    this.#inbound.redirect(this.#send)
    const units = this.#units
    this.#units = []
    this.#bytes = 0
    return units
  }

  /** What was kept and what follows is thrown away. */
  discard(): void {
    this.#pass()
    this.#mode = 'discards'
    this.#inbound.redirect(() => {})
  }

  /** Lets the next message through although others are kept: what the server says beside its answers. */
  passNow(bytes: number): void {
    if (this.#mode === 'passes') this.#inbound.pass(bytes)
    else this.#send(this.#inbound.take(bytes))
  }

  /** Says something before the next message, although others are kept. */
  putNow(bytes: Buffer): void {
    if (this.#mode === 'passes') this.#inbound.put(bytes)
    else this.#send(bytes)
  }
}
