// Asking a database for a value that must not come, and searching everything that comes for it, in every form.
import { createHash } from 'node:crypto'
import type { EventEmitter } from 'node:events'
import pg from 'pg'
import type { Test } from 'tap'

export const SECRET = 'user7@secret.example'

/** The secret in the forms that the statements below turn it into. */
const forms = [
  'secret',
  'SECRET',
  Buffer.from('secret').toString('hex'),
  'terces',
  createHash('md5').update(SECRET).digest('hex'),
  createHash('sha256').update(SECRET).digest('hex'),
  Buffer.from(SECRET).toString('base64').slice(0, 12),
  'user7@',
  'frperg', // rot13
]

export interface Answer {
  readonly text: string
  readonly refused: boolean
}

/** Runs messages in one session and gives back everything that came: rows, names, errors with all fields, notices, notifications. */
export async function ask(
  port: number,
  messages: readonly string[],
  extended: boolean,
  binary: boolean,
): Promise<Answer> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'carol', database: 'app' })
  const seen: string[] = []
  let refused = false
  client.on('notice', notice => seen.push(JSON.stringify(notice)))
  client.on('notification', notification => seen.push(JSON.stringify(notification)))
  client.on('error', error => seen.push(String(error)))
  const { connection } = client as unknown as { connection: EventEmitter }
  connection.on('parameterStatus', message => seen.push(JSON.stringify(message)))
  connection.on('copyData', (message: { chunk: Buffer }) => seen.push(message.chunk.toString('latin1')))
  await client.connect()
  try {
    for (const text of messages) {
      try {
        const query = extended
          ? { text, values: [], queryMode: 'extended', binary, rowMode: 'array' }
          : { text, rowMode: 'array' }
        const results = [await client.query(query as pg.QueryArrayConfig)].flat() as pg.QueryArrayResult[]
        for (const result of results) seen.push(JSON.stringify([result.fields?.map(({ name }) => name), result.rows]))
        for (const row of results.flatMap(result => result.rows).flat())
          if (Buffer.isBuffer(row)) seen.push(row.toString('latin1'))
      } catch (thrown) {
        refused ||= thrown instanceof Error && /^gate:/.test(thrown.message)
        seen.push(JSON.stringify(thrown, [...Object.getOwnPropertyNames(thrown), 'message', 'detail', 'hint', 'where']))
      }
    }
  } finally {
    await client.end().catch(() => {})
  }
  return { text: seen.join('\n'), refused }
}

/** Tries families of statements over the simple and the extended protocol, in text and binary; `;;` separates messages. */
export async function tryAll(
  t: Test,
  port: number,
  attempts: Readonly<Record<string, readonly string[]>>,
): Promise<void> {
  for (const [family, statements] of Object.entries(attempts)) {
    await t.test(family, async t => {
      for (const statement of statements) {
        const messages = statement.split(';;')
        for (const [extended, binary] of [
          [false, false],
          [true, false],
          [true, true],
        ] as const) {
          // A message of several statements has no extended form.
          if (
            extended &&
            messages.some(message => message.includes(';') && !message.includes('$$') && !message.includes("'"))
          )
            continue
          const { text } = await ask(port, messages, extended, binary)
          const found = forms.find(form => text.includes(form))
          // The statement's own words come back in errors and in the catalogs' texts: only what it does not hold itself counts.
          if (found === undefined || statement.includes(found)) t.pass(statement)
          else
            t.fail(
              `${statement} (${extended ? 'extended' : 'simple'}${binary ? ', binary' : ''}) gave ${found}: ${text.slice(0, 300)}`,
            )
        }
      }
    })
  }
}
