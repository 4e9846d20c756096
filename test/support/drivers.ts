// PostgreSQL drivers of several languages: installed from their registries into the repository's cache, or not to be had.
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stripVTControlCharacters } from 'node:util'
import { run } from './process.ts'

/** What one driver may take to be fetched and compiled; after that the tests go on without it. */
const INSTALL_TIMEOUT_MS = 150_000

const root = fileURLToPath(new URL('../../..', import.meta.url))
const cache = join(root, '.cache')
const scripts = join(root, 'test', 'e2e', 'drivers')

/** How to run a driver's script. */
export interface Program {
  readonly program: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
}

export interface Driver {
  readonly name: string
  /** Decides whether what is in the cache is still the right thing: packages with versions, and sources. */
  readonly packages: readonly string[]
  readonly sources: readonly string[]
  /** Commands that fill the directory `home`. */
  install(home: string): readonly (readonly [program: string, args: readonly string[], env?: Record<string, string>])[]
  program(home: string): Program
}

const npm = ['pg@8.23.1', 'pg-cursor@2.22.0', 'pg-query-stream@4.17.0', 'pg-copy-streams@7.0.0', 'postgres@3.4.9']
const PSYCOPG = 'psycopg[binary]==3.3.9'
const PGJDBC = 'org.postgresql:postgresql:42.7.14'
const MAVEN_COPY = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy'

/** No other compiler is fetched than the one that is here. */
export const goEnvironment = {
  GOTOOLCHAIN: 'local',
  GOPATH: join(cache, 'go'),
  GOCACHE: join(cache, 'go', 'build'),
  GOFLAGS: '-buildvcs=false',
}

function node(name: string, script: string): Driver {
  return {
    name,
    packages: npm,
    sources: [],
    install: home => [
      [
        'npm',
        [
          'install',
          '--prefix',
          home,
          '--no-save',
          '--ignore-scripts',
          '--no-audit',
          '--no-fund',
          '--fetch-retries=1',
          ...npm,
        ],
      ],
    ],
    program: home => ({ program: process.execPath, args: [join(scripts, script)], env: { DRIVER_HOME: home } }),
  }
}

export const drivers: readonly Driver[] = [
  node('node-postgres', 'node-postgres.mjs'),
  node('postgres.js', 'postgres-js.mjs'),
  {
    name: 'psycopg',
    packages: [PSYCOPG],
    sources: [],
    install: home => [
      [
        'python3',
        [
          '-m',
          'pip',
          'install',
          '--quiet',
          '--retries=1',
          '--timeout=20',
          '--only-binary',
          ':all:',
          '--target',
          home,
          PSYCOPG,
        ],
      ],
    ],
    program: home => ({ program: 'python3', args: [join(scripts, 'psycopg3.py')], env: { PYTHONPATH: home } }),
  },
  {
    name: 'pgx',
    packages: [],
    sources: ['pgx/go.mod', 'pgx/go.sum', 'pgx/main.go'],
    install: home => [
      // Not optimised: that takes a third of the compiler's time, for a program that waits.
      [
        'go',
        ['build', '-C', join(scripts, 'pgx'), '-modcacherw', '-gcflags=all=-N -l', '-o', join(home, 'pgx'), '.'],
        goEnvironment,
      ],
    ],
    program: home => ({ program: join(home, 'pgx'), args: [], env: {} }),
  },
  {
    name: 'pgjdbc',
    packages: [PGJDBC],
    sources: ['Pgjdbc.java'],
    install: home => [
      [
        'mvn',
        [
          '-q',
          '-B',
          MAVEN_COPY,
          `-Dartifact=${PGJDBC}`,
          `-DoutputDirectory=${home}`,
          `-Dmaven.repo.local=${cache}/maven`,
        ],
      ],
      ['javac', ['-encoding', 'UTF-8', '-cp', join(home, '*'), '-d', home, join(scripts, 'Pgjdbc.java')]],
    ],
    program: home => ({ program: 'java', args: ['-cp', `${home}:${home}/*`, 'Pgjdbc'], env: {} }),
  },
]

const installing = new Map<string, Promise<string | undefined>>()

/** The program of an installed driver, or why there is none. */
export async function driver(wanted: Driver): Promise<Program | string> {
  const hash = createHash('sha256').update(JSON.stringify(wanted.packages))
  for (const source of wanted.sources) hash.update(await readFile(join(scripts, source)))
  const kind = wanted.packages === npm ? 'npm' : wanted.name
  const home = join(cache, `driver-${kind}-${hash.digest('hex').slice(0, 16)}`)
  if (!existsSync(home)) {
    const begun = installing.get(home) ?? install(wanted, home).catch((thrown: Error) => thrown.message.split('\n')[0])
    installing.set(home, begun)
    const why = await begun
    if (!existsSync(home)) return why ?? 'it was not installed'
  }
  return wanted.program(home)
}

/** Installs beside the final place and renames, so that others see all of it or nothing. Returns why it could not. */
async function install(wanted: Driver, home: string): Promise<string | undefined> {
  await mkdir(cache, { recursive: true })
  const temporary = await mkdtemp(join(cache, 'installing-driver-'))
  const deadline = Date.now() + INSTALL_TIMEOUT_MS
  try {
    for (const [program, args, env = {}] of wanted.install(temporary)) {
      const done = await run(program, args, { cwd: temporary, env }, Math.max(1, deadline - Date.now()))
      if (done.code !== 0) return `${program}: ${complaint(done.stderr || done.stdout)}`
    }
    if ((await readdir(temporary)).length === 0) return 'nothing was installed'
    await chmod(temporary, 0o755)
    await rename(temporary, home)
    return undefined
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
}

/** The first line that says what is wrong, of all that an installer has to say. */
function complaint(output: string): string {
  const lines = stripVTControlCharacters(output)
    .split('\n')
    .filter(line => line.trim() !== '')
  return lines.find(line => /error/i.test(line)) ?? lines[0] ?? 'no word of why'
}
