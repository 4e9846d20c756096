// A client that says its own bytes to a PostgreSQL port, and what comes back.
import { connect, type Socket } from 'node:net'
import { client, errorFields, type Message, messages } from './wire.ts'

export class Talk {
  readonly #socket: Socket
  #bytes = Buffer.alloc(0)
  #look = (): void => {}

  private constructor(port: number) {
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true })
    this.#socket.on('data', chunk => {
      this.#bytes = Buffer.concat([this.#bytes, chunk])
      this.#look()
    })
    this.#socket.on('close', () => this.#look())
    this.#socket.on('error', () => {})
  }

  static async start(port: number, parameters: Readonly<Record<string, string>> = {}): Promise<Talk> {
    const talk = new Talk(port)
    await talk.say([client.startup({ user: 'alice', database: 'app', ...parameters })])
    return talk
  }

  /** What is said instead of a session. */
  static async refused(port: number, parameters: Readonly<Record<string, string>>): Promise<string> {
    return shown(await new Talk(port).say([client.startup({ user: 'alice', database: 'app', ...parameters })]))
  }

  /** What comes until the server is ready, so many times, or has closed. */
  say(units: readonly Buffer[], ready = 1): Promise<readonly Message[]> {
    this.#bytes = Buffer.alloc(0)
    this.#socket.write(Buffer.concat(units))
    return new Promise(resolve => {
      this.#look = () => {
        const got = messages(this.#bytes)
        const isReady = got.at(-1)?.type === 'Z' && got.filter(({ type }) => type === 'Z').length >= ready
        if (isReady || this.#socket.closed) resolve(got)
      }
      this.#look()
    })
  }

  /** The rows' first columns, tags and errors of a query. */
  async ask(text: string | Buffer): Promise<string> {
    return shown(await this.say([client.query(text)]))
  }

  close(): void {
    this.#socket.destroy()
  }
}

/** Parse, Bind and Execute without names. */
export const run = (text: string): Buffer[] => [client.parse('', text), client.bind('', ''), client.execute('')]

/** Values of rows, each in latin1 so that every byte shows, and errors with their SQLSTATE. */
export function shown(answer: readonly Message[]): string {
  return answer
    .flatMap(message => {
      if (message.type === 'D') return [message.body.toString('latin1', 6)]
      if (message.type !== 'E') return []
      const { C, M } = errorFields(message)
      return [`${C} ${M}`]
    })
    .join('; ')
}
