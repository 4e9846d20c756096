# psycopg 3 over libpq, doing what programs do with it.
import datetime
import decimal
import hashlib
import json
import os
import sys
import threading
import time
import traceback
import uuid

import psycopg
from psycopg import ClientCursor, pq, sql
from psycopg.rows import tuple_row
from psycopg.types.json import Jsonb

HABITS = {}


def habit(work):
    HABITS[work.__name__.replace('_', ' ')] = work
    return work


def connect(conninfo='', **more):
    more.setdefault('options', '-c search_path=habits')
    return psycopg.connect(conninfo, autocommit=True, **more)


def plain(value):
    return value.hex() if isinstance(value, (bytes, memoryview)) else str(value)


FIELDS = [
    'severity', 'severity_nonlocalized', 'sqlstate', 'message_primary', 'message_detail', 'message_hint',
    'statement_position', 'internal_position', 'internal_query', 'context', 'schema_name', 'table_name',
    'column_name', 'datatype_name', 'constraint_name', 'source_file', 'source_line', 'source_function',
]


def failure(work):
    try:
        return ['unexpected', work()]
    except psycopg.Error as error:
        return [type(error).__name__, {name: getattr(error.diag, name) for name in FIELDS if getattr(error.diag, name)}]


def rows(connection, text, parameters=None, **more):
    return connection.execute(text, parameters, **more).fetchall()


@habit
def prepare(say):
    with connect() as c:
        c.execute("set client_min_messages = error; drop schema if exists habits cascade; create schema habits")
        c.execute("create type mood as enum ('happy', 'sad')")
        c.execute('create table items (id int primary key, name text unique, amount int check (amount > 0))')
        say(c.execute("insert into items select g, 'n' || g, g from generate_series(1, 500) g").rowcount)


@habit
def types(say):
    values = [
        ('int4', 1), ('int2', -32768), ('int8', 2**63 - 1), ('numeric', decimal.Decimal('12345.6789000')),
        ('float8', 1.5), ('text', 'text ☃'), ('bytea', b'\x00\x01\xfe\xff'), ('date', datetime.date(2026, 1, 31)),
        ('timestamptz', datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.timezone.utc)), ('jsonb', Jsonb({'a': [1]})),
        ('text[]', ['a', None, 'b"\\']), ('int4[]', [1, None, 3]), ('bool', True), ('mood', 'sad'),
        ('interval', datetime.timedelta(days=1, seconds=5)), ('uuid', uuid.UUID(int=1)), ('int4', None),
    ]
    with connect() as c:
        for placeholder in ('%s', '%b', '%t'):
            for binary in (False, True):
                cursor = c.cursor(binary=binary)
                for name, value in values:
                    try:
                        cursor.execute(sql.SQL('select {}::{}').format(sql.SQL(placeholder), sql.SQL(name)), [value])
                        say(name, cursor.fetchone(), name == 'mood' or cursor.description[0].type_display, cursor.pgresult.fformat(0))
                    except psycopg.Error as error:
                        say(name, type(error).__name__, str(error))
        say(ClientCursor(c).execute('select %s, %s::bytea, %s', ["it's", b'\\x', [1, 2]]).fetchall())


@habit
def prepared(say):
    with connect() as c:
        for round in range(8):
            say(rows(c, 'select name from items where id = %s', [round + 1]))
            say(rows(c, 'select %s::int + 1', [round], prepare=True))
        c.execute('deallocate all')
        say(rows(c, 'select name from items where id = %s', [7], prepare=True))
        say([row[1:] for row in rows(c, 'select name, statement, parameter_types::text from pg_prepared_statements')])
        c.execute('alter table items add column more int')
        say(failure(lambda: rows(c, 'select * from items where id = %s', [7], prepare=True)))
        c.execute('alter table items drop column more')
        for name, text in (('p', 'select $1::int'), ('p', 'select 2'), ('', 'select 3'), ('', 'select 4')):
            result = c.pgconn.prepare(name.encode(), text.encode())
            say(pq.ExecStatus(result.status).name, result.error_field(pq.DiagnosticField.SQLSTATE))
        described = c.pgconn.describe_prepared(b'p')
        say(described.nparams, described.param_type(0), described.nfields, described.ftype(0))
        say(c.pgconn.exec_prepared(b'', []).get_value(0, 0), c.pgconn.exec_prepared(b'p', [b'8']).get_value(0, 0))
        closed = c.pgconn.close_prepared(b'p')
        say(pq.ExecStatus(closed.status).name, c.pgconn.exec_prepared(b'p', [b'8']).error_field(pq.DiagnosticField.SQLSTATE))


@habit
def pipeline(say):
    with connect() as c:
        with c.pipeline():
            cursors = [c.execute('select %s::int * 2', [number]) for number in range(200)]
        say([cursor.fetchone()[0] for cursor in cursors])
        seen = []

        def failing():
            with c.pipeline() as p:
                c.execute("update items set amount = 9 where id = 9")
                p.sync()
                seen.append(c.execute('select 1'))
                c.execute('select 1 / 0')
                seen.append(c.execute("update items set amount = 10 where id = 9"))
                p.sync()
                seen.append(c.execute('select 2'))

        say(failure(failing), [pq.ExecStatus(cursor.pgresult.status).name if cursor.pgresult else None for cursor in seen[:1]])
        say(rows(c, 'select amount from items where id = 9'), c.info.transaction_status.name)
        cursor = c.cursor()
        cursor.executemany('insert into items values (%s, %s, 1)', [(2000 + n, f'many {n}') for n in range(300)])
        say(cursor.rowcount, failure(lambda: cursor.executemany('insert into items values (%s, %s, 1)', [(3000, 'a'), (1, 'b')])))
        say(c.execute('delete from items where id > 500').rowcount)


@habit
def portals(say):
    with connect() as c:
        cursor = c.cursor()
        say([row[0] for row in cursor.stream('select id from items where id <= 20 order by id')])
        say(sum(row[0] for row in cursor.stream('select g from generate_series(1, 1000) g', size=100)))
        say(failure(lambda: list(cursor.stream('select 10 / (5 - g) from generate_series(1, 10) g'))))
        say(rows(c, 'select 1'))


@habit
def cursors(say):
    with connect() as c, c.transaction():
        with c.cursor('named', scrollable=True) as cursor:
            cursor.itersize = 100
            cursor.execute('select id, name from items order by id')
            say(cursor.fetchone(), len(cursor.fetchmany(50)), cursor.scroll(10), cursor.fetchone(), sum(1 for _ in cursor))
        with c.cursor('binary', binary=True) as cursor:
            cursor.execute('select id, amount::numeric from items where id < %s', [3])
            say(cursor.fetchall(), cursor.description)
    with connect() as c:
        with c.cursor('held', withhold=True) as cursor:
            cursor.execute('select id from items order by id limit 3')
            say(cursor.fetchall())


@habit
def copy(say):
    with connect() as c:
        cursor = c.cursor()
        c.execute('create table copied (a int, b text)')
        with cursor.copy('copy copied from stdin') as lines:
            for number in range(5000):
                lines.write_row((number, f'line {number}'))
        with cursor.copy('copy copied from stdin (format binary)') as lines:
            lines.set_types(['int4', 'text'])
            lines.write_row((7, None))
        say(cursor.rowcount, cursor.statusmessage)
        with cursor.copy('copy (select * from copied order by 1, 2) to stdout (format csv, header)') as lines:
            say(hashlib.sha256(b''.join(lines)).hexdigest())
        with cursor.copy('copy (select * from copied where a < %s) to stdout (format binary)', [3]) as lines:
            lines.set_types(['int4', 'text'])
            say(list(lines.rows()))

        def bad():
            with cursor.copy('copy copied from stdin') as lines:
                for number in range(20000):
                    lines.write(f'{number if number != 9 else "x"}\tline\n')

        def aborted():
            with cursor.copy('copy copied from stdin') as lines:
                lines.write('1\tnever\n')
                raise psycopg.ProgrammingError('changed my mind')

        def left():
            with cursor.copy('copy (select g from generate_series(1, 30000000) g) to stdout') as lines:
                lines.read()
                c.cancel_safe()
                for _ in lines:
                    pass

        def nowhere():
            with cursor.copy('copy nowhere from stdin'):
                pass

        for work in (bad, aborted, left, nowhere):
            say(failure(work), c.info.transaction_status.name, rows(c, 'select count(*) from copied'))


@habit
def transactions(say):
    with connect() as c:
        c.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        try:
            with c.transaction():
                c.execute('delete from items where id > 100')
                say(failure(lambda: inside(c, 'select 1 / 0')), c.info.transaction_status.name)
                say(rows(c, 'select count(*) from items'), rows(c, "select current_setting('transaction_isolation')"))
                raise psycopg.Rollback()
        finally:
            say(rows(c, 'select count(*) from items'))
        c.autocommit = False
        say(failure(lambda: c.execute('select 1 / 0')), failure(lambda: c.execute('select 1')), c.info.transaction_status.name)
        c.rollback()
        c.execute('select 1')
        c.commit()


def inside(c, text):
    with c.transaction():
        c.execute(text)


@habit
def notices(say):
    with connect() as c:
        c.add_notice_handler(lambda diag: say({name: getattr(diag, name) for name in FIELDS if getattr(diag, name)}))
        c.execute("do $$ begin raise notice 'one %', 1; raise warning 'two' using detail = 'd', hint = 'h'; end $$")
        c.execute('drop table if exists no_such_table')


@habit
def listen(say):
    with connect() as c, connect() as other:
        c.execute('listen news')
        other.execute("notify news, 'one'")
        other.execute("select pg_notify('news', repeat('x', 7000))")
        say([(notify.channel, notify.payload) for notify in c.notifies(timeout=10, stop_after=2)])
        with c.pipeline():
            c.execute("notify news, 'own'")
        say([notify.payload for notify in c.notifies(timeout=10, stop_after=1)])


@habit
def cancel(say):
    with connect() as c:
        for stop in (c.cancel, c.cancel_safe, c.cancel_safe):
            threading.Timer(0.15, stop).start()
            say(failure(lambda: c.execute('select pg_sleep(60)')), rows(c, 'select 1'))
        for _ in range(20):
            # Once the request is answered, it cannot hit what comes after it.
            c.cancel_safe()
            say(failure(lambda: rows(c, "select 'unhurt', pg_sleep(0.01)")))


@habit
def timeouts(say):
    with connect(options='-c statement_timeout=100') as c:
        say(failure(lambda: c.execute('select pg_sleep(30)')))
    c = connect(options='-c idle_session_timeout=100')
    time.sleep(0.5)
    say(failure(lambda: c.execute('select 1')), c.closed, c.broken)


@habit
def several_statements(say):
    with connect() as c:
        cursor = c.execute("select 1 as a; values (2), (3); ; select 'x' as b where false; set work_mem = '5MB'")
        say([(each.statusmessage, each.rowcount, each.fetchall() if each.description else None) for each in cursor.results()])
        say(failure(lambda: c.execute('create table multi (a int); insert into multi values (1); select 1 / 0; select 2')))
        say(rows(c, "select count(*) from pg_class where relname = 'multi'"))


@habit
def large_values(say):
    with connect() as c:
        say(rows(c, 'select length(%b), md5(%b)', [b'gate' * 12_500_000] * 2))
        say(len(rows(c, "select repeat('x', 50000000)")[0][0]))
        say(len(c.cursor(binary=True).execute("select convert_to(repeat('x', 50000000), 'UTF8')").fetchone()[0]))
        c.add_notice_handler(lambda diag: say(len(diag.message_primary)))
        c.execute("do $$ begin raise notice '%', repeat('x', 17000000); end $$")
        say(rows(c, 'select 1'))


@habit
def many_queries(say):
    with connect() as c:
        say(sum(rows(c, 'select %s::int', [number])[0][0] for number in range(500)))


@habit
def options(say):
    names = ['application_name', 'search_path', 'TimeZone', 'work_mem', 'client_encoding', 'DateStyle']
    text = 'select ' + ', '.join(f"current_setting('{name}')" for name in names)
    with connect('application_name=habits', options='-c search_path=habits,public -c work_mem=7MB --TimeZone=Asia/Tokyo') as c:
        say(rows(c, text), c.info.encoding, c.info.timezone, c.info.server_version, c.info.parameter_status('integer_datetimes'))
    os.environ['PGTZ'] = 'Pacific/Auckland'
    with connect('fallback_application_name=other client_encoding=utf8 sslmode=prefer gssencmode=disable') as c:
        say(rows(c, text), c.pgconn.ssl_in_use, c.info.user)
    del os.environ['PGTZ']
    with connect() as c:
        c.execute("select set_config('client_encoding', %s, false)", ['utf-8'])
        say(c.info.encoding)
    for conninfo in ('sslmode=require', 'options=-cno_such_setting=1'):
        error = failure(lambda: connect(conninfo, options=None))
        say(error[0])
    for version in ('3.0', '3.2', 'latest'):
        with connect(f'max_protocol_version={version}') as c:
            threading.Timer(0.1, c.cancel_safe).start()
            say(version, failure(lambda: c.execute('select pg_sleep(60)')))


@habit
def errors(say):
    texts = [
        ("insert into items values (1, 'x', 1)",), ("insert into items values (1000, 'n2', 1)",),
        ("insert into items values (1001, 'y', -1)",), ("select 'ü', nowhere from items",), ('select * from nowhere',),
        ('select %s::text::int', ['x']), ("select 'sick'::mood",), ("do $$ begin execute 'select 1 / 0'; end $$",),
        ("do $$ begin raise exception using errcode = 'ZZ123', message = 'own', schema = 's', constraint = 'c'; end $$",),
    ]
    with connect() as c:
        for text in texts:
            say(failure(lambda: c.execute(*text)))
        _, fields = failure(lambda: c.execute("select 'ü' fro items x y"))
        say(fields['sqlstate'], fields['message_primary'], fields['statement_position'])


@habit
def empty(say):
    with connect() as c:
        for text in ('', ' ', ';', '-- nothing'):
            say(pq.ExecStatus(c.execute(text).pgresult.status).name)
            say(pq.ExecStatus(c.pgconn.exec_params(text.encode(), []).status).name)


@habit
def changing_settings(say):
    with connect() as c:
        c.execute("set TimeZone = 'Asia/Tokyo'; set DateStyle = 'German'; select 1; set application_name = 'ü'")
        say([c.info.parameter_status(name) for name in ('TimeZone', 'DateStyle', 'application_name')])
        c.execute('reset DateStyle')
        say(rows(c, "select '2026-01-01 00:00:00+00'::timestamptz"))
        with c.transaction(force_rollback=True):
            c.execute("set local TimeZone = 'Europe/Berlin'")
            say(c.info.parameter_status('TimeZone'))
        say(c.info.parameter_status('TimeZone'))


@habit
def discard(say):
    with connect() as c:
        c.execute('create temp table passing (a int)')
        rows(c, 'select %s::int', [1], prepare=True)
        rows(c, 'select pg_advisory_lock(1)')
        c.execute('discard all')
        say(rows(c, 'select count(*) from pg_prepared_statements'), failure(lambda: c.execute('select * from passing')))
        say(rows(c, "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()"))


@habit
def locks(say):
    with connect() as c, connect() as other:
        c.execute('select pg_advisory_lock(42)')
        say(rows(other, 'select pg_try_advisory_lock(42)'))
        other.execute("set lock_timeout = '100ms'")
        say(failure(lambda: other.execute('select pg_advisory_lock(42)')))
        c.execute('select pg_advisory_unlock(42)')
        say(rows(other, 'select pg_try_advisory_lock(42)'))


@habit
def two_phases(say):
    with psycopg.connect(options='-c search_path=habits') as c:
        xid = c.xid(1, 'habits', 'psycopg')
        c.tpc_begin(xid)
        c.execute('update items set amount = 7 where id = 1')
        c.tpc_prepare()
        with connect() as other:
            say([str(each) for each in other.tpc_recover()])
        c.tpc_commit()
        say(rows(c, 'select amount from items where id = 1'))


for name, live in HABITS.items():
    if len(sys.argv) > 1 and name not in sys.argv[1:]:
        continue
    saw, failed = [], None
    try:
        live(lambda *what: saw.append(what))
    except BaseException:
        failed = traceback.format_exc()
    print(json.dumps({'habit': name, 'saw': saw, **({'failed': failed} if failed else {})}, default=plain), flush=True)
