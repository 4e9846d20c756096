// What masked columns may decide: comparisons with given values, and what a primary key beside them decides anyway.
import type { MaskObligation } from '@gate/shared/model'
import t from 'tap'
import { analyser, both, computed, said, used } from '../../../support/lineage.ts'

t.teardown(() => analyser[Symbol.asyncDispose]())

both(
  t,
  'conditions may compare a masked column with given values, and nothing else',
  [
    "select id from customers where email = 'a' and (id > 3 or $1 = email)",
    "select id from customers where email in ('a', 'b') or email <> $1 or email = any($2)",
    "select id from customers where lower(email) = lower('A') and email is not null",
    "select id from customers where email::text = 'a' and not (email is distinct from $1)",
    'select c.id from customers c join users u on u.email = c.email',
    'select id from customers where email in (select email from users)',
    "select id from customers where id in (select id from customers where email = 'a')",
    "select case when email = 'a' then id end from customers",
    "select count(*) filter (where email = 'a') from customers",
    'select name, count(*) from customers group by name having count(*) > 1 order by 2, name',
    'select id from customers where exists (select 1 from notes n where n.id = customers.id)',
    "select case email when 'a' then 1 when $1 then 2 end from customers",
    "select id from customers where (id, email) = (1, 'a') or (id, email) in ((1, 'a'), (2, 'b'))",
    "select id, count(*) from customers group by id, email is null order by email = 'a'",
    "select id from customers where (email = 'a') is not false",
    "select id from customers where (select email from users where id = 1) = 'a'",
    'select id from customers where (select email from users where id = 1)::text = email',
    'select c.id from customers c join users u on lower(u.email) = lower(c.email) and lower(c.email) = u.email',
    "select id from stays where lower(span::text) = '[1,2)' or span = '[1,2)' or lower(rooms) = 'a'",
    "select id from stays where rooms = '{a}'",
    'select id from stays where price = 1.5 or price in (1, 2)',
  ],
  {
    "select id from customers where email like 'a%'": used('WHERE'),
    'select id, email = string_to_table($1, $2) from customers': computed,
    'select id, email = (rank() over ())::text from customers': computed,
    'select id, email = upper((rank() over ())::text) from customers': computed,
    'select id from customers where email = random()::text': used('WHERE'),
    "select id from customers where email in ('a', set_config('a.b', 'c', true))": used('WHERE'),
    'select id from customers group by id having email = count(*)::text': used('HAVING'),
    "select id from customers group by id having email = string_agg('a', '')": used('HAVING'),
    'select case email when random()::text then 1 end from customers': used('CASE'),
    'select 1 where length((select email from customers where id = 7)) = 12': used('WHERE'),
    "select 1 where substr((select email from customers where id = 7), 1, 1) in ('a', 'b')": used('WHERE'),
    'select length((select email from customers where id = 7)) = 12': computed,
    "select ((select email from customers where id = 7) < 'm') = true": computed,
    "select (array(select email from customers order by id))[1] = 'a'": computed,
    "select case substr((select email from customers where id = 7), 1, 1) when 'a' then 1 end": used('CASE'),
    'select id from notes n order by length((select email from customers c where c.id = n.id)) = 12': used('ORDER BY'),
    'select id from customers where email = lower(email)': used('WHERE'),
    'select id from customers where upper(email) <> lower(email::text)': used('WHERE'),
    'select a.id from customers a join customers b on a.id = b.id and a.email = upper(b.email)': used('ON'),
    'select id from stays where lower(span) = 1': used('WHERE'),
    // With extra_float_digits = -14 that is one digit.
    "select id from stays where price::text = '1e+02'": used('WHERE'),
    "select id from stays where lower(price::varchar) = '1e+02'": used('WHERE'),
    "select id from (select id, price::text as p from stays) s where p = '1e+02'": used('WHERE'),
    "select id from stays where 'a' = any(rooms)": used('WHERE'),
    "select id from stays where plot = '(1,1),(0,0)'": used('WHERE'),
    "select id from notes where (select plot from stays where id = 'a') = '(1,1),(0,0)'": used('WHERE'),
    "select (select plot from stays where id = 'a') = '(1,1),(0,0)'": /stays\.plot is masked for you, and/,
    "select id from notes where '(1,1),(0,0)' in (select plot from stays)": used('WHERE'),
    'select a.id from stays a join stays b using (plot)': used('JOIN … USING'),
    "select id, 'a' <> all(rooms) from stays": /stays\.rooms is masked for you, and/,
    'select num_nulls(variadic rooms) from stays': /stays\.rooms is masked for you, and/,
    'select count(id order by 1 / (length(email) - 12)) from customers': used('ORDER BY'),
    "select count(id order by case when email like 'a%' then 1 / 0 end) from customers": used('CASE'),
    "select id from customers where email > 'a'": used('WHERE'),
    "select id from customers where email ~ '^a'": used('WHERE'),
    "select id from customers where email between 'a' and 'b'": used('WHERE'),
    "select id from customers where substr(email, 1, 1) = 'a'": used('WHERE'),
    "select id from customers where email::varchar(1) = 'a'": used('WHERE'),
    'select id from customers where length(email) = 3': used('WHERE'),
    'select id from customers where email = name': used('WHERE'),
    'select g from customers join generate_series(1, 9) g on g::text = email': used('ON'),
    'select v.x from customers c join (values (1)) v(x) on v.x::text = c.email': used('ON'),
    "select id from (select id, substr(email, 1, 1) s from customers) x where s = 'u'": computed,
    "select id from customers where (select substr(email, 1, 1)) = 'a'": computed,
    "select 1 where exists (select 1 from customers where email like 'a%')": used('WHERE'),
    'select id from customers where email in (select note from notes)': used('WHERE'),
    'select id from customers order by email': used('ORDER BY'),
    'select id, email from customers order by 2': used('ORDER BY'),
    'select id, email as e from customers order by e': used('ORDER BY'),
    'select id from customers order by length(email)': used('ORDER BY'),
    'select count(*) from customers group by email': used('GROUP BY'),
    'select count(*) from customers group by grouping sets ((id), (email))': used('GROUP BY'),
    'select distinct email from customers': used('DISTINCT'),
    'select distinct on (email) id from customers': used('DISTINCT'),
    "select id from customers group by id having max(email) like 'a%'": used('HAVING'),
    'select id from customers limit (select length(email) from customers limit 1)': computed,
    'select id from customers limit (select email::text from customers limit 1)': used('LIMIT'),
    'select id from notes tablesample bernoulli ((select email::text from customers limit 1))': used('TABLESAMPLE'),
    'select id from notes tablesample bernoulli (9) repeatable ((select length(email) from customers limit 1))':
      computed,
    'select rank() over (order by email) from customers': used('OVER'),
    'select rank() over w from customers window w as (partition by email)': used('OVER'),
    'select string_agg(name, $1 order by email) from customers': used('ORDER BY'),
    "select count(*) filter (where email like 'a%') from customers": used('FILTER'),
    "select case when email like 'a%' then 1 end from customers": used('CASE'),
    'select case email when name then 1 end from customers': used('CASE'),
    'select case lower(email) when substr(email, 1, 1) then 1 end from customers': used('CASE'),
    [`select case email ${Array.from({ length: 21 }, (_, n) => `when '${n}' then ${n}`).join(' ')} end from customers`]:
      /at most 20 comparisons/,
    [`select ${Array.from({ length: 21 }, (_, n) => `email = '${n}'`).join()} from customers`]:
      /at most 20 comparisons/,
    [`select id from customers where email = any(array[${Array.from({ length: 101 }, (_, n) => `'${n}'`).join()}])`]:
      used('WHERE'),
    "select id from customers where (id, substr(email, 1, 1)) = (1, 'a')": used('WHERE'),
    "select id from customers where (id, email) < (1, 'a')": used('WHERE'),
    [`select case ${Array.from({ length: 21 }, (_, n) => `when email = '${n}' then ${n}`).join(' ')} end from customers`]:
      /at most 20 comparisons/,
    [`select id from customers where email in (${Array.from({ length: 101 }, (_, n) => `'${n}'`).join()})`]:
      used('WHERE'),
  },
)

both(
  t,
  'beside the primary key of its table a masked column decides nothing more',
  [
    'select c.id, c.email, count(*) from customers c join notes n on n.customer_id = c.id group by c.id, c.email',
    'select name, email, id from customers group by name, email, id order by id, email',
    'select id, email, count(*) from customers group by 1, 2',
    'select x.id, x.email, count(*) from (select id, email from customers) x, notes n group by x.id, x.email order by x.id',
    'select x.email, x.id from (select id, email from customers) x group by x.email, x.id order by id',
    'select distinct c.id, c.email from customers c join notes n on n.customer_id = c.id order by c.id',
    'select distinct name, email, id from customers order by name, id, email',
    'select distinct a.id, a.email, b.id, b.email from customers a, users b order by 1, 3',
    'select distinct on (id, email) id, email, name from customers order by id, email, name',
    'select a.id, b.id, a.email, b.email from customers a, customers b group by a.id, b.id, a.email, b.email',
    'select j.cid, j.mail from (customers c join notes n on n.customer_id = c.id) as j(cid, n, mail) group by 1, 2',
    'select v.id, v.mail, count(*) from plain_view v group by v.id, v.mail order by 1',
  ],
  {
    'select n.id, c.email from customers c, notes n group by n.id, c.email': used('GROUP BY'),
    'select a.id, b.email from customers a, customers b group by a.id, b.email': used('GROUP BY'),
    'with w as (select id, email from customers) select a.id, b.email from w a, w b group by a.id, b.email':
      used('GROUP BY'),
    'select a.id, b.mail from plain_view a, plain_view b group by a.id, b.mail': used('GROUP BY'),
    'select email, id from customers group by rollup (email, id)': used('GROUP BY'),
    'select email, id from customers group by grouping sets ((id), (id, email))': used('GROUP BY'),
    'select id, email from parent group by id, email': /cannot be used in GROUP BY/,
    'select id, secret from twice group by id, secret': /cannot be used in GROUP BY/,
    'select email, id from customers order by email, id': used('ORDER BY'),
    'select distinct id, email from customers': used('DISTINCT'),
    'select distinct id, email from customers order by id + 0': used('DISTINCT'),
    'select distinct a.id, a.email, b.email from customers a, users b order by a.id': used('DISTINCT'),
    'select distinct c.id, c.email, n.note from customers c, notes n order by c.id': used('DISTINCT'),
    'select v.id, v.mail, count(*) from plain_view v group by v.id, v.mail': used('GROUP BY'),
    'select x.id, x.email from (select id, email from customers) x group by x.id, x.email order by count(*)':
      used('GROUP BY'),
    'select x.id, x.email from (select id, email from customers) x group by x.email, x.id': used('GROUP BY'),
    'select id + 1, email from customers group by id + 1, email': used('GROUP BY'),
    'select id::text, email from customers group by id::text, email': used('GROUP BY'),
    'select id, email from customers union select id, email from customers': used('a comparison of whole rows'),
    'select id as email, email as id from customers group by id, email': used('GROUP BY'),
    'select u.id, u.e from (select id, email e from customers union all select id, email from users) u group by 1, 2':
      used('GROUP BY'),
  },
)

t.test('policy chooses what masked columns may decide', async t => {
  const cases: readonly (readonly [string, readonly MaskObligation['predicates'][]])[] = [
    ['select id from customers', ['allow', 'equality', 'deny']],
    ['select email from customers', ['allow', 'equality', 'deny']],
    ["select id from customers where email = 'a'", ['allow', 'equality']],
    ['select id from customers where email is null', ['allow', 'equality']],
    ['select count(email) from customers', ['allow', 'equality']],
    ['select id from customers order by email', ['allow']],
    ["select id from customers where email like 'a%'", ['allow']],
    ['select upper(email) from customers', []],
    ['select mode() within group (order by email) from customers', []],
    ['select email is not null from customers', ['allow', 'equality']],
    ["select email = 'a' from customers", ['allow', 'equality']],
    ['select 1 from customers where (email is not null) is true', ['allow', 'equality']],
    ['select id from customers, unnest(array[email])', ['allow']],
  ]
  for (const [sql, may] of cases) {
    for (const predicates of ['allow', 'equality', 'deny'] as const) {
      t.equal(
        (await said(sql, { predicates })).refusal === undefined,
        may.includes(predicates),
        `${predicates}: ${sql}`,
      )
    }
  }
})
