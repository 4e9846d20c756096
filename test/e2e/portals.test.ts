// Names in SQL and portals of the protocol are one: what a name stands for when something runs is what is decided over.
import t from 'tap'
import { converse, errors, query, said } from '../support/messages.ts'
import { Talk } from '../support/talk.ts'
import { until } from '../support/until.ts'
import { client } from '../support/wire.ts'
import { samplePolicy, startWorld } from '../support/world.ts'

const policy = samplePolicy.replace(
  'allow: [engineers, dba]\n      - name: reads',
  'allow: [engineers, dba, support]\n        limit: { rows: 3, then: deny }\n      - name: reads',
)

t.test('portals and cursors', async t => {
  await using world = await startWorld({ policy })
  const carol = await world.person('carol')
  await using gate = await carol.connect('prod-db')

  await t.test('a description that was asked for before the cursor became another one is not believed', async t => {
    const fetching = [client.parse('s', 'fetch 8 from c'), client.bind('p', 's'), client.describe('P', 'p')]
    const declare = (what: string): string => `declare c cursor for select ${what} from customers order by id`
    const answers = await converse(
      gate.port,
      query('begin'),
      query(declare('name')),
      [...fetching, client.sync],
      query('close c'),
      query(declare('email')),
      [client.execute('p'), client.sync],
    )
    t.match(said(answers), /\*\*\*\*/)
    t.notMatch(said(answers), 'secret')
    const run = (text: string, name: string): Buffer[] => [
      client.parse(name, text),
      client.bind(name, name),
      client.execute(name),
    ]
    const inOne = await converse(gate.port, query('begin'), query(declare('name')), [
      ...fetching,
      ...run('close c', 'a'),
      ...run(declare('email'), 'b'),
      client.execute('p'),
      client.sync,
    ])
    t.match(said(inOne), /\*\*\*\*/)
    t.notMatch(said(inOne), 'secret')
    const prepared = await converse(
      gate.port,
      query('prepare x as select name from customers'),
      [
        client.parse('s', 'execute x'),
        client.bind('p', 's'),
        client.describe('P', 'p'),
        client.execute('p', 2),
        client.sync,
      ],
      query('begin'),
      [client.bind('p', 's'), client.describe('P', 'p'), client.sync],
      query('deallocate x'),
      query('prepare x as select email from customers'),
      [client.execute('p', 3), client.sync],
    )
    t.match(said(prepared), /name 1/)
    t.notMatch(said(prepared), 'secret')
  })

  await t.test('what was bound and never executed is not run by FETCH or MOVE', async t => {
    for (const text of ['fetch all from c', 'move 1 in c']) {
      const answers = await converse(
        gate.port,
        query('begin'),
        [
          client.parse('s', 'update orders set total = 1 where id > 0 returning id'),
          client.bind('c', 's'),
          client.sync,
        ],
        query(text),
        query('rollback'),
      )
      t.match(errors(answers)[0], /the portal was not executed/, text)
    }
    t.same(await world.postgres.query('select count(*) from orders where total = 1', 'app'), [['1']])
  })

  await t.test('EXPLAIN of DECLARE gives no portal another meaning', async t => {
    const answers = await converse(
      gate.port,
      query('begin'),
      [client.parse('s', 'update orders set total = 1 where id > 0 returning id'), client.bind('c', 's'), client.sync],
      query('explain declare c cursor for select 1'),
      [client.execute('c'), client.sync],
      query('rollback'),
    )
    t.match(errors(answers)[0], /1000 rows|limit/)
  })

  await t.test('what was executed, and what SQL declared, goes on', async t => {
    const executed = await converse(
      gate.port,
      query('begin'),
      [
        client.parse('s', 'select id, email from customers order by id'),
        client.bind('c', 's'),
        client.execute('c', 1),
        client.sync,
      ],
      query('fetch 1 from c'),
      query('declare d cursor for select id, email from customers order by id'),
      query('fetch 1 from d'),
      query('rollback'),
    )
    t.same(errors(executed), [])
    t.notMatch(said(executed), 'secret')
    t.equal(said(executed).split('****').length - 1, 3)
  })
})

t.test('a suspended portal goes on by the policy of then', async t => {
  await using world = await startWorld({ policy })
  const carol = await world.person('carol')
  await using gate = await carol.connect('prod-db')
  const say = async (talk: Talk, ...units: Buffer[]): Promise<string> => said([await talk.say(units)])
  const next = [client.execute('p', 2), client.sync]
  const begin = [client.parse('s', 'select id, name from customers order by id'), client.bind('p', 's')]
  const [plain, described] = [await Talk.start(gate.port), await Talk.start(gate.port)]
  const change = async (text: string, sign: string): Promise<void> => {
    await world.relay.writePolicy(text)
    const look = query('select name from customers limit 1')
    await until('another policy', async () => said(await converse(gate.port, look)).includes(sign))
  }

  for (const talk of [plain, described]) await talk.say(query('begin'))
  t.match(await say(plain, ...begin, ...next), 'name 2')
  t.match(await say(described, ...begin, client.describe('P', 'p'), ...next), 'name 2')
  for (const talk of [plain, described]) t.match(await say(talk, ...next), 'name 4', 'while policy is the same')

  await change(policy.replace('"*.password_hash"', '"*.password_hash", customers.name'), '****')
  for (const talk of [plain, described]) {
    const masked = await say(talk, ...next)
    t.match(masked, '****')
    t.notMatch(masked, /name \d/)
  }
  await change(
    policy.replace(
      '- name: wide-writes',
      '- { name: closed, when: "true", deny: "Closed." }\n      - name: wide-writes',
    ),
    'Closed.',
  )
  for (const talk of [plain, described]) {
    t.match(await say(talk, ...next), 'Closed.')
    talk.close()
  }
})
