// Messages of a WebSocket until somebody takes them. Pure.

/** Messages that a peer may send before anybody here takes them: its first words can come along with the handshake. */
const MAX_EARLY_MESSAGES = 8

export class Mailbox<Message> {
  readonly #early: Message[] = []
  readonly #overflow: () => void
  #take: ((message: Message) => void) | undefined

  constructor(overflow: () => void) {
    this.#overflow = overflow
  }

  put(message: Message): void {
    if (this.#take !== undefined) this.#take(message)
    else if (this.#early.length >= MAX_EARLY_MESSAGES) this.#overflow()
    else this.#early.push(message)
  }

  open(take: (message: Message) => void): void {
    this.#take = take
    for (const message of this.#early.splice(0)) this.put(message)
  }
}
