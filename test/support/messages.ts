// A conversation in PostgreSQL's own messages: what no driver sends, and what came of it.
import { connect } from 'node:net'
import { client, errorFields, type Message, messages } from './wire.ts'

const TURN_MS = 60_000

/** Sends messages turn by turn, and gives what comes of each until the server is ready, or is gone. */
export async function converse(port: number, ...turns: readonly (readonly Buffer[])[]): Promise<Message[][]> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  let bytes = Buffer.alloc(0)
  let closed = false
  let changed = (): void => {}
  socket.on('data', chunk => {
    bytes = Buffer.concat([bytes, chunk])
    changed()
  })
  socket.on('close', () => {
    closed = true
    changed()
  })
  socket.on('error', () => {})
  const turn = async (sent: readonly Buffer[]): Promise<Message[]> => {
    bytes = Buffer.alloc(0)
    socket.write(Buffer.concat(sent))
    const until = performance.now() + TURN_MS
    while (!closed && messages(bytes).at(-1)?.type !== 'Z') {
      if (performance.now() > until) throw new Error(`no answer: ${bytes.toString('latin1')}`)
      await new Promise<void>(resolve => {
        changed = resolve
        setTimeout(resolve, 500)
      })
    }
    return messages(bytes)
  }
  await turn([client.startup({ user: 'anybody', database: 'app' })])
  const answers: Message[][] = []
  for (const sent of turns) answers.push(await turn(sent))
  socket.destroy()
  return answers
}

/** All of it as one text. */
export const said = (all: readonly Message[][]): string =>
  all
    .flat()
    .map(({ body }) => body.toString('latin1'))
    .join(' ')

export const errors = (all: readonly Message[][]): string[] =>
  all.flat().flatMap(message => (message.type === 'E' ? [errorFields(message)['M'] ?? ''] : []))

export const query = (text: string): Buffer[] => [client.query(text)]
