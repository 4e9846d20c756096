// The server's own views that show values, texts or the work of others: masked for whoever has any column masked.
import { appendFile } from 'node:fs/promises'
import { join } from 'node:path'
import { systemMasks } from '@gate/relay/protocols/postgres/masking-rules'
import t from 'tap'
import { run, start } from '../support/process.ts'
import { temporaryDirectory } from '../support/tmp.ts'
import { until } from '../support/until.ts'
import { direct, hasPsql, type PsqlTarget, psql, samplePolicy, startPsql, startWorld } from '../support/world.ts'

/** Of extensions, which a server need not have. */
const ofExtensions = /^\*\./

const RECEIVER = '/usr/bin/pg_receivewal'

const settings = { max_slot_wal_keep_size: '1GB', wal_level: 'logical' }
const activity = `
  select pg_create_physical_replication_slot('kept', true);
  select pg_create_logical_replication_slot('decoded', 'pgoutput');
  select pg_replication_origin_create('elsewhere');
  select pg_replication_origin_advance('elsewhere', '0/123456');
  grant pg_monitor to gate_service;
  grant select on pg_replication_origin_status to gate_service;
  grant execute on function pg_show_replication_origin_status() to gate_service`

/** Views of extensions call functions. */
const policy = samplePolicy.replace('op.action == "select"', 'op.action in ["select", "call"]')

/** Each gets a value at the server, and has none for a person from whom something is masked. */
const shown = [
  ['pg_replication_slots', 'restart_lsn'],
  ['pg_replication_slots', 'confirmed_flush_lsn'],
  ['pg_replication_slots', 'safe_wal_size'],
  ['pg_stat_replication', 'sent_lsn'],
  ['pg_stat_replication', 'write_lsn'],
  ['pg_stat_replication', 'flush_lsn'],
  ['pg_replication_origin_status', 'local_lsn'],
  ['pg_stat_progress_copy', 'bytes_processed'],
  ['pg_stat_replication_slots', 'total_bytes'],
  ['pg_stat_wal', 'wal_bytes'],
  ['pg_stat_archiver', 'archived_count'],
  ['pg_stat_activity', 'query'],
  ['pg_stats', 'histogram_bounds'],
] as const

/** The same of servers from some version on. */
const since: Readonly<Record<string, number>> = { pg_stat_io: 16, 'pg_stat_io.write_bytes': 18 }
const shownSince = [['pg_stat_io', 'write_bytes']] as const
const shownByExtension = [
  ['pg_buffercache', 'bufferid'],
  ['pg_buffercache', 'relblocknumber'],
  ['pg_buffercache', 'usagecount'],
] as const

t.test("the server's views of others", { skip: hasPsql ? false : 'no psql on this machine' }, async t => {
  await using world = await startWorld({ policy, postgres: { settings } })
  const { postgres } = world
  await postgres.query(activity, 'app')
  await postgres.query('analyze', 'app')
  // An older receiver does not replicate from the server, and there is nothing in that view then.
  const received = Number(/ (\d+)/.exec((await run(RECEIVER, ['--version'])).stdout)?.[1]) >= postgres.version
  const [extension] = await postgres.query("select 1 from pg_available_extensions where name = 'pg_buffercache'", 'app')
  if (extension === undefined) t.comment('pg_buffercache is not installed: its columns are not looked at')
  else await postgres.query('create extension pg_buffercache', 'app')
  const all = [...shown, ...shownSince, ...(extension === undefined ? [] : shownByExtension)]
    .filter(names => postgres.version >= (since[names.join('.')] ?? 0))
    .filter(([view]) => received || view !== 'pg_stat_replication')
  // No view can have columns of the type anyarray.
  const over: ReadonlySet<string> = new Set(all.map(([view]) => view).filter(view => view !== 'pg_stats'))
  for (const view of over)
    await postgres.query(
      `create view over_${view} as select * from ${view}; grant select on over_${view} to gate_service`,
      'app',
    )
  const carol = await world.person('carol')
  await using connection = await carol.connect('prod-db')

  await t.test('are masked by names that the server has', async t => {
    const patterns = systemMasks.flatMap(({ columns }) => columns).filter(pattern => !ofExtensions.test(pattern))
    for (const pattern of patterns) {
      const [schema, relation = '', column] = pattern.split('.')
      const first = since[`${relation}.${column}`] ?? since[relation] ?? 0
      if (postgres.version < first) continue
      const found = await postgres.query(
        `select count(*) from pg_attribute where attrelid = to_regclass('${schema}.${relation}') and attnum > 0
         and ('${column}' = '*' or attname = '${column}')`,
      )
      t.ok(Number(found[0]?.[0]) > 0, pattern)
    }
  })

  await appendFile(join(postgres.directory, 'data', 'pg_hba.conf'), 'local replication all trust\n')
  await postgres.query('select pg_reload_conf()')
  await using files = await temporaryDirectory('wal')
  const place = ['-h', postgres.directory, '-p', String(postgres.port), '-U', 'postgres', '-D', files.path]
  await using _receiver = start(RECEIVER, [...place, '--slot=kept', '--status-interval=1'])
  await using copying = startPsql(direct(postgres), ['-c', 'copy orders from stdin'])
  copying.child.stdin?.write('2000001\t1\t5\n')
  for (const [view, column] of all)
    await until(`${view}.${column}`, async () => (await values(direct(postgres), view, column)).length > 0)

  await t.test('show nothing of them', async t => {
    for (const [view, column] of all) {
      t.same(await values(connection, view, column), [], `${view}.${column} is masked`)
      const compared = await psql(connection, ['-Atc', `select count(*) from ${view} where ${column}::text > '0'`])
      t.match(compared.stderr, /is masked for you/, `${view}.${column} answers no comparison`)
      if (!over.has(view)) continue
      t.ok((await values(direct(postgres), `over_${view}`, column)).length > 0, `a view over ${view} has values`)
      t.same(await values(connection, `over_${view}`, column), [], `and so is ${column} in it`)
    }
  })

  await t.test('and of other columns what the server shows', async t => {
    const seen = await psql(connection, ['-Atc', 'select slot_name, slot_type from pg_replication_slots order by 1'])
    t.equal(seen.stdout, 'decoded|logical\nkept|physical\n', seen.stderr)
  })
})

async function values(target: PsqlTarget, view: string, column: string): Promise<string[]> {
  const done = await psql(target, ['-Atc', `select ${column} from ${view}`])
  if (done.code !== 0) throw new Error(done.stderr)
  return done.stdout.split('\n').filter(line => line !== '')
}
