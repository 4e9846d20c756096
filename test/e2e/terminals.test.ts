// Sessions with terminals, recorded, found, followed, played back, exported and proved. There is no SSH room yet: a room of the
// tests with a real shell stands in its place (test/support/terminal-room.ts); all other parts are as users start them.
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Cleanup } from '@gate/shared/cleanup'
import t from 'tap'
import { atTerminal, hasScript } from '../support/at-terminal.ts'
import type { DiskTrouble } from '../support/failing-disk.ts'
import {
  type Cli,
  type Connection,
  peopleOf,
  type RelayProcess,
  type RelaySetup,
  startAgent,
  startRelay,
} from '../support/gate.ts'
import { startOidc } from '../support/oidc.ts'
import { run } from '../support/process.ts'
import { temporaryDirectory } from '../support/tmp.ts'

const skip = hasScript ? false : 'no script(1) on this machine'
const ASCIINEMA = '/usr/bin/asciinema'
const program = fileURLToPath(new URL('../support/terminal-relay.js', import.meta.url))

const policy = `
targets:
  - match: { name: shell }
    allow: { groups: [engineers, dba] }
    viewers: [dba]
    operators: [dba]
    rules:
      - { name: shells, when: 'op.program != "rm"', allow: [engineers, dba] }
      - { name: never, when: 'op.program == "rm"', deny: "Nothing is removed here." }
`

async function startTerminals(
  cleanup: Cleanup,
  setup: Partial<RelaySetup> = {},
): Promise<{ relay: RelayProcess; alice: Cli; bob: Cli }> {
  const oidc = cleanup.use(await startOidc())
  const relay = cleanup.use(await startRelay({ oidc, policy, program, ...setup }))
  // The room does not ask the agent; a target has to be announced nevertheless.
  cleanup.use(await startAgent({ relay, targets: '  - { name: shell, protocol: http, url: "http://127.0.0.1:9" }' }))
  const person = peopleOf(cleanup, relay, oidc)
  return { relay, alice: await person('alice'), bob: await person('bob') }
}

/** What a person has before them: a connection on which they type, and what came back. */
class Typing {
  readonly #socket: Socket
  #shown = ''
  #told: () => void = () => {}
  #isOver = false

  constructor({ port }: Connection, first: string) {
    this.#socket = connect(port, '127.0.0.1')
    this.#socket.setEncoding('utf8')
    this.#socket.on('data', (text: string) => {
      this.#shown += text
      this.#told()
    })
    this.#socket.on('error', () => {})
    this.#socket.on('close', () => {
      this.#isOver = true
      this.#told()
    })
    this.type(first)
  }

  get shown(): string {
    return this.#shown
  }

  type(text: string): void {
    this.#socket.write(text)
  }

  async #until(isTrue: () => boolean, what: string): Promise<void> {
    const timeout = setTimeout(() => this.#told(), 30_000)
    const until = performance.now() + 30_000
    while (!isTrue()) {
      if (performance.now() >= until) throw new Error(`${what} did not come: ${JSON.stringify(this.#shown)}`)
      await new Promise<void>(resolve => {
        this.#told = resolve
      })
    }
    clearTimeout(timeout)
  }

  see(pattern: RegExp): Promise<void> {
    return this.#until(() => pattern.test(this.#shown), String(pattern))
  }

  over(): Promise<void> {
    return this.#until(() => this.#isOver, 'the end')
  }
}

interface Body {
  readonly type: string
  readonly command?: number
  readonly text?: string
  readonly columns?: number
  readonly cutFrom?: number
  readonly sealed?: string
}

/** Events of the newest session that alice had, once it is over. */
async function lastSession(alice: Cli): Promise<{ id: string; events: { timeMs: number; body: Body }[] }> {
  const [{ id = '' } = {}] = JSON.parse((await alice.runInProcess('sessions', '--json')).stdout) as { id: string }[]
  const lines = (await alice.runInProcess('sessions', 'show', id, '--json')).stdout.trim().split('\n')
  const events = lines.slice(1).map(line => (JSON.parse(line) as { event: { timeMs: number; body: Body } }).event)
  return { id, events }
}

const textOf = (events: readonly { body: Body }[]): string =>
  events.flatMap(({ body }) => (body.type === 'output' ? [body.text ?? ''] : [])).join('')

const CARD = '4111 1111 1111 1111'
const shell = "env PS1='> ' TERM=xterm bash --norc --noprofile"

t.test('a session at a terminal', { skip }, async t => {
  await using cleanup = new Cleanup()
  const { relay, alice, bob } = await startTerminals(cleanup)
  const gate = cleanup.use(await alice.connect('shell', '--task', 'MIG-7'))

  const person = new Typing(gate, `80x24 ${shell}\n`)
  await person.see(/> $/)
  person.type("printf '\\033[31mred\\033[0m \\344\\270\\255\\n'\n")
  await person.see(/red/)
  person.type(`echo paid with ${CARD.slice(0, 9)}"${CARD.slice(9)}"\n`)
  await person.see(new RegExp(`paid with ${CARD}`))

  await t.test('is followed while it runs: as a screen at a terminal, as lines elsewhere', async t => {
    const [{ id = '' } = {}] = JSON.parse((await bob.runInProcess('sessions', '--json')).stdout) as { id: string }[]
    await using lines = bob.start(['sessions', 'watch', id])
    await lines.waitFor(/a terminal of 80×24[\s\S]*│ red 中/)
    await using screen = atTerminal(bob.home, ['sessions', 'watch', id])
    await screen.waitFor(/red[\s\S]*paid with[\s\S]*live/)
    person.type('echo $((6 * 7))7\n')
    await screen.waitFor(/427/)
    await lines.waitFor(/│ 427/)
    screen.child.stdin?.write('\u0003')
    await screen.finished()
    t.notMatch(
      screen.stdout(),
      /\u001b\[\?2004h/,
      'what the shell asks of its terminal does not reach that of who looks on',
    )
  })

  person.type('\u0000100x30\n')
  await wait(200)
  person.type('clear; stty size\n')
  await person.see(/24 80/)
  person.type('exit 3\n')
  await person.over()
  const { id, events } = await lastSession(alice)

  await t.test('is recorded as it was shown, with its timing, and without what detectors find', async t => {
    const types = events.map(({ body }) => body.type)
    t.same([...new Set(types)], ['session.start', 'command', 'terminal', 'output', 'view', 'outcome', 'session.end'])
    t.same(types.slice(-2), ['outcome', 'session.end'], 'everything that was shown comes before the end')
    const text = textOf(events)
    t.match(text, /\u001b\[31mred\u001b\[0m 中\r\n/, 'a character of three bytes')
    t.match(person.shown, CARD)
    t.notMatch(text, CARD, 'a number of a card is replaced')
    t.match(text, /paid with ‹redacted:[0-9a-f]{16}›\r\n/)
    const times = events.filter(({ body }) => body.type === 'output').map(({ timeMs }) => timeMs)
    t.ok((times.at(-1) ?? 0) - (times[0] ?? 0) > 500, 'over time, not at once')
    const sizes = events.flatMap(({ body }) => (body.type === 'terminal' ? [body.columns] : []))
    t.same(sizes, [80, 100])
    const command = events.find(({ body }) => body.type === 'command')?.body
    t.match(events.find(({ body }) => body.type === 'outcome')?.body, { command: command?.command, status: 'exit 3' })
  })

  await t.test('is a timeline to read', async t => {
    const { stdout } = await bob.runInProcess('sessions', 'show', id)
    t.match(stdout, /a terminal of 80×24\n.*showed\n {2}│ > /)
    t.match(stdout, / {2}│ red 中\n/)
    t.notMatch(stdout, /\u001b/)
  })

  await t.test('is played back at a terminal, or stepped through', async t => {
    await using replay = atTerminal(bob.home, ['sessions', 'replay', id, '--speed', '0.25'])
    await replay.waitFor(/▶[\s\S]*space pause/)
    replay.child.stdin?.write('$')
    // Of the screen that was cleared nothing is left.
    const [shown] = await replay.waitFor(/24 80[\s\S]*exit[\s\S]*■/)
    t.notMatch(shown.slice(shown.lastIndexOf('24 80')), /red/)
    replay.child.stdin?.write('0')
    await replay.waitFor(/■[\s\S]*‖|■[\s\S]*00:00\//)
    replay.child.stdin?.write('q')
    t.equal((await replay.finished()).code, 0)
    await using steps = atTerminal(bob.home, ['sessions', 'replay', id, '--timeline', '--speed', '1000'])
    await steps.waitFor(/exit 3[\s\S]*■/)
    steps.child.stdin?.write('q')
    await steps.finished()
    await using plain = atTerminal(bob.home, ['sessions', 'replay', id, '--speed', '1000'], { NO_COLOR: '1' })
    await plain.waitFor(/■/)
    t.notMatch(plain.stdout(), /\u001b\[[0-9;]*m[^\u001b]*red/)
    plain.child.stdin?.write('q')
    await plain.finished()
    t.equal((await bob.run('sessions', 'replay', id, '--command', '9')).code, 2)
  })

  await t.test('is a cast that players take', async t => {
    await using directory = await temporaryDirectory('cast')
    const file = join(directory.path, 'session.cast')
    t.equal((await bob.run('sessions', 'export', id, '--format', 'asciicast', '--output', file)).code, 0)
    const [header = '', ...lines] = (await readFile(file, 'utf8')).trimEnd().split('\n')
    t.match(JSON.parse(header), { version: 2, width: 80, height: 24 })
    const frames = lines.map(line => JSON.parse(line) as [number, string, string])
    const shown = frames.flatMap(([, kind, text]) => (kind === 'o' ? [text] : [])).join('')
    t.same(
      frames.filter(([, kind]) => kind === 'r').map(([, , size]) => size),
      ['100x30'],
    )
    t.match(shown, /\u001b\[31mred\u001b\[0m 中\r\n/)
    t.ok(frames.every(([time], index) => index === 0 || time >= (frames[index - 1]?.[0] ?? 0)))
    if (!existsSync(ASCIINEMA)) return t.comment('no asciinema on this machine: the cast was not played')
    const played = await run(ASCIINEMA, ['play', '--idle-time-limit', '0.01', file], { env: { LC_ALL: 'C.UTF-8' } })
    t.equal(played.code, 0, played.stderr)
    t.equal(played.stdout, shown, 'unchanged')
  })

  await t.test('has looks at it recorded, and is part of what is proved', async t => {
    const views = (await relay.events()).filter(({ body }) => (body as Body).type === 'view')
    t.ok(views.length > 0)
    t.equal((await alice.runInProcess('receipts', '--json')).code, 0)
    t.equal((await bob.run('audit', 'verify')).code, 4, 'bob is no auditor')
  })

  await t.test('is found by its command, not by what was shown', async t => {
    t.match((await bob.runInProcess('sessions', '--text', 'norc')).stdout, id)
    t.match((await bob.runInProcess('sessions', '--action', 'exec', '--task', 'MIG-7', '--json')).stdout, id)
    t.notMatch((await bob.runInProcess('sessions', '--text', 'paid')).stdout, id)
  })
})

t.test('ways in which a terminal ends, and does not begin', { skip }, async t => {
  await using cleanup = new Cleanup()
  const { alice, bob } = await startTerminals(cleanup)
  const gate = cleanup.use(await alice.connect('shell'))

  await t.test('what policy refuses has no terminal', async t => {
    const person = new Typing(gate, '80x24 rm -rf /tmp/nothing\n')
    await person.over()
    t.match(person.shown, /Nothing is removed here/)
    const { events } = await lastSession(alice)
    t.notOk(events.some(({ body }) => body.type === 'terminal' || body.type === 'output'))
  })

  await t.test('whoever is ended has everything recorded that was shown', async t => {
    const person = new Typing(gate, `80x24 ${shell}\n`)
    await person.see(/> $/)
    person.type('echo la"st words"; sleep 600\n')
    await person.see(/last words/)
    const [{ id = '' } = {}] = JSON.parse((await bob.runInProcess('sessions', '--json')).stdout) as { id: string }[]
    t.equal((await bob.runInProcess('sessions', 'kill', id, '--reason', 'enough')).code, 0)
    await person.over()
    const { events } = await lastSession(alice)
    t.match(textOf(events), /last words\r\n/)
    t.same(
      events.map(({ body }) => body.type).filter(type => type === 'kill' || type === 'session.end'),
      ['kill', 'session.end'],
    )
  })

  await t.test('a person who goes away is no different', async t => {
    const connection = connect(gate.port, '127.0.0.1', () =>
      connection.write('80x24 sh -c "echo la\\st words; sleep 600"\n'),
    )
    await new Promise<void>(resolve => {
      connection.on('data', bytes => {
        if (String(bytes).includes('last words')) resolve()
      })
    })
    connection.resetAndDestroy()
    const until = performance.now() + 20_000
    let last = await lastSession(alice)
    while (!last.events.some(({ body }) => body.type === 'session.end') && performance.now() < until)
      last = await lastSession(alice)
    t.match(textOf(last.events), /last words\r\n/)
    t.equal(last.events.at(-1)?.body.type, 'session.end')
  })
})

t.test('what is more than may be recorded is shown, counted, and said to be missing', { skip }, async t => {
  await using cleanup = new Cleanup()
  const { alice, bob } = await startTerminals(cleanup, { more: 'record: { session_bytes: 50000, event_bytes: 512 }' })
  const gate = cleanup.use(await alice.connect('shell'))
  const person = new Typing(gate, '80x24 seq 1 100000\n')
  await person.over()
  const shown = Buffer.byteLength(person.shown)
  t.match(person.shown, /99999\r\n100000\r\n$/, 'the person is not bothered')
  const { id, events } = await lastSession(alice)
  const recorded = Buffer.byteLength(textOf(events))
  const missing = events.reduce((sum, { body }) => sum + (body.type === 'output' ? (body.cutFrom ?? 0) : 0), 0)
  t.ok(recorded > 20_000 && recorded <= 50_000, `${recorded} bytes are there`)
  t.equal(recorded + missing, shown, 'every byte is there or counted')
  t.equal(textOf(events), person.shown.slice(0, textOf(events).length), 'what is there is the beginning')
  t.equal(events.filter(({ body }) => body.type === 'limit').length, 1)
  t.ok(
    events.every(({ body }) => body.type !== 'output' || Buffer.byteLength(body.text ?? '') <= 512),
    'no event is longer than its limit',
  )
  t.match(
    (await bob.runInProcess('sessions', 'show', id)).stdout,
    /50000 bytes of the session are recorded[\s\S]*recorded in part/,
  )
})

t.test('a disk that refuses the record ends what is shown', { skip }, async t => {
  await using cleanup = new Cleanup()
  const directory = cleanup.use(await temporaryDirectory('disk'))
  const control = join(directory.path, 'trouble')
  const disk = (how: DiskTrouble): Promise<void> => writeFile(control, how)
  await disk('')
  const preload = new URL('../support/failing-disk.js', import.meta.url).href
  const env = { NODE_OPTIONS: `--import=${preload}`, GATE_TEST_DISK: control }
  const { alice } = await startTerminals(cleanup, { env })
  const gate = cleanup.use(await alice.connect('shell'))
  const person = new Typing(gate, '80x24 sh -c "yes | head -c 200000; sleep 2; yes n"\n')
  await person.see(/(y\r\n){1000}/)
  await disk('write')
  await person.over()
  await disk('')
  const before = person.shown
  t.ok(before.length < 4 * 1024 * 1024, `${before.length} bytes were shown`)
  const next = new Typing(gate, '80x24 echo well again\n')
  await next.over()
  t.match(next.shown, /well again/, 'and goes on by itself')
  const sessions = JSON.parse((await alice.runInProcess('sessions', '--json')).stdout) as {
    id: string
    endCode: string
  }[]
  t.match(sessions[1], { endCode: 'ERR_GATE_RECORD' })
})
