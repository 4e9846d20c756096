// Three people on one machine: each has a directory of gate's own and a file that makes a shell theirs.
import { mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { programs } from '#support/gate'
import { type Person, people } from '#support/oidc'
import { root } from './place.ts'

export const names = ['alice', 'bob', 'carol'] as const
export type Name = (typeof names)[number]

export interface Player {
  readonly person: Person
  /** The file that people read into their shell. */
  readonly script: string
  readonly home: string
  /** Where `gate connect prod-db` listens for this person. */
  readonly port: number
}

export const TARGET = 'prod-db'
export const SERVICE = 'billing-api'

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

/** Writes everybody's files into the demo's directory. */
export async function preparePeople(directory: string, relay: string): Promise<Record<Name, Player>> {
  const bin = join(directory, 'bin')
  await writePrograms(bin)
  const taken = new Set<number>()
  const prepare = async (name: Name): Promise<Player> => {
    const person = people.find(({ id }) => id === name)
    if (person === undefined) throw new Error(`nobody is called ${name}`)
    const home = join(directory, name)
    const port = await quietPort(taken)
    await mkdir(home, { mode: 0o700 })
    // gate remembers the port of each target; here it is written down before, so that what to type can be said at once.
    const ports = JSON.stringify({ [`${relay} ${TARGET}`]: port })
    await writeFile(join(home, 'ports.json'), ports, { mode: 0o600 })
    const script = join(directory, `${name}.sh`)
    await writeFile(script, shellFile(person, home, relay, bin), { mode: 0o600 })
    return { person, script, home, port }
  }
  return { alice: await prepare('alice'), bob: await prepare('bob'), carol: await prepare('carol') }
}

function shellFile({ id, name, groups }: Person, home: string, relay: string, bin: string): string {
  return `# Makes this shell ${name}'s (${groups.join(', ')}). Only export, so that every shell understands it.
export GATE_HOME=${quoted(home)}
export GATE_KEYCHAIN=file
export GATE_RELAY=${quoted(relay)}
export GATE_DEMO_PERSON=${id}
export PATH=${quoted(bin)}":$PATH"
export PS1='${id} $ '
`
}

async function writePrograms(bin: string): Promise<void> {
  await mkdir(bin, { mode: 0o755 })
  const own = (name: string): string => join(root, 'scripts', 'dist', 'demonstration', name)
  for (const [name, script] of [
    ['gate', programs.gate],
    ['sql', own('sql.js')],
    ['http', own('http.js')],
    ['demo-browser', own('browser.js')],
  ] as const) {
    await writeFile(join(bin, name), `#!/bin/sh\nexec ${quoted(process.execPath)} ${quoted(script)} "$@"\n`, {
      mode: 0o755,
    })
  }
}

/** Below the ports that systems give to outgoing connections, so that it is still free when somebody uses it. */
const FIRST_PORT = 20_000
const PORT_COUNT = 10_000

async function quietPort(taken: Set<number>): Promise<number> {
  for (;;) {
    const port = FIRST_PORT + Math.floor(Math.random() * PORT_COUNT)
    if (taken.has(port) || !(await isFree(port))) continue
    taken.add(port)
    return port
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)))
  })
}
