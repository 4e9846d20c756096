// What a relay may have gate do on this machine when a port is open: little, for a relay can be somebody else's.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connectHint, fillHint } from '@gate/cli/hint'
import t from 'tap'
import { temporaryDirectory } from '../support/tmp.ts'

const place = { host: '127.0.0.1', port: '5433', target: 'prod-db', user: 'alice' }

t.test('variables say where the port is; those that could run code are left out', async t => {
  await using directory = await temporaryDirectory('hint')
  const harmful = ['PAGER', 'PSQL_PAGER', 'EDITOR', 'PSQLRC', 'PGSYSCONFDIR', 'PGSERVICEFILE', 'PGPASSFILE', 'PGSSLKEY']
  const others = ['LD_PRELOAD', 'PATH', 'NODE_OPTIONS', 'JAVA_TOOL_OPTIONS', 'OPENSSL_CONF', 'SSH_ASKPASS', 'MY_PGHOST']
  const environment = {
    ...Object.fromEntries([...harmful, ...others].map(name => [name, '/tmp/evil'])),
    PGHOST: '{host}',
    PGPORT: '{port}',
    PGUSER: '{user}',
    PGDATABASE: 'shop',
    TARGET_URL: 'http://{host}:{port}/{target}',
  }
  const filled = await fillHint(directory.path, connectHint.parse({ lines: [], environment, files: [] }), place)
  t.same(filled.environment, {
    PGHOST: '127.0.0.1',
    PGPORT: '5433',
    PGUSER: 'alice',
    PGDATABASE: 'shop',
    TARGET_URL: 'http://127.0.0.1:5433/prod-db',
  })
})

t.test('files are such that gate has for this alone: a section each target, and none of the others', async t => {
  await using directory = await temporaryDirectory('hint')
  const hint = (name: string, section: string): object => ({
    lines: [],
    environment: {},
    files: [{ name, section, text: `[${section}]\nport={port}\n` }],
  })
  for (const name of ['credentials.json', 'relay.json', 'ports.json', '../x.conf', '.conf', 'config.yaml', 'a.conf.sh'])
    t.throws(() => connectHint.parse(hint(name, 'one')), name)
  for (const section of ['one', 'two', 'one'])
    await fillHint(directory.path, connectHint.parse(hint('pg_service.conf', section)), place)
  t.equal(await readFile(join(directory.path, 'pg_service.conf'), 'utf8'), '[two]\nport=5433\n[one]\nport=5433\n')
})
