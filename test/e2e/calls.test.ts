// Who may not call functions, or change rows widely: what does by another name, in a view, a check, a default, a label, at Bind, by
// ON CONFLICT or MERGE, with a real server.
import pg from 'pg'
import t from 'tap'
import { run, shown, Talk } from '../support/talk.ts'
import { client, errorFields, type Message } from '../support/wire.ts'
import { SERVICE_PASSWORD, startWorld } from '../support/world.ts'

const policy = `
targets:
  - match: { labels: { env: prod } }
    allow: { groups: [engineers, dba, support] }
    rules:
      - { name: calls, when: op.action == "call", hold: { approvers: "1 of dba", expires: 1s, estimate: true }, for: { groups: [support] } }
      - { name: deletes, when: op.action == "delete", hold: { approvers: "1 of dba", expires: 1s, estimate: true }, for: { groups: [support] } }
      - { name: no-calls, when: op.action == "call", deny: "no calls", for: { groups: [engineers] } }
      - { name: no-wide, when: 'op.action in ["update", "delete"] && !op.hasWhere', deny: "not widely", for: { groups: [engineers] } }
      - { name: no-roles, when: op.action == "set_role", deny: "no roles", for: { groups: [dba] } }
      - { name: everything, allow: [engineers, support, dba] }
`

const sql = `
create table marks (id int);
create sequence sq;
create function mark() returns int language plpgsql volatile as $$ begin insert into marks values (1); return 1; end $$;
create function labelled() returns int language plpgsql stable as $$ begin return mark(); end $$;
create function folded(int) returns int language sql immutable as 'select mark()';
create function add_one(int) returns int language sql immutable as 'select $1 + 1';
create function shout(text) returns text language plpgsql stable as $$ begin return upper($1) || (select count(*) from marks); end $$;
create function add_both(int, int) returns int language sql immutable as 'select $1 + $2';
create function mark_of(int, int) returns int language plpgsql volatile as $$ begin return mark(); end $$;
create function first_of(int, int) returns int language sql immutable as 'select mark()';
create operator ### (leftarg = int, rightarg = int, function = first_of);
create domain checked as int check (mark() = value);
create domain counted as int check (setval('sq', value) > 0);
create domain plain as int check (value > 0 and value < length('some text'));
create type pair as (a int, b checked);
create type span as range (subtype = counted);
create table kept (id int, v checked);
create operator #### (leftarg = int, rightarg = int, function = int4pl);
create function steady() returns int language sql stable as 'select 1';
create view steady_view as select steady() as a;
create function kick(text) returns int language plpgsql immutable as $$ begin
  perform pg_terminate_backend(pid) from pg_stat_activity where application_name = $1; return 1; end $$;
create view folded_view as select id, folded(1) as a from marks;
create view moving as select setval('sq', 77) as a;
create view moving_too as select a from moving;
create view told as select query_to_xml('select mark()', true, false, '') as q;
create function over_folded(int) returns int language sql immutable as 'select folded($1)';
create function over_that() returns int language plpgsql stable as $$ begin return over_folded(1); end $$;
create function spelled() returns int language sql immutable as 'select U&"m\\0061rk"()';
create function by_default(a int default mark()) returns int language sql immutable as 'select $1';
create function by_operator() returns int language sql immutable as 'select 1 ### 2';
create function by_view() returns int language sql stable as 'select a::int from moving_too';
create function by_type() returns int language sql immutable as $$ select '1'::checked::int $$;
create function of_checked(checked) returns int language sql immutable as 'select $1::int';
create function over_first(int, int) returns int language sql immutable as 'select first_of($1, $2)';
create operator #*# (leftarg = int, rightarg = int, function = over_first);
create aggregate over_sum(int) (sfunc = over_first, stype = int);
create function over_one(int) returns int language sql immutable as 'select add_one($1) + length(current_user)';
create function over_steady() returns int language sql stable as 'select steady()';
create view labelled_view as select labelled() as a;
create view clear as select id, upper(id::text) as u, nextval('sq') as n, now() as at from marks;
create materialized view kept_clear as select * from clear;
create table ruled (id int);
create rule r as on insert to ruled do also select setval('sq', 78);
create table folding (id int);
create rule r as on insert to folding do also select folded(1);
create view ruled_view as select id from ruled;
create table items (id int primary key, note text default upper('x'), at timestamptz default now());
create view item_view as select id, note from items;
insert into items values (11, 'one'), (12, 'two'), (13, 'three');
create aggregate turned(text, bool) (sfunc = set_config, stype = text, initcond = 'my.setting');
create function loud(int) returns int language plpgsql stable as $$ begin return $1; end $$;
create function add_two(int) returns int language sql immutable as 'select $1 + 2';
create function add_three(int) returns int language sql immutable as 'select $1 + 3';
create function stamp() returns trigger language plpgsql as $$ begin return new; end $$;
create table stamped (id int, note text);
create trigger stamps before insert on stamped for each row execute function stamp();
create function of_note(text) returns text language sql immutable as 'select upper($1)';
create index on stamped (of_note(note));
create extension hstore;
create function relabelled() returns int language plpgsql stable as $$ begin insert into marks values (2); return 1; end $$;
create function lazy() returns int language plpgsql stable as $$ begin return not_yet(); end $$;
create schema apart;
create function "ma""rk"() returns int language sql volatile as 'select mark()';
create function by_quotes() returns int language sql immutable as 'select "ma""rk"()';
create function ${'m'.repeat(63)}() returns int language sql volatile as 'select mark()';
create function by_longer() returns int language sql immutable as 'select ${'m'.repeat(70)}()';
create function by_array() returns text language plpgsql immutable as $$ begin return ('{"(1,1)"}'::_pair)::text; end $$;
create function of_rows(variadic marks[]) returns int language sql volatile as 'select mark()';
create type mood as enum ('sad');
create table moods (id int, m mood);
create function mood_json(mood) returns json language plpgsql volatile as $$ begin perform mark(); return '1'; end $$;
create cast (mood as json) with function mood_json(mood);
create type worth as (v int);
create table worths (id int, w worth);
create view worth_view as select id, w from worths;
create function worth_text(worth) returns text language plpgsql volatile as $$ begin perform mark(); return '1'; end $$;
create cast (worth as text) with function worth_text(worth) as implicit;
insert into moods values (1, 'sad');
insert into worths values (1, row(5));
create function kept_none() returns int language sql immutable as 'select 1';
create function kept_one(int) returns int language sql immutable as 'select $1';
create function kept_two(int, int) returns int language sql immutable as 'select $1 + $2';
create type calm as enum ('so');
create table calms (id int, c calm);
create function kept_calm(calm) returns int language sql immutable as 'select 1';
create function calm_json(calm) returns json language plpgsql immutable as $$ begin return '1'; end $$;
create cast (calm as json) with function calm_json(calm);
create function kept_stamp() returns trigger language plpgsql stable as $$ begin return new; end $$;
create view kept_view as select kept_none() as a;
create view ticking as select setval('sq', 79) as a;
create view apart.kept_apart as select a from ticking;
create view quiet as select 1::bigint as a;
create view over_quiet as select a from quiet;
`

/** What comes of messages in a session of their own. */
const converse = async (port: number, ...units: readonly Buffer[]): Promise<readonly Message[]> => {
  const talk = await Talk.start(port)
  const answer = await talk.say(units)
  talk.close()
  return answer
}

/** The SQLSTATE and text of the first error. */
function failure(answer: readonly Message[]): string | undefined {
  const [error] = answer.filter(({ type }) => type === 'E')
  if (error === undefined) return undefined
  const fields = errorFields(error)
  return `${fields['C']} ${fields['M']}`
}

t.test('functions that may do anything', async t => {
  await using world = await startWorld({ policy, sql, postgres: { settings: { max_prepared_transactions: '2' } } })
  const alice = await world.person('alice')
  const carol = await world.person('carol')
  await using engineer = await alice.connect('prod-db')
  await using support = await carol.connect('prod-db')
  const [[oid] = []] = await world.postgres.query("select 'checked'::regtype::oid::text", 'app')
  const checked = Number(oid)
  const touched = (): Promise<unknown> =>
    world.postgres.query('select (select count(*) from marks)::int, is_called, last_value::int from sq', 'app')
  const before = await touched()

  await t.test('are calls, however they are called', async t => {
    const refused = [
      'select mark()',
      "select setval('sq', 5)",
      'select * from moving',
      'select * from moving_too',
      'table told',
      'select * from labelled_view',
      'create table stolen as select * from moving',
      'select 1::checked',
      "select '5'::counted",
      'select cast(array[1] as checked[])',
      "select '(1,1)'::pair",
      "select '[1,5)'::span",
      "select '{1}'::checked[]",
      "select '(1,1)'::kept",
      'insert into ruled values (1)',
      'insert into ruled_view values (1)',
      'select labelled()',
      'select folded(1)',
      'select 1 ### 2',
      'select over_that()',
      'select spelled()',
      'select by_default()',
      'select by_operator()',
      'select by_view()',
      'select by_type()',
      "select of_checked('1')",
      'select 1 #*# 2',
      'select over_sum(1)',
      "select turned('x', false)",
      'select by_quotes()',
      'select by_longer()',
      'select by_array()',
      'select m.of_rows from marks m',
      'select to_json(m) from moods',
      'select length(w) from worths',
      'select length(w) from worth_view',
      "select domain_in('5', 'checked'::regtype, -1) is null",
      "select array_in('{5}', 'checked'::regtype, -1) is null",
      'explain select folded(1)',
      'explain select 1 ### 2',
      'explain select * from folded_view',
      'explain insert into folding values (1)',
      'select * from folded_view',
      'explain select 1 from items where id = labelled()',
      "create view own as select setval('sq', 9)",
      'create view own as select labelled()',
      "create table own (id int default setval('sq', 9))",
      'create table own (id checked)',
      'alter table items alter note set default lo_create(0)::text',
      'create domain own as int check (labelled() = value)',
      'create trigger own after insert on items for each row execute function mark()',
      'prepare p(checked) as select $1',
      'create operator ##### (leftarg = int, rightarg = int, function = mark_of)',
      "create operator ##### (leftarg = int, rightarg = int, procedure = 'mark_of')",
      'create aggregate own(int) (sfunc = first_of, stype = int)',
      'create aggregate own(int) (sfunc1 = first_of, stype1 = int)',
      'create cast (pair as int) with function pg_temp.first_of(pair)',
      'create or replace function stamp() returns trigger language plpgsql as $$ begin perform mark(); return new; end $$',
      "create or replace function of_note(text) returns text language sql immutable as 'select mark()::text'",
      'alter function stamp() set search_path = apart',
      "create function own(a pair default '(1,1)') returns int language sql as 'select 1'",
      "create function own() returns pair language sql as $$ select '(1,1)'::pair $$",
      "create function own() returns text language sql as E'select ''(1,1)''::\\x70air::text'",
    ]
    for (const text of refused)
      t.match(failure(await converse(engineer.port, client.query(text))) ?? 'may run', /^42501 gate: no calls/, text)
    for (const [text, types] of [
      ['select $1', [checked]],
      ['select $1::checked', []],
      ['select 1 from items where id = labelled()', []],
      ['select * from folded_view', []],
      ['select 1 ### 2', []],
    ] as const) {
      const bytes = [
        client.parse('', text, [...types]),
        client.bind('', '', types.length > 0 ? [Buffer.from('1')] : []),
      ]
      const said = failure(await converse(engineer.port, ...bytes, client.sync))
      t.match(said ?? 'may run', /^42501 gate: no calls/, `at Parse: ${text}`)
      const held = failure(await converse(support.port, ...bytes, client.sync))
      t.match(held ?? 'may run', /^42501 gate: people have to approve this/, `before a hold: ${text}`)
    }
    t.same(await touched(), before)
  })

  await t.test('by the OID of set_config() change who one is as SET ROLE does', async t => {
    const bob = await world.person('bob')
    await using connection = await bob.connect('prod-db')
    const [[setConfig] = []] = await world.postgres.query("select 'set_config'::regproc::oid::text")
    const set = (name: string, value: string): Buffer =>
      client.functionCall(Number(setConfig), [Buffer.from(name), Buffer.from(value), Buffer.from([0])])
    for (const name of ['role', 'ROLE', 'session_authorization'])
      t.match(failure(await converse(connection.port, set(name, 'gate_service'))), '42501 gate: no roles', name)
    t.equal(failure(await converse(connection.port, set('work_mem', '5MB'))), undefined)
  })

  await t.test('are not what PostgreSQL and extensions compute with', async t => {
    const allowed = [
      'select id, u from clear',
      'refresh materialized view kept_clear',
      'select 1::plain',
      "select add_one(1), shout('x'), over_one(1)",
      'explain select add_one(1)',
      "select upper('x'), now(), 'a=>1'::hstore -> 'a', random(), gen_random_uuid()",
      'create view more as select id, lower(note) as note from items',
      'create table made (id serial primary key, at timestamptz default now(), key uuid default gen_random_uuid(), p plain check (p > 0))',
      'alter table made add column note text default upper(current_user)',
      'create index on made (lower(note))',
      'alter view moving rename to moving_on',
      'insert into item_view (id) values (1)',
      'explain select mark()',
      'explain select 1 #### 2, u from clear',
      'explain insert into ruled values (1)',
      'create operator ##### (leftarg = int, rightarg = int, function = add_both)',
      'create aggregate own_sum(int) (sfunc = int4pl, stype = int)',
      'begin; create function mine() returns int language sql as $$ select 1 $$; select now(), upper($$x$$); rollback',
      'begin; create view own as select id from items; select id from own; alter view own rename to own_too; table own_too; rollback',
      'begin; alter function shout(text) cost 50; insert into items (id) values (98); select u from clear; rollback',
      'alter function add_one(int) rename to add_1',
      "comment on function mark() is 'x'",
      "create function later() returns int language sql as 'select mark()'",
      'drop function later()',
      'drop view moving_on cascade',
    ]
    for (const text of allowed) t.equal(failure(await converse(engineer.port, client.query(text))), undefined, text)
  })

  await t.test('of functions that are made in the same message or transaction', async t => {
    const made = (name: string): string =>
      `create or replace function ${name} returns int language sql volatile as 'select mark()'`
    const use: Readonly<Record<string, readonly [string, string]>> = {
      'another beside one of PostgreSQL': [made('public.abs(text)'), "select abs('x'::text)"],
      'another in place of one': [made('steady()'), 'select steady()'],
      'one that a view calls': [made('steady()'), 'select * from steady_view'],
      'one that a labelled one calls': [made('steady()'), 'select over_steady()'],
      'one that got the name of another': [
        `${made('other(text)')}; alter function other(text) rename to abs`,
        "select abs('x'::text)",
      ],
      'one with another label': ['alter function relabelled() volatile', 'select relabelled()'],
      'one that a labelled one names, and was not there': [made('not_yet()'), 'select lazy()'],
      'a view over one that calls': ['create view over_ticking as select * from ticking', 'table over_ticking'],
      'a view over such a view': [
        'create view over_ticking as select * from ticking; create view far_over as select * from over_ticking',
        'table far_over',
      ],
      'a view under another one': ['create or replace view quiet as select a from ticking', 'table over_quiet'],
      'a view that calls, by another name': ['alter view ticking rename to ticked', 'select a from ticked'],
      'a view that calls, in another schema': ['alter view ticking set schema apart', 'select a from apart.ticking'],
      'a view that calls, in a schema by another name': ['alter schema apart rename to near', 'table near.kept_apart'],
      'a table with a rule that calls, by another name': [
        'alter table ruled rename to ruled_too',
        'insert into ruled_too values (1)',
      ],
      'a rule that writes to such a table': [
        'create rule own as on insert to items do also insert into ruled values (1)',
        'insert into items (id) values (99)',
      ],
      'a domain whose check calls, by another name': [
        'alter domain checked rename to looked_at',
        'select 1::looked_at',
      ],
    }
    for (const [name, [make, call]] of Object.entries(use)) {
      const talk = await Talk.start(engineer.port)
      t.match(await talk.ask(`begin; ${make}; ${call}; rollback`), /^42501 gate: no calls/, `${name}, in one message`)
      await talk.ask('begin')
      t.equal(await talk.ask(make), '', name)
      t.match(await talk.ask(call), /^42501 gate: no calls/, `${name}, in one transaction`)
      await talk.ask('rollback')
      const pipeline = [client.parse('', 'begin'), client.bind('', ''), client.execute('')]
      for (const text of [...make.split('; '), call])
        pipeline.push(client.parse('', text), client.bind('', ''), client.execute(''))
      t.match(shown(await talk.say([...pipeline, client.sync])), /42501 gate: no calls/, `${name}, in one pipeline`)
      await talk.ask('rollback')
      if (call.includes('steady')) t.equal(await talk.ask(call), '1', `${name}: not after the transaction`)
      talk.close()
    }
    const talk = await Talk.start(engineer.port)
    await talk.ask('begin')
    const begun = [client.parse('', 'select steady() from generate_series(1, 3)'), client.bind('p', '')]
    t.equal(shown(await talk.say([...begun, client.execute('p', 1), client.sync])), '1')
    t.equal(await talk.ask(made('steady()')), '')
    const more = shown(await talk.say([client.execute('p', 0), client.sync]))
    t.match(more, /^42501 gate: no calls/, 'the rest of a portal')
    talk.close()
    t.same(await touched(), before)
  })

  await t.test('of functions that are made anew where the same transaction has defined what calls them', async t => {
    const anew = (what: string, returns = 'int'): string =>
      `create or replace function ${what} returns ${returns} language plpgsql volatile as $$ begin perform mark(); return null; end $$`
    const defined: Readonly<Record<string, readonly [string, string]>> = {
      'an operator': [
        'create operator #@@# (leftarg = int, rightarg = int, function = kept_two)',
        anew('kept_two(int, int)'),
      ],
      'a domain': ['create domain own as int check (kept_one(value) = 1)', anew('kept_one(int)')],
      'a cast': ['create cast (calm as int) with function kept_calm(calm)', anew('kept_calm(calm)')],
      'a view': ['create view own as select kept_none()', anew('kept_none()')],
      'a view over a view': ['create view own as select * from kept_view', anew('kept_none()')],
      'a rule': ['create rule own as on insert to items do also select kept_none()', anew('kept_none()')],
      'a default': ['create table own (a int default kept_none())', anew('kept_none()')],
      'a check': ['alter table items add check (kept_one(id) > 0)', anew('kept_one(int)')],
      'a policy': ['create policy own on items using (kept_none() = 1)', anew('kept_none()')],
      'a trigger': [
        'create trigger own before insert on items for each row execute function kept_stamp()',
        anew('kept_stamp()', 'trigger'),
      ],
      'a table of what a cast converts': ['create table own as select c from calms', anew('calm_json(calm)', 'json')],
      'a label': ['create view own as select kept_none()', 'alter function kept_none() volatile'],
    }
    for (const [name, [define, redefine]] of Object.entries(defined)) {
      const talk = await Talk.start(engineer.port)
      await talk.ask('begin')
      t.equal(await talk.ask(define), '', name)
      t.match(await talk.ask(redefine), /^42501 gate: no calls/, `${name}, in one transaction`)
      await talk.ask('rollback')
      const pipeline = [...run('begin'), ...run(define), ...run(redefine), client.sync]
      t.match(shown(await talk.say(pipeline)), /42501 gate: no calls/, `${name}, in one pipeline`)
      await talk.ask('rollback')
      t.equal(await talk.ask(`begin; ${redefine}; rollback`), '', `${name}: not of itself`)
      talk.close()
    }
    t.same(await touched(), before)
  })

  await t.test('of functions that a prepared transaction made, which is committed in the same pipeline', async t => {
    const talk = await Talk.start(engineer.port)
    for (const text of ['begin', 'alter function relabelled() volatile', "prepare transaction 'relabels'"])
      t.equal(await talk.ask(text), '', text)
    t.equal(await talk.ask('select id from items where id = 11'), '11')
    const pipeline = [...run("commit prepared 'relabels'"), ...run('select relabelled()'), client.sync]
    t.match(shown(await talk.say(pipeline)), /^42501 gate: no calls/)
    t.equal(await talk.ask("select upper('x')"), 'X', 'and not after it')
    talk.close()
    t.same(await touched(), before)
  })

  await t.test('of functions that are replaced between Parse and Bind, which plans what it binds', async t => {
    const made = (name: string): string =>
      `create or replace function ${name}(int) returns int language sql immutable as 'select mark()'`
    for (const [port, name, reason] of [
      [engineer.port, 'add_two', /^42501 gate: no calls/],
      [support.port, 'add_three', /^42501 gate: people have to approve this/],
    ] as const) {
      const talk = await Talk.start(port)
      const call = `select ${name}(1)`
      await talk.say([client.parse('early', call), client.parse('other', "select upper('x')"), client.sync])
      t.equal(await talk.ask(`prepare sql as ${call}`), '')
      t.equal(
        shown(await talk.say([client.bind('', 'early'), client.execute(''), client.sync])),
        name.endsWith('two') ? '3' : '4',
      )
      const pipeline = [client.parse('', made(name)), client.bind('', ''), client.execute(''), client.bind('', 'early')]
      t.match(shown(await talk.say([...pipeline, client.sync])), reason, 'in one pipeline')
      t.equal(await talk.ask(made(name)), '')
      for (const statement of ['early', 'sql'])
        t.match(shown(await talk.say([client.bind('', statement), client.sync])), reason, statement)
      const large = [client.parse('large', `select ${name}(1), $1::text`), client.sync]
      t.match(shown(await talk.say(large)), reason)
      t.equal(
        shown(await talk.say([client.bind('', 'other'), client.execute(''), client.sync])),
        'X',
        'others may be bound',
      )
      talk.close()
    }
    t.same(await touched(), before)
  })

  await t.test('of functions that are replaced before COMMIT runs a cursor WITH HOLD', async t => {
    const declare = 'declare c cursor with hold for select loud(id) from generate_series(1, 3) id'
    const make = 'create or replace function loud(int) returns int language plpgsql as $$ begin return mark(); end $$'
    for (const messages of [
      ['begin', declare, make, 'commit'],
      ['begin', `${declare}; ${make}; commit`],
    ]) {
      const talk = await Talk.start(engineer.port)
      const answers: string[] = []
      for (const message of messages) answers.push(await talk.ask(message))
      t.match(answers.join(), /42501 gate: (?:a cursor WITH HOLD|no calls)/)
      talk.close()
    }
    t.same(await touched(), before)
    const talk = await Talk.start(engineer.port)
    for (const message of ['begin', declare, 'commit', make, 'close c', 'begin', make, 'commit'])
      t.equal(await talk.ask(message), '', message)
    talk.close()
  })

  await t.test('by an estimate for those who are asked', async t => {
    const { host, port } = world.postgres
    const login = { user: 'gate_service', password: SERVICE_PASSWORD, database: 'app' }
    const witness = new pg.Client({ host, port, ...login, application_name: 'witness' })
    let ended = false
    witness.on('error', () => {})
    witness.on('end', () => {
      ended = true
    })
    await witness.connect()
    for (const text of ["select kick('witness')", "delete from marks where id = kick('witness')"])
      t.match(failure(await converse(support.port, client.query(text))) ?? 'ran', /nobody decided in time/, text)
    t.equal(ended, false)
    await witness.end()
  })

  await t.test('rows are updated and deleted by INSERT and MERGE too', async t => {
    const rows = (): Promise<unknown> => world.postgres.query('select id, note from items order by id', 'app')
    const kept = await rows()
    const upsert = (source: string): string =>
      `insert into items (id, note) ${source} on conflict (id) do update set note = 'over'`
    for (const text of [
      upsert("select id, 'over' from items"),
      `with x as (${upsert('table items')} returning id) select * from x`,
      "merge into items i using marks m on true when matched then update set note = 'over'",
      'merge into items i using items x on i.id = x.id or true when matched then delete',
    ])
      t.match(failure(await converse(engineer.port, client.query(text))) ?? 'ran', /^42501 gate: not widely/, text)
    const merge = 'merge into items i using items x on i.id = x.id when matched and i.id < 13 then delete'
    t.match(failure(await converse(support.port, client.query(merge))) ?? 'ran', /nobody decided in time/)
    t.same(await rows(), kept)
    for (const text of [upsert("values (12, 'x'), (14, 'four')"), merge])
      t.equal(failure(await converse(engineer.port, client.query(text))), undefined, text)
    t.same(await rows(), [
      ['13', 'three'],
      ['14', 'four'],
    ])
  })

  await t.test('by literals that the database reads otherwise by default', async t => {
    await world.postgres.query('alter role gate_service set standard_conforming_strings = off')
    await world.postgres.query('insert into marks values (5)', 'app')
    // What gate itself says there is on a connection of before for a moment.
    await new Promise(resolve => setTimeout(resolve, 2_500))
    const value = Buffer.from("\\'); commit; delete from marks; --")
    const bytes = [client.parse('', 'delete from marks where id::text = $1'), client.bind('', '', [value])]
    const held = await converse(support.port, ...bytes, client.execute(''), client.sync)
    t.match(failure(held) ?? 'ran', /nobody decided in time/)
    t.same(await world.postgres.query('select count(*)::int from marks', 'app'), [['1']])
    t.match(failure(await converse(engineer.port, client.query('select labelled()'))) ?? 'ran', /no calls/)
  })
})
