// sql "host=… port=… dbname=… user=…" [-c SQL]…: as much of psql as the demo needs, where there is no psql.
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import pg from 'pg'

interface Said {
  readonly severity?: string | undefined
  readonly code?: string | undefined
  readonly message?: string | undefined
  readonly detail?: string | undefined
  readonly hint?: string | undefined
}

/** What pg keeps to itself: the key for cancel requests. */
type Session = pg.Client & { processID: number; secretKey: number }

const CANCEL_REQUEST = 80_877_102
const [, , place = '', ...rest] = process.argv
const settings = Object.fromEntries(place.split(/\s+/).map(pair => pair.split('='))) as Record<string, string>
const commands = rest.filter((_, index) => rest[index - 1] === '-c')
const address = { host: settings['host'] ?? '127.0.0.1', port: Number(settings['port'] ?? 5432) }

const tell = (said: Said): void => {
  const code = said.code === undefined || said.code === '00000' ? '' : `${said.code}: `
  const lines = [
    `${said.severity ?? 'ERROR'}:  ${code}${said.message ?? ''}`,
    said.detail === undefined ? '' : `DETAIL:  ${said.detail}`,
    said.hint === undefined ? '' : `HINT:  ${said.hint}`,
  ]
  process.stderr.write(`${lines.filter(line => line !== '').join('\n')}\n`)
}

/** The cancel request of the protocol, as psql sends it at Ctrl-C: on a connection of its own. */
function cancel({ processID, secretKey }: Session): void {
  const message = Buffer.alloc(16)
  for (const [index, value] of [16, CANCEL_REQUEST, processID, secretKey].entries())
    message.writeInt32BE(value, index * 4)
  const socket = connect(address, () => socket.end(message))
  socket.on('error', () => {})
}

interface Rows {
  readonly command: string | null
  readonly rowCount: number | null
  readonly fields: readonly { readonly name: string }[]
  readonly rows: readonly (readonly (string | null)[])[]
}

function show({ command, rowCount, fields, rows }: Rows): void {
  if (fields.length === 0) {
    process.stdout.write(
      `${[command, command === 'INSERT' ? '0' : undefined, rowCount ?? undefined].filter(part => part !== undefined).join(' ')}\n`,
    )
    return
  }
  const names = fields.map(({ name }) => name)
  const widths = names.map((name, column) => Math.max(name.length, ...rows.map(row => (row[column] ?? '').length)))
  const line = (cells: readonly (string | null)[]): string =>
    ` ${cells.map((cell, column) => (cell ?? '').padEnd(widths[column] ?? 0)).join(' | ')}`.trimEnd()
  const rule = widths.map(width => '-'.repeat(width + 2)).join('+')
  const count = rows.length === 1 ? '(1 row)' : `(${rows.length} rows)`
  process.stdout.write(`${[line(names), rule, ...rows.map(line), count].join('\n')}\n\n`)
}

/** Runs one text as a simple query; false when the server refused it. */
async function runText(session: Session, text: string): Promise<boolean> {
  try {
    const types = { getTypeParser: () => (value: string) => value }
    const done = (await session.query({ text, rowMode: 'array', types } as never)) as unknown as Rows | Rows[]
    for (const result of [done].flat()) show(result)
    return true
  } catch (thrown) {
    tell(thrown as Said)
    return false
  }
}

/** Reads statements that end with a semicolon; Ctrl-C cancels the one that runs. */
async function converse(session: Session): Promise<void> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout, prompt: 'shop=> ' })
  let text = ''
  let running = false
  terminal.on('SIGINT', () => {
    if (running) return cancel(session)
    text = ''
    process.stdout.write('\n')
    terminal.prompt()
  })
  terminal.prompt()
  for await (const line of terminal) {
    if (/^\s*(\\q|exit|quit)\s*;?\s*$/.test(line)) return terminal.close()
    text += `${line}\n`
    if (!line.trimEnd().endsWith(';')) continue
    running = true
    await runText(session, text)
    running = false
    text = ''
    terminal.prompt()
  }
}

const session = new pg.Client({
  ...address,
  database: settings['dbname'],
  user: settings['user'],
  application_name: 'sql',
}) as Session
session.on('notice', tell)
session.on('error', error => {
  tell({ severity: 'FATAL', message: error.message })
  process.exit(2)
})
process.on('SIGINT', () => cancel(session))
try {
  await session.connect()
} catch (thrown) {
  tell({ severity: 'FATAL', ...(thrown as Said), message: (thrown as Error).message })
  process.exit(2)
}
let good = true
if (commands.length === 0) await converse(session)
for (const command of commands) good = await runText(session, command)
await session.end()
process.exitCode = good ? 0 : 1
