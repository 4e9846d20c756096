// Somebody at a terminal: types what the demo tells people to type, in a shell that their file was read into.
import { type Finished, type Running, start } from '#support/process'
import type { SqlClient } from './client.ts'
import { type Name, type Player, SERVICE, TARGET } from './people.ts'
import type { Report, Step } from './report.ts'
import type { World } from './world.ts'

const TIMEOUT_MS = 40_000
const HAS_ENDED_MS = 15_000

/** Variables of whoever runs the demo that would change what its people see. */
const foreign = /^(PG|GATE_|XDG_)|^(CI|LC_ALL|LANGUAGE|PAGER|PSQLRC|PSQL_PAGER)$/

export const said = ({ stdout, stderr }: Finished): string => `${stdout}${stderr}`

/** A process as it looks on a terminal. */
export interface Typed extends Running {
  /** Both of its outputs in the order in which they came. */
  transcript(): string
}

/** A statement that somebody ran, and the mark that the record must have for it. */
export interface Ran {
  readonly who: Name
  readonly sql: string
  readonly mark: '✓' | '✗'
}

export class Actor {
  readonly name: Name
  readonly player: Player
  readonly #client: SqlClient
  readonly #running: Set<Running>
  /** Sessions that this person has had. */
  sessions = 0
  /** The person's `gate connect`, which goes on in the background. */
  connecting: Typed | undefined

  constructor(name: Name, world: World, running: Set<Running>) {
    this.name = name
    this.player = world.players[name]
    this.#client = world.client
    this.#running = running
  }

  start(...command: string[]): Typed {
    const environment = Object.fromEntries(
      Object.keys(process.env).flatMap(name => (foreign.test(name) ? [[name, undefined]] : [])),
    )
    const shell = ['-c', '. "$1"; shift; exec "$@"', 'sh', this.player.script, ...command]
    const running = start('/bin/sh', shell, { env: { ...environment, LC_ALL: 'C' } })
    this.#running.add(running)
    let transcript = ''
    for (const stream of [running.child.stdout, running.child.stderr])
      stream?.on('data', (text: string) => {
        transcript += text
      })
    return { ...running, transcript: () => transcript }
  }

  /** Runs a command to its end and shows it. */
  async types(step: Step, ...command: string[]): Promise<Finished> {
    const running = this.start(...command)
    running.child.stdin?.end()
    const finished = await running.finished(TIMEOUT_MS)
    step.show(this.name, command.map(shown).join(' '), running.transcript())
    return finished
  }

  /** Starts the SQL client with statements, in one session. */
  startSql(...sql: string[]): Typed {
    this.sessions += 1
    const address = { port: this.player.port, user: this.name }
    const running = this.start(...this.#client.command(address, sql))
    running.child.stdin?.end()
    return running
  }

  async sql(step: Step, ...sql: string[]): Promise<Finished> {
    const running = this.startSql(...sql)
    const finished = await running.finished(TIMEOUT_MS)
    this.showSql(step, sql, running.transcript())
    return finished
  }

  showSql(step: Step, sql: readonly string[], transcript: string): void {
    const typed = sql.map(statement => `-c ${shown(statement)}`).join(' ')
    step.show(this.name, `${this.#client.program} … ${typed}`, transcript)
  }
}

const shown = (argument: string): string => (/^[\w@%+=:,./-]+$/.test(argument) ? argument : JSON.stringify(argument))

/** The people of one run of the story, and what it keeps in mind of them. */
export class Cast implements AsyncDisposable {
  readonly world: World
  readonly report: Report
  readonly alice: Actor
  readonly bob: Actor
  readonly carol: Actor
  readonly ran: Ran[] = []
  readonly #running = new Set<Running>()

  constructor(world: World, report: Report) {
    this.world = world
    this.report = report
    this.alice = new Actor('alice', world, this.#running)
    this.bob = new Actor('bob', world, this.#running)
    this.carol = new Actor('carol', world, this.#running)
  }

  get everybody(): readonly Actor[] {
    return [this.alice, this.bob, this.carol]
  }

  /** Keeps in mind that the record must have these statements. */
  remember(who: Actor, mark: Ran['mark'], ...sql: string[]): void {
    for (const statement of sql) this.ran.push({ who: who.name, sql: statement, mark })
  }

  /** What PostgreSQL itself says, past gate. */
  async direct(sql: string): Promise<string> {
    const [row] = await this.world.postgres.query(sql, 'shop')
    return row?.[0] ?? ''
  }

  /** Waits until PostgreSQL itself says so. */
  async until(sql: string, wanted: string): Promise<boolean> {
    for (const deadline = performance.now() + HAS_ENDED_MS; performance.now() < deadline; ) {
      if ((await this.direct(sql)) === wanted) return true
      await new Promise(resolve => setTimeout(resolve, 50))
    }
    return false
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#running].map(running => running[Symbol.asyncDispose]()))
  }
}

export { SERVICE, TARGET }
