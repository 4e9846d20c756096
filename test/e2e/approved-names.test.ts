// What is approved is what runs: names that stand for something else by then, and bytes of another type, are asked about anew.
import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import { keptSigner } from '../support/approver.ts'
import { type Cli, startAgent } from '../support/gate.ts'
import { converse, query, said } from '../support/messages.ts'
import { client, type Message } from '../support/wire.ts'
import { SERVICE_PASSWORD, startWorld, targetYaml } from '../support/world.ts'

const policy = `
targets:
  - match: { labels: { env: prod } }
    allow: { groups: [engineers, dba] }
    viewers: [dba]
    rules:
      - { name: everything, allow: [engineers, dba] }
      - name: retried
        when: '"public.retried" in op.written'
        hold: { approvers: "1 of dba", expires: 10m, mode: retry }
      - name: held
        when: op.action == "delete" || op.action == "fetch" || op.action == "execute"
        hold: { approvers: "1 of dba", expires: 60s }
`
const sql = `
create table retried (id int primary key, v text);
insert into retried select i, 'v' from generate_series(1, 9) i;
create table held (id int primary key);
insert into held select i from generate_series(1, 9) i;
`

interface Request {
  readonly id: string
  readonly state: string
  readonly text: string
}

/** The one request that waits. */
async function waiting(bob: Cli): Promise<Request> {
  for (;;) {
    const all = JSON.parse((await bob.runInProcess('requests', '--json')).stdout) as Request[]
    const found = all.find(({ state }) => state === 'waiting')
    if (found !== undefined) return found
    await wait(50)
  }
}

t.test('what is approved', async t => {
  await using world = await startWorld({ policy, sql })
  const [alice, bob] = await Promise.all([world.person('alice'), world.person('bob')])
  await using gate = await alice.connect('prod-db')
  const changed = (v: string) => world.postgres.query(`select count(*) from retried where v = '${v}'`, 'app')
  const turn = (...turns: readonly (readonly Buffer[])[]): Promise<(readonly Message[])[]> =>
    converse(gate.port, ...turns)

  await t.test('an approval of EXECUTE is for what the name stood for', async t => {
    const good = "prepare p (int) as update retried set v = 'good' where id = $1"
    const evil = "prepare p (int) as update retried set v = 'evil' where id <> $1 - 1"
    t.match(said(await turn(query(good), query('execute p(1)'))), 'waits for 1 of dba')
    const { id, text } = await waiting(bob)
    t.equal(text, `execute p(1)\n\ngate: "p" stands for this:\n${good}`)
    t.match((await bob.runInProcess('approve', id)).stderr, good)
    t.match(said(await turn(query(evil), query('execute p(1)'))), 'waits for 1 of dba')
    t.same(await changed('evil'), [['0']])
    const other = await waiting(bob)
    t.match(other.text, evil)
    t.equal((await bob.runInProcess('deny', other.id, '--reason', 'no')).code, 0)
    t.match(said(await turn(query(good), query('execute p(1)'))), 'UPDATE 1', 'the first one still is what it was')
    t.same(await changed('good'), [['1']])
  })

  await t.test('so it is behind EXPLAIN, prepared by Parse, and with the types that Parse declares', async t => {
    const text = "update retried set v = 'typed' where id < $1"
    const asked: string[] = []
    for (const types of [[20], [701]]) {
      for (const how of ['execute s(2)', 'explain analyze execute s(2)']) {
        t.match(said(await turn([client.parse('s', text, types), client.sync], query(how))), 'waits for 1 of dba', how)
        const request = await waiting(bob)
        asked.push(request.text)
        t.equal((await bob.runInProcess('deny', request.id, '--reason', 'no')).code, 0)
      }
    }
    t.same(
      asked,
      [20, 701].flatMap(type =>
        ['execute s(2)', 'explain analyze execute s(2)'].map(
          how => `${how}\n\ngate: "s" stands for this, its parameters of the types with OIDs ${type}:\n${text}`,
        ),
      ),
    )
  })

  await t.test('an approval of values is for their types', async t => {
    const value = Buffer.alloc(8)
    value.writeBigInt64BE(-5n)
    const run = (type: number): Promise<(readonly Message[])[]> =>
      turn([
        client.parse('', "update retried set v = 'typed' where id < $1", [type]),
        client.bind('', '', [value], [1]),
        client.execute(''),
        client.sync,
      ])
    t.match(said(await run(20)), 'waits for 1 of dba')
    const { id } = await waiting(bob)
    t.match((await bob.runInProcess('approve', id)).stderr, "$1 = '-5'::int8")
    t.match(said(await run(701)), 'waits for 1 of dba', 'the same bytes are NaN')
    t.same(await changed('typed'), [['0']])
    const other = await waiting(bob)
    t.match((await bob.runInProcess('deny', other.id, '--reason', 'no')).stderr, "$1 = 'NaN'::float8")
    t.match(said(await run(20)), 'UPDATE 0')
  })

  await t.test('nobody is asked about a name that gate knows nothing of', async t => {
    const prepared =
      "do $$ begin execute 'prepare q as delete from held'; execute 'declare c cursor with hold for select 1'; end $$"
    const answers = said(await turn(query(prepared), query('execute q'), query('fetch c')))
    t.match(answers, 'prepared statement "q" does not exist')
    t.match(answers, 'portal "c" does not exist')
    t.same(await world.postgres.query('select count(*) from held', 'app'), [['9']])
  })

  await t.test('EXECUTE of what Parse alone can prepare changes no name', async t => {
    const answers = await turn(
      query('prepare q as select 1'),
      ...['deallocate q', 'prepare q as delete from held', 'commit', 'execute q'].map((text, index) => [
        client.parse('abcd'.charAt(index), text),
        client.sync,
      ]),
      ...['execute a', 'execute b', 'execute c', 'execute d'].map(query),
      query('execute q'),
    )
    t.equal(said(answers).split('uses or changes names itself').length - 1, 4)
    t.match(said(answers.slice(-1)), 'SELECT 1')
    t.same(await world.postgres.query('select count(*) from held', 'app'), [['9']])
  })

  await t.test('an agent that checks for itself believes what it sees, and no name', async t => {
    const { publicKey } = await keptSigner(bob)
    const targets = targetYaml(
      world.postgres,
      'careful-db',
      `    require_approval: [delete]\n    approver_keys: ["${publicKey}"]\n`,
    )
    await using _agent = await startAgent({
      relay: world.relay,
      name: 'careful-db',
      targets,
      env: { TARGET_PASSWORD: SERVICE_PASSWORD },
    })
    await using careful = await alice.connect('careful-db')
    const value = Buffer.from([0, 0, 0, 3])
    const bound = converse(careful.port, [
      client.parse('', 'delete from held where id = $1', [23]),
      client.bind('', '', [value], [1]),
      client.execute(''),
      client.sync,
    ])
    t.equal((await bob.runInProcess('approve', (await waiting(bob)).id)).code, 0)
    t.match(said(await bound), 'DELETE 1')
    const named = converse(careful.port, [client.parse('p', 'delete from held'), client.sync], query('execute p'))
    t.equal((await bob.runInProcess('approve', (await waiting(bob)).id)).code, 0)
    t.match(said(await named), 'the agent lets delete on careful-db pass only when approved')
    t.same(await world.postgres.query('select count(*) from held', 'app'), [['8']])
  })
})
