// What README and docs say is run or checked: every command, every file, every table that lists what the code has.
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readAgentConfig } from '@gate/agent/config'
import { readRelayConfig } from '@gate/relay/config'
import { compilePolicy } from '@gate/relay/policy/rules'
import { Analyser } from '@gate/relay/protocols/postgres/analysis/analyser'
import type { Part } from '@gate/relay/protocols/postgres/analysis/facts'
import { kindOf, knownStatements } from '@gate/relay/protocols/postgres/analysis/kinds'
import { vocabulary } from '@gate/relay/protocols/postgres/operation'
import { actionExamples, factExamples, otherActions, routineActions } from '@gate/relay/protocols/postgres/reference'
import { EVENT_VERSION, eventBody } from '@gate/relay/record/events'
import { errorCodes } from '@gate/shared/errors'
import { silentLog } from '@gate/shared/log'
import t from 'tap'
import * as z from 'zod'
import { createCli, programs } from '../support/gate.ts'
import { freePort } from '../support/net.ts'
import { startOidc } from '../support/oidc.ts'
import { startPostgres } from '../support/postgres.ts'
import { type Running, run, start } from '../support/process.ts'
import { temporaryDirectory } from '../support/tmp.ts'
import { hasPsql, makeDatabase } from '../support/world.ts'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const read = (path: string): Promise<string> => readFile(join(root, path), 'utf8')

interface Block {
  readonly language: string
  /** What stands behind the language: the name of the file. */
  readonly name: string
  readonly text: string
}

function blocks(markdown: string): Block[] {
  return [...markdown.matchAll(/^```(\w+)(?: (\S+))?\n([\s\S]*?)^```$/gm)].map(
    ([, language = '', name = '', text = '']) => ({ language, name, text }),
  )
}

t.test(
  'the path of the README from nothing to a PostgreSQL behind gate',
  { skip: hasPsql ? false : 'no psql on this machine' },
  async t => {
    await using directory = await temporaryDirectory('readme')
    await using oidc = await startOidc()
    await using postgres = await startPostgres()
    await makeDatabase(
      postgres,
      "create table people (id int primary key, email text); insert into people values (1, 'someone@example.org')",
    )
    await postgres.query("alter role gate_service password 'secret'")
    const port = await freePort()
    const localise = (text: string): string =>
      text
        .replaceAll('https://login.example.com', oidc.issuer)
        .replaceAll('8443', String(port))
        .replaceAll('5432', String(postgres.port))
    const readme = blocks(await read('README.md'))
    for (const { language, name, text } of readme)
      if (language === 'yaml') await writeFile(join(directory.path, name), localise(text))
    const commands = readme
      .filter(({ language }) => language === 'sh')
      .flatMap(({ text }) =>
        text
          .split('\n')
          .map(line => line.replace(/ +#.*$/, ''))
          .filter(line => line !== ''),
      )
    const environment = {
      PATH: `${join(root, 'node_modules', '.bin')}:${process.env['PATH']}`,
      HOME: directory.path,
      GATE_HOME: undefined,
      XDG_CONFIG_HOME: undefined,
      DBUS_SESSION_BUS_ADDRESS: undefined,
    }
    const shell = (command: string): Running =>
      start('sh', ['-c', `exec ${localise(command)}`.replace(/^exec (?=\w+=)/, 'exec env ')], {
        cwd: directory.path,
        env: environment,
      })
    const ran: string[] = []
    const running: Running[] = []
    t.teardown(async () => {
      for (const each of running.reverse()) await each[Symbol.asyncDispose]()
    })
    // These install and build: scripts/test has done so, or nothing here would run; the demo has a test of its own.
    const elsewhere = new Set([
      'npm ci --ignore-scripts',
      'npm run build',
      './scripts/demo',
      './scripts/demo --check',
      './scripts/test',
    ])
    for (const command of commands) {
      if (elsewhere.has(command) || command.startsWith('export PATH=')) {
        ran.push(command)
        continue
      }
      const process = shell(command)
      if (command.includes('gate-relay start')) {
        await process.waitFor(/relay\.listening/)
        running.push(process)
      } else if (command.includes('gate-agent start')) {
        await process.waitFor(/uplink\.ready/)
        running.push(process)
      } else if (command.startsWith('gate login')) {
        const [, url = ''] = await process.waitFor(/Open (\S+)/)
        await oidc.decide(url, 'alice', 'allow')
        t.equal((await process.finished()).code, 0)
      } else {
        process.child.stdin?.end()
        const { code, stdout, stderr } = await process.finished()
        t.equal(code, 0, `${command}: ${stdout}${stderr}`)
        if (command.includes('select 1')) t.match(stdout, /\(1 row\)/)
        if (command === 'gate targets') t.match(stdout, /prod-db +postgres +online +env=prod/)
        if (command === 'gate sessions') t.match(stdout, /alice@example\.com +prod-db .* psql +-$/m, 'psql is no task')
      }
      ran.push(command)
    }
    t.same(ran, commands)
    t.ok(ran.length >= 15)
    const masked = await run('sh', ['-c', "gate connect prod-db -- psql -At -c 'select email from people'"], {
      cwd: directory.path,
      env: environment,
    })
    t.equal(masked.stdout, 's***@***.org\n', masked.stderr)
    // Whoever may approve may look at what they approved.
    await using bob = await createCli()
    await bob.login({ url: `http://127.0.0.1:${port}` }, oidc, 'bob')
    const [session] = JSON.parse((await bob.runInProcess('sessions', '--json')).stdout) as { id: string }[]
    t.match((await bob.runInProcess('sessions', 'show', session?.id ?? '')).stdout, /alice@example\.com on prod-db/)
  },
)

t.test('the tree in the README is the one that the files make', async t => {
  const { stdout } = await run(process.execPath, [join(root, 'scripts', 'dist', 'tree.js')])
  const written = /<!-- tree -->\n([\s\S]*)<!-- \/tree -->/.exec(await read('README.md'))?.[1]
  t.equal(written, stdout, 'npm run build && npm run tree writes it anew')
})

t.test('links between the documents lead somewhere', async t => {
  for (const file of [
    'README.md',
    'docs/policy.md',
    'docs/approvals.md',
    'docs/audit.md',
    'docs/cli.md',
    'docs/postgres.md',
    'docs/operations.md',
    'docs/records.md',
    'docs/detectors.md',
    'scripts/bench/README.md',
  ]) {
    const text = await read(file)
    for (const [, link = ''] of text.matchAll(/\]\(((?!https?:)[^)]+)\)/g)) {
      const [path = '', anchor] = link.split('#')
      const target = path === '' ? text : await read(join(file, '..', path))
      const headings = [...target.matchAll(/^#+ (.*)$/gm)].map(([, title = '']) =>
        title
          .toLowerCase()
          .replace(/[^a-z0-9 -]/g, '')
          .replaceAll(' ', '-'),
      )
      t.ok(anchor === undefined || headings.includes(anchor), `${file}: ${link}`)
    }
  }
})

t.test('the files that the documents show are valid as they stand', async t => {
  await using directory = await temporaryDirectory('docs')
  for (const file of ['README.md', 'docs/policy.md', 'docs/approvals.md', 'docs/audit.md', 'docs/operations.md']) {
    const here = join(directory.path, file.replaceAll('/', '-'))
    await mkdir(here)
    for (const { name, text } of blocks(await read(file)).filter(({ language }) => language === 'yaml')) {
      const path = join(here, name)
      await writeFile(path, text)
      if (name === 'policy.yaml') t.match(compilePolicy([{ file: path, text }], vocabulary).version, /^[0-9a-f]{64}$/)
      else if (name === 'relay.yaml') t.match(await readRelayConfig(path), { issuers: [{ client_id: 'gate-cli' }] })
      else if (name === 'agent.yaml') t.match(await readAgentConfig(path), { name: 'db-agent' })
      else t.fail(`${file} shows ${name}, which nothing checks`)
    }
  }
})

t.test('docs/cli.md lists every command with its options, and every exit code', async t => {
  const text = await read('docs/cli.md')
  const help = await run(process.execPath, [programs.gate, '--help'])
  const [commands = ''] = help.stdout.split('\nExamples:')
  const listed = [...commands.matchAll(/^ {2}([a-z]+)(?: |$)/gm)]
    .map(([, name = '']) => name)
    .filter(name => name !== 'help')
  t.ok(listed.length >= 12)
  for (const name of listed) {
    t.match(text, new RegExp(`gate ${name}\\b`), `gate ${name}`)
    if (['relay', 'agent', 'complete'].includes(name)) continue
    const own = await run(process.execPath, [programs.gate, name, '--help'])
    t.equal(own.code, 0)
    const row = text
      .split('\n')
      .filter(line => line.includes(`\`gate ${name}`))
      .join('\n')
    for (const [, option = ''] of own.stdout.matchAll(/^ {2}(--[a-z-]+)/gm)) {
      if (!['--json', '--help', '--insecure'].includes(option)) t.match(row, option, `gate ${name} ${option}`)
    }
  }
  const exits = new Set(Object.values(errorCodes).map(({ exit }) => exit))
  for (const exit of exits) t.match(text, new RegExp(`^\\| ${exit} \\|`, 'm'), `exit code ${exit}`)
})

t.test(
  'the tables and diagrams are those that the code makes, and the examples of actions and facts are what it says',
  async t => {
    const { stdout } = await run(process.execPath, [join(root, 'scripts', 'dist', 'reference.js')])
    for (const [mark, file] of [
      ['reference', 'docs/postgres.md'],
      ['states', 'docs/approvals.md'],
    ] as const) {
      const block = new RegExp(`<!-- ${mark} -->[\\s\\S]*<!-- /${mark} -->`)
      const written = block.exec(await read(file))?.[0]
      t.ok(
        written !== undefined && written === block.exec(stdout)?.[0],
        'npm run build && npm run reference writes it anew',
      )
    }
    await using analyser = new Analyser(1024 * 1024, silentLog)
    const parts = async (sql: string): Promise<readonly Part[]> => {
      const analysis = await analyser.analyse(sql)
      return 'statements' in analysis ? (analysis.statements[0]?.parts ?? []) : []
    }
    for (const [action, examples] of Object.entries(actionExamples)) {
      for (const example of examples) {
        const found = await parts(example)
        t.ok(
          found.some(part => part.action === action),
          `${action}: ${example}`,
        )
        t.equal(
          found.every(part => part.routine),
          routineActions.includes(action),
          example,
        )
      }
    }
    for (const [fact, { example, value }] of Object.entries(factExamples)) {
      const values = (await parts(example)).map(part => part.facts[fact])
      t.ok(
        values.some(found => JSON.stringify(found) === JSON.stringify(value)),
        `${fact}: ${example}`,
      )
    }
    const described = [...Object.keys(actionExamples), ...Object.keys(otherActions), 'prepare', 'declare']
    for (const name of knownStatements) t.ok(described.includes(kindOf(name, {})?.action ?? ''), name)
  },
)

t.test('docs/event.schema.json is the form of the events that are recorded', async t => {
  const { title, ...schema } = JSON.parse(await read('docs/event.schema.json')) as { title: string }
  t.match(title, `version ${EVENT_VERSION}`)
  t.same(
    schema,
    JSON.parse(JSON.stringify(z.toJSONSchema(eventBody))),
    'npm run build && npm run reference writes it anew',
  )
})

t.test('docs/operations.md names every key of relay.yaml', async t => {
  const text = await read('docs/operations.md')
  for (const key of [
    'url',
    'host',
    'port',
    'tls',
    'certificate',
    'key',
    'state',
    'store',
    'issuer',
    'client_id',
    'scopes',
    'groups_claim',
    'group_prefix',
    'algorithms',
    'clock_tolerance',
    'policy',
    'operators',
    'token',
    'maximum_session',
    'connections',
    'connections_per_subject',
    'waiting_requests_per_subject',
    'statement_bytes',
    'agent_streams',
    'recipients',
    'event_bytes',
    'session_bytes',
    'target_bytes_per_day',
    'notices',
    'record.auditors',
    'record.sinks',
    'log',
  ]) {
    t.match(text, key)
  }
})
