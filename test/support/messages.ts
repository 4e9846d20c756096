// A conversation in PostgreSQL's own messages: what no driver sends, and what came of it.
import { Talk } from './talk.ts'
import { client, errorFields, type Message } from './wire.ts'

/** Sends messages turn by turn, and gives what comes of each until the server is ready, or is gone. */
export async function converse(
  port: number,
  ...turns: readonly (readonly Buffer[])[]
): Promise<(readonly Message[])[]> {
  const talk = await Talk.start(port)
  const answers: (readonly Message[])[] = []
  for (const sent of turns) answers.push(await talk.say(sent))
  talk.close()
  return answers
}

/** All of it as one text. */
export const said = (all: readonly (readonly Message[])[]): string =>
  all
    .flat()
    .map(({ body }) => body.toString('latin1'))
    .join(' ')

export const errors = (all: readonly (readonly Message[])[]): string[] =>
  all.flat().flatMap(message => (message.type === 'E' ? [errorFields(message)['M'] ?? ''] : []))

export const query = (text: string): Buffer[] => [client.query(text)]
