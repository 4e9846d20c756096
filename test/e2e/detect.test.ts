// The second net: values that look like cards, addresses or keys are masked in clear columns, in every type and format.
import type { EventEmitter } from 'node:events'
import pg from 'pg'
import t from 'tap'
import { startWorld } from '../support/world.ts'

const CARD = '4111111111111111'
const EMAIL = 'jane.doe@secret.example'

const sql = `
create table tickets (id int primary key, body text, tags text[], doc json, docb jsonb, short varchar(60), total numeric, made timestamptz);
insert into tickets values (1, 'card ${CARD} of ${EMAIL}', array['x', '${EMAIL}'],
  '{"mail":"${EMAIL.replace('@', '\\u0040')}","n":1}', '{"card": ${CARD}, "list": ["${EMAIL}"]}', '${EMAIL}', 4111111111111111, now());
insert into tickets values (2, 'nothing here', array['a'], '{"n":1}', '{"n": 1}', 'short', 12, now());
create function greet(text) returns text language sql as 'select ''hello '' || $1';
create type pair as (a text, b int);
create table "t_${EMAIL}" (id int);
create table many (mail text);
insert into many select 'jane' || i || '@secret.example' from generate_series(1, 300) i;
analyze many;
`

const policy = `
targets:
  - match: { labels: { protocol: postgres } }
    allow: { groups: [support, dba] }
    rules: [{ name: everything, allow: [support, dba] }]
    mask:
      - { detect: [credit-card, email, ip], for: { groups: [support] }, with: redact }
`

const names = ['schema', 'table', 'column', 'dataType', 'constraint']

/** Expressions of types that are not text and hold one. */
const types = [
  "to_tsvector('simple', short)",
  "array[to_tsvector('simple', short)]",
  'tsquery(quote_literal(short))',
  "xpath('//e/text()', xmlparse(content '<a><e>' || short || '</e></a>'))",
  `('$."' || short || '"')::jsonpath`,
  'short::refcursor',
  'short::cstring',
  'array[short]::cstring[]',
  'array[short::refcursor]',
  `(select histogram_bounds from pg_stats where tablename = 'many' and attname = 'mail')`,
  `('"' || 'public' || '".' || quote_ident('t_' || short))::regclass`,
  "'10.1.2.3'::inet",
  "'10.1.2.3/32'::cidr",
  "'fd00:1:2:3:4:5:6:7'::inet",
  "array['10.1.2.3'::inet]::text[]",
]

/** Everything beside rows that a client hears. */
async function everything(port: number, messages: readonly string[], extended: boolean): Promise<string> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'x', database: 'app', ssl: false })
  const heard: string[] = []
  const say = (what: unknown): number =>
    heard.push(JSON.stringify(what, [...Object.getOwnPropertyNames(what), 'message', 'detail', 'hint', ...names]))
  client.on('error', () => {})
  client.on('notice', say)
  client.on('notification', say)
  const { connection } = client as unknown as { connection: EventEmitter }
  connection.on('parameterStatus', say)
  await client.connect()
  try {
    for (const text of messages) {
      const query = extended ? { text, values: [], queryMode: 'extended' } : { text }
      await client.query(query as pg.QueryConfig).catch(say)
    }
  } finally {
    await client.end()
  }
  return heard.join('\n')
}

const columns = 'id, body, tags, doc, docb, short, total'

t.test('values that look like what policy names', async t => {
  await using world = await startWorld({ policy, sql })
  await using carol = await (await world.person('carol')).connect('prod-db')
  await using bob = await (await world.person('bob')).connect('prod-db')

  const ask = async (port: number, text: string, binary = false): Promise<unknown[][]> => {
    const client = new pg.Client({ host: '127.0.0.1', port, user: 'x', database: 'app', ssl: false })
    client.on('error', () => {})
    await client.connect()
    try {
      const query = {
        text,
        values: [],
        queryMode: 'extended',
        binary,
        rowMode: 'array',
        types: { getTypeParser: () => String },
      }
      return (await client.query(query as unknown as pg.QueryArrayConfig)).rows
    } finally {
      await client.end()
    }
  }

  await t.test('are masked in text, JSON and arrays, and everything else is as it was', async t => {
    t.match(JSON.stringify(await ask(bob.port, `select ${columns} from tickets where id = 1`)), CARD, 'they are there')
    t.same(await ask(carol.port, `select ${columns} from tickets order by id`), [
      [
        '1',
        'card **** of ****',
        '{x,****}',
        '{"mail":"****","n":1}',
        '{"card": "****", "list": ["****"]}',
        '****',
        '4111111111111111',
      ],
      ['2', 'nothing here', '{a}', '{"n":1}', '{"n": 1}', 'short', '12'],
    ])
  })

  await t.test('are masked in binary, and what cannot be replaced there comes empty', async t => {
    const [row = []] = await ask(carol.port, 'select body, short, doc, docb, tags from tickets where id = 1', true)
    t.same(row.slice(0, 3), ['card **** of ****', '****', '{"mail":"****","n":1}'])
    t.match(row[3], /^\u0001\{"card": "\*\*\*\*", "list": \["\*\*\*\*"\]\}$/)
    t.notMatch(row[4], 'secret')
    const [other = []] = await ask(carol.port, 'select body, tags from tickets where id = 2', true)
    t.equal(other[0], 'nothing here')
    t.match(other[1], 'a', 'an array that holds nothing is whole')
  })

  await t.test('are masked however they come about', async t => {
    for (const text of [
      `select '${CARD}' || ''`,
      `select greet('${EMAIL}')`,
      `select row('${EMAIL}', 1)::pair`,
      'select t from (select id, body, short, tags from tickets) t',
      'select string_agg(body, chr(10)) from tickets',
      `explain select * from tickets where body = '${EMAIL}'`,
    ]) {
      for (const binary of [false, true]) {
        const rows = JSON.stringify(await ask(carol.port, text, binary && !text.startsWith('explain')))
        t.notMatch(rows, /4111|jane/, text)
      }
    }
  })

  await t.test('are masked in every type that can hold a text, and in addresses', async t => {
    for (const type of types) {
      for (const binary of [false, true]) {
        const text = `select ${type} from tickets where id = 1`
        const clear = JSON.stringify(await ask(bob.port, text, binary).catch(String))
        const rows = JSON.stringify(await ask(carol.port, text, binary).catch(String))
        if (!binary) t.match(clear, /jane|10\.1\.2\.3|fd00:/, `${text} is there`)
        t.notMatch(rows, /jane|10\.1\.2\.3|fd00:|\\n\\u0001\\u0002\\u0003/, text)
      }
    }
    const harmless =
      "select '10.1.2.3'::inet is null, 7::int8, array[1, 2], '{1}'::int2[], date '2020-01-02', 'a b'::tsvector"
    t.same(await ask(carol.port, harmless), await ask(bob.port, harmless))
  })

  await t.test('are masked in errors, notices, notifications and settings', async t => {
    for (const [port, expected] of [
      [bob.port, /jane/],
      [carol.port, /\*\*\*\*/],
    ] as const) {
      for (const messages of [
        [`select '${EMAIL}'::int`],
        ['select body::int from tickets where id = 1'],
        [`do $$ begin raise notice 'mail %', '${EMAIL}'; end $$`],
        [`do $$ begin raise exception 'mail %', '${EMAIL}' using hint = '${CARD}', detail = '${EMAIL}'; end $$`],
        ...['column', 'constraint', 'datatype', 'table', 'schema'].flatMap(field => [
          [`do $$ begin raise notice 'x' using ${field} = '${EMAIL}'; end $$`],
          [`do $$ begin raise exception 'x' using ${field} = '${EMAIL}'; end $$`],
        ]),
        ['listen news', `select pg_notify('news', (select body from tickets where id = 1))`, 'select 1'],
        [`select set_config('application_name', (select short from tickets where id = 1), false) is null`],
      ]) {
        for (const extended of [false, true]) {
          const heard = await everything(port, messages, extended)
          t.match(heard, expected, messages.join('; '))
          if (port === carol.port) t.notMatch(heard, /jane|4111/, messages.join('; '))
        }
      }
    }
  })

  await t.test('are masked in an error that is longer than what is searched', async t => {
    const long = `do $$ begin raise exception '%', repeat('x', 100000) || '${EMAIL}'; end $$`
    t.match(await everything(bob.port, [long], false), 'jane')
    const heard = await everything(carol.port, [long], false)
    t.notMatch(heard, 'jane')
    t.match(heard, 'too long to be searched')
  })

  await t.test(
    'cannot be searched for where nobody sees the result, and whoever is only searched may run anything',
    async t => {
      await t.rejects(ask(carol.port, "copy tickets to '/tmp/tickets'"), {
        code: '42501',
        message: /searched for credit-card, email, ip/,
      })
      t.same(await ask(carol.port, 'select count(*) from tickets'), [['2']])
      await ask(carol.port, 'do $$ begin perform 1; end $$')
    },
  )
})
