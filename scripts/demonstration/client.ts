// The SQL client that people use: psql where there is one, otherwise a small one of the demo's own.
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

export interface Address {
  readonly port: number
  readonly user: string
}

export interface SqlClient {
  readonly program: 'psql' | 'sql'
  readonly description: string
  /** What a person types to get a prompt. */
  line(address: Address): string
  /** The program and its arguments to run statements in one session, with SQLSTATEs in what it says of errors. */
  command(address: Address, sql: readonly string[]): string[]
}

const place = ({ port, user }: Address): string => `host=127.0.0.1 port=${port} dbname=shop user=${user}`
const each = (sql: readonly string[]): string[] => sql.flatMap(statement => ['-c', statement])

export function chooseClient(): SqlClient {
  if (process.env['GATE_DEMO_CLIENT'] !== 'node' && isOnPath('psql')) {
    return {
      program: 'psql',
      description: "psql, this machine's own",
      line: address => `psql "${place(address)}"`,
      command: (address, sql) => ['psql', '-X', '-v', 'VERBOSITY=verbose', place(address), ...each(sql)],
    }
  }
  return {
    program: 'sql',
    description: isOnPath('psql')
      ? "sql, a small client made with Node's pg; GATE_DEMO_CLIENT asks for it"
      : "sql, a small client made with Node's pg: this machine has no psql",
    line: address => `sql "${place(address)}"`,
    command: (address, sql) => ['sql', place(address), ...each(sql)],
  }
}

/** The HTTP client that people use: curl where there is one. */
export interface HttpClient {
  readonly description: string
  /** What a shell runs to get a URL, or to post a body to it. */
  line(url: string, body?: string): string
}

export function chooseHttpClient(): HttpClient {
  const post = (body: string | undefined): string => (body === undefined ? '' : `-d '${body}' `)
  if (process.env['GATE_DEMO_CLIENT'] !== 'node' && isOnPath('curl')) {
    const json = "-H 'content-type: application/json' "
    return {
      description: 'curl',
      line: (url, body) => `curl -sS --path-as-is ${body === undefined ? '' : json}${post(body)}"${url}"`,
    }
  }
  return { description: 'http, a small client of the demo’s own', line: (url, body) => `http ${post(body)}"${url}"` }
}

function isOnPath(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some(directory => {
    try {
      accessSync(join(directory, program), constants.X_OK)
      return directory !== ''
    } catch {
      return false
    }
  })
}
