// The record in a bucket, as people meet it: the way to it breaks, the relay is killed, and everything can still be proved.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { programs } from '../support/gate.ts'
import { run } from '../support/process.ts'
import { BUCKET, credentials, s3Program, startS3, startWire } from '../support/s3.ts'
import { temporaryDirectory } from '../support/tmp.ts'
import { until } from '../support/until.ts'
import { hasPsql, openPolicy, psql, startWorld } from '../support/world.ts'

const found = await s3Program()
const skip = !hasPsql ? 'no psql on this machine' : 'missing' in found ? found.missing : false
const people = [
  { id: 'alice', email: 'alice@example.com', name: 'Alice', groups: ['engineers'] },
  { id: 'bob', email: 'bob@example.com', name: 'Bob', groups: ['engineers'] },
  { id: 'carol', email: 'carol@example.com', name: 'Carol', groups: ['auditors'] },
]

t.test('a relay whose record is in a bucket', { skip }, async t => {
  await using server = await startS3('program' in found ? found.program : '')
  await using wire = await startWire(server)
  await using keys = await temporaryDirectory('keys')
  const file = join(keys.path, 'key')
  await writeFile(file, `${credentials.accessKeyId}\n${credentials.secretAccessKey}\n`)
  const s3 = `{ endpoint: "${wire.endpoint}", bucket: ${BUCKET}, prefix: gate/, credentials_file: ${file}, force_path_style: true, backlog_bytes: 1048576 }`
  const more = `record: { auditors: [auditors], storage: { s3: ${s3} } }`
  await using world = await startWorld({ policy: openPolicy, oidc: { people }, relay: { more } })
  const alice = await world.person('alice')
  const carol = await world.person('carol')
  await using gate = await alice.connect('prod-db', '--port', '0')
  const relay = await readFile(join(world.relay.directory, 'state', 'relay.id'), 'utf8')
  const prefix = `gate/${relay}/`
  const uploaded = async (): Promise<number> =>
    Number((await server.get(`${prefix}checkpoint`))?.toString('utf8').split('\n')[1] ?? 0)
  /** Long statements, each another one. */
  const work = (count: number, from: number): Promise<{ code: number | null; stderr: string }> =>
    psql(
      gate,
      ['-XAtq', '-v', 'ON_ERROR_STOP=1'],
      Array.from(
        { length: count },
        (_, n) => `select length('${`${from + n} `.repeat(5_000)}') as l\\g /dev/null\n`,
      ).join(''),
    )

  await t.test('is killed when everything was uploaded and it has not heard so: nothing is lost or twice', async t => {
    wire.fault = (method, path) => (method === 'PUT' && path.includes('checkpoint') ? 'answer lost' : 'none')
    t.equal((await psql(gate, ['-At', '-c', 'select 1'])).stdout, '1\n')
    await until('the bucket to have it', async () => (await uploaded()) > 5)
    await world.relay.kill('SIGKILL')
    wire.fault = () => 'none'
    const before = await uploaded()
    await world.relay.restart()
    await until('the agent', async () => (await alice.run('targets')).stdout.includes('online'))
    t.equal((await psql(gate, ['-At', '-c', 'select 2'])).stdout, '2\n')
    await until('more of it', async () => (await uploaded()) > before)
    const verified = await carol.run('audit', 'verify')
    t.equal(verified.code, 0, verified.stdout + verified.stderr)
  })

  await t.test('commands go on while the bucket is away, up to a limit, and again when it is back', async t => {
    await server.kill()
    t.equal((await work(5, 0)).code, 0)
    const stopped = await work(80, 100)
    t.not(stopped.code, 0)
    t.match(stopped.stderr, /gate: too much of the record has not reached its storage yet, so the command was not run/)
    // On a quick machine the limit is reached before the next upload is tried.
    t.ok(await world.relay.process().waitFor(/record\.upload-failing/))
    await server.restart()
    await until('commands to go on', async () => (await psql(gate, ['-At', '-c', 'select 3'])).stdout === '3\n')
    t.ok(await world.relay.process().waitFor(/record\.uploading-again/))
  })

  await t.test('what the bucket holds proves everything', async t => {
    const key = (await carol.run('audit', 'key')).stdout.trim()
    await world.relay.kill('SIGTERM')
    await using copy = await temporaryDirectory('copy')
    await server.copy(prefix, copy.path)
    const verify = () =>
      run(process.execPath, [programs.gate, 'audit', 'verify', '--from', copy.path, '--key', key, '--json'], {
        env: { GATE_HOME: join(copy.path, 'nobody'), GATE_KEYCHAIN: 'file' },
      })
    const good = await verify()
    t.equal(good.code, 0, good.stdout + good.stderr)
    const events = (await world.relay.events()) as { sequence: number }[]
    t.equal((JSON.parse(good.stdout) as { records: number }).records, events.at(-1)?.sequence)
  })
})
