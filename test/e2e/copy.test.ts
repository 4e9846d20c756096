// COPY TO STDOUT for a person from whom columns are masked: byte for byte what the server itself writes for the masked values.
import type { EventEmitter } from 'node:events'
import pg from 'pg'
import t from 'tap'
import { startWorld } from '../support/world.ts'

const policy = `
targets:
  - match: { labels: { protocol: postgres } }
    allow: { groups: [support, dba] }
    rules: [{ name: everything, allow: [support, dba] }]
    mask:
      - { columns: ["public.people.mail", "public.people.born"], for: { groups: [support] }, with: redact }
      - { columns: ["public.people.salary"], for: { groups: [support] }, with: "null" }
      - { columns: ["public.people.phone"], for: { groups: [support] }, with: fixed, value: 'a,"b"\\c;d' }
      - { columns: ["public.people.code"], for: { groups: [support] }, with: hash }
      - { detect: [credit-card], for: { groups: [support] }, with: redact }
`

/** Texts in which every delimiter, quote, escape and word for NULL comes up. */
const nasty = [
  'plain',
  '',
  '\\N',
  'NULL',
  '****',
  'a\tb',
  'a,b',
  'a;b',
  'quote " and \' and ""',
  'back\\slash\\',
  'new\nline',
  'return\rhere',
  '\\.',
  ' spaces ',
  'ünïcödé 漢字',
  '\b\f\v',
]

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`

const sql = `
create domain address as text;
create table people (
  id int primary key, mail text, note text, born date, salary numeric, phone address, code int, tags text[], doc jsonb,
  loud text generated always as (upper(note)) stored
);
${nasty
  .map(
    (text, index) =>
      `insert into people values (${index}, ${literal(text)}, ${literal(text)}, '1980-02-03', 5, ${literal(text)}, ${index},
        array[${literal(text)}], jsonb_build_object('t', ${literal(text)}));`,
  )
  .join('\n')}
insert into people values (100, null, null, null, null, null, null, null, null);
create view contacts as select id, mail as contact, note from people;
create table cards (id int primary key, body text, doc json);
insert into cards values (1, 'no card', '{"n":1}'), (2, 'card 4111111111111111, thanks', '{"card":"4111111111111111"}');
`

/** Everything that comes as COPY data, and the error if there was one. */
async function copy(port: number, text: string, user = 'x', password = ''): Promise<{ data: string; error: string }> {
  const client = new pg.Client({ host: '127.0.0.1', port, user, password, database: 'app', ssl: false })
  const chunks: Buffer[] = []
  client.on('error', () => {})
  const { connection } = client as unknown as { connection: EventEmitter }
  connection.on('copyData', (message: { chunk: Buffer }) => chunks.push(Buffer.from(message.chunk)))
  await client.connect()
  try {
    await client.query(text)
    return { data: Buffer.concat(chunks).toString('latin1'), error: '' }
  } catch (thrown) {
    const { code, message } = thrown as { code?: string; message: string }
    return { data: Buffer.concat(chunks).toString('latin1'), error: `${code}: ${message}` }
  } finally {
    await client.end().catch(() => {})
  }
}

const kept = (column: string, instead: string): string => `case when ${column} is null then null else ${instead} end`
const mail = kept('mail', "'****'")
const born = kept('born', "date '1970-01-01'")
const phone = kept('phone', `'a,"b"\\c;d'`)

/** What is copied through gate, and what the server has to copy for the same result. */
const sources: readonly (readonly [string, string])[] = [
  ['people (id, mail)', `(select id, ${mail} as mail from people)`],
  [
    'people (mail, born, salary, phone, note)',
    `(select ${mail} as mail, ${born} as born, null::numeric as salary, ${phone} as phone, note from people)`,
  ],
  [
    '(select note, mail, id from people order by id desc)',
    `(select note, ${mail} as mail, id from people order by id desc)`,
  ],
  [
    '(select p.mail as m, q.note from people p join people q using (id))',
    `(select ${mail.replaceAll('mail', 'p.mail')} as m, q.note from people p join people q using (id))`,
  ],
  ['(select * from contacts)', `(select id, ${mail} as contact, note from people)`],
  ['(select count(*), max(id) from people)', '(select count(*), max(id) from people)'],
  ['(with x as (select id, mail from people) select mail, id from x)', `(select ${mail} as mail, id from people)`],
  [
    '(update people set note = note where id < 3 returning id, mail)',
    `(select id, ${mail} as mail from people where id < 3)`,
  ],
]

const forms = [
  '',
  'csv',
  '(format binary)',
  'csv header',
  'csv force quote *',
  "(format csv, delimiter ';', quote '''', escape '\\', null 'NULL')",
  "csv escape '\\'",
  "(format text, delimiter '*', header)",
  "with delimiter ',' null '\\N'",
  'binary',
]

t.test('COPY TO STDOUT of masked columns', async t => {
  await using world = await startWorld({ policy, sql })
  await using carol = await (await world.person('carol')).connect('prod-db')
  const straight = (text: string): ReturnType<typeof copy> =>
    copy(world.postgres.port, text, 'gate_service', 'service-secret')

  await t.test('is what the server writes for the masked values, in every form', async t => {
    for (const [masked, replaced] of sources) {
      for (const form of forms) {
        const statement = `copy ${masked} to stdout ${form}`
        const gate = await copy(carol.port, statement)
        const server = await straight(`copy ${replaced} to stdout ${form}`)
        t.equal(server.error, '', `${replaced} ${form}`)
        t.same(gate, server, statement)
      }
    }
  })

  await t.test('leaves generated columns out of a whole table as the server does', async t => {
    const { data, error } = await copy(carol.port, 'copy people to stdout csv header')
    t.equal(error, '')
    t.match(data, /^id,mail,note,born,salary,phone,code,tags,doc\n/)
    t.match(data, /\n0,\*\*\*\*,plain,1970-01-01,,"a,""b""\\c;d",/)
    t.equal((await copy(carol.port, 'copy people to stdout (format binary)')).error, '')
  })

  await t.test('hides which of the masked values are the word for NULL', async t => {
    const { data } = await copy(carol.port, "copy people (mail) to stdout null 'NULL'")
    t.same([...new Set(data.trimEnd().split('\n'))], ['****'])
  })

  await t.test('is what was asked for when a column was moved by somebody else meanwhile', async t => {
    await world.postgres.query('alter table people drop column id cascade', 'app')
    await world.postgres.query('alter table people add column id int', 'app')
    const { data, error } = await copy(carol.port, 'copy people to stdout csv')
    t.equal(error, '')
    t.match(data, /^\*\*\*\*,plain,1970-01-01/m)
    t.notMatch(data, 'plain,plain')
  })

  await t.test('searches clear columns for what policy names', async t => {
    t.equal(
      (await copy(carol.port, 'copy cards to stdout')).data,
      '1\tno card\t{"n":1}\n2\tcard ****, thanks\t{"card":"****"}\n',
    )
    const csv = await copy(carol.port, "copy (select id, body || '' as body, doc from cards) to stdout csv")
    t.equal(csv.data, '1,no card,"{""n"":1}"\n2,"card ****, thanks","{""card"":""****""}"\n')
    const binary = await copy(carol.port, 'copy cards to stdout (format binary)')
    t.match(binary.data, 'no card')
    t.notMatch(binary.data, '4111')
    const computed = await copy(
      carol.port,
      "copy (select to_jsonb(c), 'x' || body from cards c) to stdout (format binary)",
    )
    t.notMatch(computed.data, '4111')
    t.match(computed.data, 'xno card')
  })

  await t.test('is refused where its rows cannot be read, and where it leaves by another way', async t => {
    for (const [statement, why] of [
      ["copy people to stdout (format text, encoding 'latin1')", /42501: gate: .*latin1/],
      ['copy (select upper(mail) from people) to stdout', /42501: gate: .*public.people.mail/],
      ['copy (select to_jsonb(p) from people p) to stdout', /42501/],
      ['copy (select mail from people where mail like $$a%$$) to stdout', /42501/],
      ["copy people to '/tmp/people'", /42501/],
      ["copy people to program 'cat'", /42501/],
    ] as const) {
      const { data, error } = await copy(carol.port, statement)
      t.match(error, why, statement)
      t.equal(data, '', statement)
    }
  })
})
