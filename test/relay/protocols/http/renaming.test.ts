// Ways in which services let a client have a field under another name, or its values under none.
import t, { type Test } from 'tap'
import { type Requested, refusalOf } from '../../../support/http-refusals.ts'

const patterns = ['**.vin', 'data.users.email']
const json = (body: unknown, target = '/cars', type = 'application/json'): Requested => ({
  ...{ method: 'POST', target, type },
  body: typeof body === 'string' ? body : JSON.stringify(body),
})
const query = (written: string): Requested => ({ method: 'GET', target: `/cars?${written}` })

/** In UTF-16 or UTF-32, of the one byte order or the other. */
function wide(text: string, bytes: 2 | 4, isBigEndian: boolean, mark: string): Buffer {
  const codes = [...`${mark}${text}`].map(sign => sign.codePointAt(0) ?? 0)
  return Buffer.concat(
    codes.map(code => {
      const unit = Buffer.alloc(bytes)
      if (isBigEndian) unit.writeUIntBE(code, 0, bytes)
      else unit.writeUIntLE(code, 0, bytes)
      return unit
    }),
  )
}

const parts = (head: string, content: string, type = 'multipart/form-data; boundary=b'): Requested => ({
  ...{ method: 'POST', target: '/cars', type },
  body: `--b\r\n${head}\r\n\r\n${content}\r\n--b--\r\n`,
})

const named = ({ target, body }: Requested): string => `${target} ${String(body ?? '')}`.slice(0, 1_000)

function refused(t: Test, requests: readonly Requested[], masked = patterns): void {
  for (const each of requests) t.match(refusalOf(each, masked), /fields are masked for you/, named(each))
}
function passes(t: Test, requests: readonly Requested[], masked = patterns): void {
  for (const each of requests) t.equal(refusalOf(each, masked), undefined, named(each))
}

t.test('pairs of names in a document', async t => {
  refused(t, [
    json({ select: { v: 'vin' } }),
    json({ query: { projection: { v: 'car.vin' } } }),
    json({ select: [{ v: 'vin' }] }),
    json({ select: [['vin', 'v']] }),
    json({ attributes: { include: [['vin', 'v']] } }),
    json({ from: 'cars', columns: { v: 'vin' } }),
    json({ select: [{ field: 'vin', alias: 'v' }] }),
    json({ columns: [{ name: 'vin', as: 'v' }] }),
    json({ dimensions: [{ type: 'default', dimension: 'vin', outputName: 'v' }] }),
    json({ aggregations: [{ alias: 'v', max: { field: { fieldPath: 'vin' } } }] }),
    json({ payload: JSON.stringify({ select: { v: 'vin' } }) }),
    json({ select: { v: { field: 'vin' } } }),
    json({ attributes: [[{ fn: 'max', args: ['vin'] }, 'v']] }),
    // UTF-16, as Jackson finds out.
    json([...JSON.stringify({ select: { v: 'vin' } })].join('\0')),
    ...['columns=n,vin v', 'fields=c.vin v', 'fields=rename(vin,v)'].map(query),
    json('{"n":1}\n{"select":{"v":"vin"}}\n', '/cars', 'application/x-ndjson'),
    json({ select: { u: 'data' } }),
    query('outStatistics=[{"onStatisticField":"vin","outStatisticFieldName":"v"}]'),
    ...['select[v]=vin', 'query[select][v]=vin', 'projection[v]=$vin', 'attributes[0][0]=vin&attributes[0][1]=v'].map(
      query,
    ),
    // Read by Solr, and by nobody strict.
    json("{fields:'v:vin'}"),
    json('{/**/"fields":"v:vin"}'),
  ])
  passes(t, [
    json({ select: { vin: true, n: 'm' } }),
    json({ select: ['vin', 'n'], where: { vin: 'x' } }),
    json({ select: { vin: 'Vin' } }),
    json({ select: { columns: ['vin'], order_by: { column: 'vin' } } }),
    query('columns=vin desc,n'),
    json({ fields: { summary: 'vin', project: { key: 'vin' } } }),
    json({ columns: [{ field: 'vin', label: 'VIN' }], filters: [{ field: 'vin', op: 'eq', value: 'x' }] }),
    json({ alias: 'ann', type: 'vin', value: 'vin' }),
    json({ fields: '[{"name":"vin","type":"string"}]' }),
    ...['select[vin]=true', 'select[cars][vin]=true', 'select[0]=vin', 'fields[cars]=vin,n'].map(query),
  ])
})

t.test('values that are counted, grouped or sorted by', async t => {
  refused(t, [
    json({ aggs: { v: { terms: { field: 'vin' } } } }),
    json({ aggregations: { v: { composite: { sources: [{ a: { terms: { field: 'car.vin.keyword' } } }] } } } }),
    json({ suggest: { s: { prefix: 'W', completion: { field: 'vin' } } } }),
    json({ facet: { v: { type: 'terms', field: 'vin' } } }),
    json({ facet: { v: 'max(vin)' } }),
    json({ searches: [{ facet_by: 'n,vin' }] }),
    json({ distinct: 'cars', key: 'vin' }),
    json('{}\n{"aggs":{"v":{"terms":{"field":"vin"}}}}\n', '/_msearch', 'application/x-ndjson'),
    ...['facet.field=vin', 'facet_by=vin', 'group_by=vin', 'distinct=vin', 'json.facet={v:{type:terms,field:vin}}'].map(
      query,
    ),
    ...['stats.field={!key=v}vin', 'q={!func}vin&fl=score', 'source={"aggs":{"v":{"terms":{"field":"vin"}}}}'].map(
      query,
    ),
    json({ sort: ['vin'] }, '/cars/_search'),
    json({ sort: [{ 'vin.keyword': { order: 'asc' } }] }, '/cars/_search'),
    json('{}\n{"sort":{"vin":"asc"}}\n', '/_msearch', 'application/x-ndjson'),
    { method: 'GET', target: '/cars/_search?sort=n,vin:asc' },
    json({ field: 'vin', string: 'W' }, '/cars/_terms_enum'),
    json({ vertices: [{ field: 'n' }, { field: 'vin' }] }, '/cars/_graph/explore'),
    json({ query: 'sequence by vin [any where true]' }, '/cars/_eql/search'),
    json({ source: '{"sort":["{{f}}"]}', params: { f: 'vin' } }, '/cars/_search/template'),
    json({ params: { body: { sort: [{ vin: 'asc' }] } } }, '/internal/search/ese'),
    json({ key: 'vin' }, '/collections/cars/facet'),
    json('aggs: { v: { terms: { field: vin } } }', '/cars/_search', 'application/yaml'),
    json('\ud83d\udca9aggs', '/cars/_search', 'application/cbor'),
    { method: 'GET', target: '/cars/_search?source_content_type=application/yaml&source=aggs:' },
    json({ facetQuery: 'W' }, '/1/indexes/cars/facets/vin/query'),
    json({ facetName: 'vin' }, '/indexes/cars/facet-search'),
    json({ type: 'bulk', args: [{ type: 'run_sql', args: { sql: 'select n from c' } }] }, '/v2/query'),
    json({ views: { v: { map: 'function (doc) { emit(doc.vin) }' } } }, '/cars/_design/v'),
    json({ query: 'SELECT vin FROM cars' }, '/_sql'),
    json({ query: 'SELECT * FROM cars' }, '/_sql'),
    json({ query: 'FROM cars | LIMIT 5' }, '/_query'),
  ])
  passes(t, [
    json({
      aggs: { days: { date_histogram: { field: '@timestamp' } } },
      query: { term: { vin: 'x' } },
      _source: ['vin'],
    }),
    json({ aggs: { v: { filter: { term: { vin: 'x' } } } } }),
    json({ sort: ['vin'] }, '/cars/search'),
    json({ query: 'any where vin == "x"' }, '/cars/_eql/search'),
    json('{"index":"cars"}\n{"query":{"match":{"vin":"x"}}}\n', '/_msearch', 'application/x-ndjson'),
    json({ query: {} }, '/cars/_search', 'application/vnd.elasticsearch+json; compatible-with=8'),
    {
      method: 'GET',
      target: '/cars/_search?source_content_type=application/json&source={"query":{"match":{"vin":"x"}}}',
    },
    json({ id: 'by-vin', params: { vin: 'x' } }, '/cars/_search/template'),
    json({ map: 'vin', key: 'vin' }, '/facets'),
    // What is around a field has no values of its own.
    json({ facets: ['data'], aggs: { v: { terms: { field: 'users' } } } }),
    query('facet.field=users&group_by=data'),
    json({ sort: ['n', { _score: 'desc' }], fields: ['vin'] }, '/cars/_search'),
    json({ query: 'SELECT n FROM cars' }, '/_sql'),
    json({ query: 'FROM cars | KEEP n' }, '/_query'),
    json({ facets: ['city'], group: 'vin' }),
    ...['sort=vin:desc', 'group_by=day', 'facet.field=state&fl=vin', 'group=vin'].map(query),
  ])
})

t.test('rows without the names of their fields', async t => {
  refused(t, [
    json({ fields: ['vin'], returnFieldsByFieldId: true }),
    json({ resource_id: 'a', records_format: 'lists' }),
    json({ queryType: 'scan', resultFormat: 'compactedList' }),
    json('records_format=lists&limit=5', '/cars', 'application/x-www-form-urlencoded'),
    json('select vin from c format JSONCompact', '/', 'text/plain'),
    ...[
      'returnFieldsByFieldId=true',
      '_shape=arrays',
      'json.nl=flat',
      'query=select vin from c FORMAT JSONCompact',
    ].map(query),
  ])
  passes(t, [
    json({ returnFieldsByFieldId: false, resultFormat: 'object' }),
    ...[
      'records_format=objects',
      '_shape=objects',
      'json.nl=map',
      'query=select vin from c format JSON',
      'shape=arrays',
    ].map(query),
  ])
})

t.test('scripts and mappings that give a field another name', async t => {
  refused(t, [
    json({ script_fields: { v: { script: "doc['vin'].value" } } }),
    json({ script_fields: { v: { script: { source: 'params._source' } } } }),
    json({ runtime_mappings: { v: { type: 'keyword', script: { source: "emit(doc['vin'].value)" } } } }),
    json({ script: { source: "ctx._source.v = ctx._source.remove('vin')" } }),
    json({ script: { source: 'ctx._source.v = ctx._source[params.f]', params: { f: 'vin' } } }),
    json({ properties: { v: { type: 'alias', path: 'vin' } } }),
    json({ properties: { vin: { type: 'keyword', copy_to: 'v' } } }),
    json({ processors: [{ set: { field: 'v', copy_from: 'vin' } }] }),
    json({ processors: [{ rename: { field: 'vin', target_field: 'v' } }] }),
    json({ virtualColumns: [{ type: 'expression', name: 'v', expression: 'vin' }] }),
    json({ v: { $objectToArray: '$$ROOT' } }),
    json({ v: { $function: { body: 'd => d.vin', args: ['$$ROOT'], lang: 'js' } } }),
    json({ v: { $getField: { $concat: ['vi', 'n'] } } }),
    json({ v: { $getField: { field: { $literal: 'vin' }, input: '$$ROOT' } } }),
    json({ docs: { $push: '$$ROOT' } }),
    json('{"n":1}\n{"$project":{"v":"$vin"}}\n', '/cars', 'application/x-ndjson'),
  ])
  passes(t, [json({ docs: { $push: '$$ROOT' } })], ['**.vin'])
  passes(t, [
    json({ script_fields: {}, runtime_mappings: {} }),
    json({ script: { source: 'ctx._source.counter += params.count', params: { count: 4 } } }),
    json({ script: 'echo vin' }),
    json({ properties: { vin: { type: 'keyword' } }, v: { $getField: 'n' } }),
  ])
})

t.test('languages of queries', async t => {
  const statements = [
    ...[
      'select vin v from c',
      ...["select '' || vin from c", 'select n + vin from c', 'select not vin from c', 'select binary vin from c'],
      'select n, vin as v from c',
      'select max(vin) from c',
      'select concat(n, vin, n) from c',
    ],
    ...[
      'select(vin)v from c',
      'select"vin"v from c',
      'select extract(year from vin) y from c',
      'select vin collate "C" v from c',
    ],
    ...[
      'select n from c union select vin from c',
      "select 'from y where', vin v from c",
      'select n from unnest(vin) n',
    ],
    ...[
      "select '\\'', vin v, '' from c",
      'select "a\'", vin v, "\'" from c',
      '/**/select/**/vin v from c',
      '-- x\nselect vin v from c',
    ],
    ...['with t(v) as (select vin from c) select v from t', 'explain select vin v from c', 'FROM c SELECT vin AS v'],
    ...['MATCH (c) RETURN c.vin AS v', 'FROM cars | EVAL v = vin', 'from(bucket:"b") |> rename(columns: {vin: "v"})'],
    ...[
      'label_replace(x,"v","$1","vin","(.*)")',
      '{a="b"} | label_format v=vin',
      'search index=x | rename vin as v',
      'nodes(c, walk="a->vin", gather="vin")',
    ],
  ]
  refused(
    t,
    statements.map(sql => json({ sql })),
  )
  refused(
    t,
    statements.map(statement => query(`q=${encodeURIComponent(statement)}`)),
  )
  refused(
    t,
    statements.map(statement => json(statement, '/sql', 'text/plain')),
  )
  refused(
    t,
    ['$query=select vin as v', 'jq=.vin', 'jmespath=[].{v: vin}', 'expr=select(search(c),vin as v)'].map(query),
  )
  passes(
    t,
    [
      ...['select vin, n from c where lower(vin) = 1 order by vin', 'select c.vin from c join d using (vin)'],
      ...[
        'select distinct "vin" from c limit 5',
        'select n as vin_count from c',
        'select n as vin from c',
        'select your vin from the list',
        'sum(rate(x{vin="a"}[5m]))',
      ],
      ...[
        'select vin from the list',
        'select a vin number from the list',
        'with vin from ann',
        'vin | phone',
        'match vin',
      ],
    ].map(text => query(`q=${encodeURIComponent(text)}`)),
  )
  passes(t, [
    json({ note: 'select vin as v from c' }),
    json('# Cars\n| vin | n |\n|---|---|\n', '/notes', 'text/markdown'),
  ])
})

t.test('texts that only look like GraphQL, and files', async t => {
  refused(
    t,
    ['{ v: vin', 'query Q { v: vin ]', '# c\n{v:#x\nvin', '{ a(x:"#") v: vin ]', '"d" query { v: vin ]'].map(each =>
      json({ query: each }),
    ),
  )
  passes(
    t,
    ['{{name}}: your car', '{name}: hello', 'query the list: {x}', 'fragment: {a: b}', '{0}: {1}', '# h\n{x}: y'].map(
      each => json({ subject: each }),
    ),
  )
  const file = 'export default { query: vin, op: "copy", path: "x", from: "vin" }'
  passes(t, [{ method: 'PUT', target: '/files/a.js', type: 'text/javascript', body: file }])
  passes(t, [{ method: 'PATCH', target: '/files/a.js', type: 'application/offset+octet-stream', body: file }])
  refused(t, [{ method: 'PATCH', target: '/files/a.js', type: 'text/plain', body: file }])
  refused(t, [{ method: 'PUT', target: '/files/a.js', type: 'application/json', body: file }])
  refused(t, [{ method: 'POST', target: '/files/a.js', type: 'text/plain', body: file }])
})

t.test('requests in the body of another, and parameters of a path', async t => {
  const parts = (line: string): Requested =>
    json(
      `--b\r\nContent-Type: application/http\r\n\r\n${line}\r\n\r\n--b--`,
      '/odata/$batch',
      'multipart/mixed; boundary=b',
    )
  const one = (method: string, url: string): unknown => ({ requests: [{ id: '1', method, url }] })
  const renaming = [
    json(one('GET', '/cars?$compute=vin as v'), '/$batch'),
    json({ batch: JSON.stringify([{ method: 'GET', relative_url: 'me?select=v:vin' }]) }, '/'),
    json(
      `batch=${encodeURIComponent('[{"method":"GET","relative_url":"me?select=v:vin"}]')}`,
      '/',
      'application/x-www-form-urlencoded',
    ),
    parts('GET /odata/cars?$compute=vin%20as%20v HTTP/1.1'),
    { method: 'GET', target: '/cars;select=v:vin/7' },
  ]
  refused(t, renaming)
  passes(t, [json(one('GET', '/cars?$select=vin'), '/$batch'), parts('GET /odata/cars?$select=vin HTTP/1.1')])
  const about = (request: Requested): string | undefined => refusalOf(request, ['**.vin'], ['/cars/{id}'])
  for (const request of [
    json(one('GET', '/cars/7'), '/$batch'),
    json(one('GET', 'cars/7?x=1'), '/api/$batch'),
    json(one('get', 'https://service.example/base/Cars(7)'), '/api/$batch'),
    json({ compositeRequest: [{ method: 'GET', url: '/cars/7', referenceId: 'a' }] }, '/composite'),
    parts('GET cars(7) HTTP/1.1'),
  ])
    t.match(about(request), /its body has requests/, String(request.body ?? ''))
  for (const request of [
    json(one('GET', '/vans/7'), '/$batch'),
    json({ method: 'card', url: '/cars/7' }, '/payments'),
    json({ note: 'GET /cars/7 HTTP/1.1' }, '/notes'),
    json(one('GET', '/cars/8'), '/cars/7'),
  ])
    t.equal(about(request), undefined, String(request.body ?? ''))
})

t.test('documents in other charsets, by whatever method and type', t => {
  const asked = [
    { select: { v: 'vin' }, '∠': '∠•' },
    [{ select: { v: 'vin' } }],
    { a: '{ cars { v: vin } }' },
    [{ op: 'copy', from: '/vin', path: '/v' }],
  ]
  for (const method of ['POST', 'PUT', 'PATCH'])
    for (const type of [
      ...['text/plain', 'application/json', 'image/png'],
      // By POST these could hold another method.
      ...(method === 'POST' ? [] : ['', 'application/json; charset=utf-16']),
    ])
      for (const document of asked)
        for (const [bytes, isBigEndian] of [
          [2, true],
          [2, false],
          [4, true],
          [4, false],
        ] as const)
          for (const mark of ['', '\ufeff'])
            for (const text of [JSON.stringify(document), JSON.stringify(document, null, 2)])
              refused(t, [{ method, target: '/cars', type, body: wide(text, bytes, isBigEndian, mark) }])
  refused(t, [
    { method: 'POST', target: '/cars', type: 'text/plain', body: wide('{ cars { v: vin } }', 2, false, '') },
    {
      ...{ method: 'PUT', target: '/cars', type: 'application/json; charset=utf-16' },
      body: '\ufeff[{"select":{"v":"vin"}}]',
    },
    json('\ufeff{"n":1}\n{"select":{"v":"vin"}}\n', '/cars', 'application/x-ndjson'),
  ])
  t.match(
    refusalOf({ method: 'PUT', target: '/cars', type: '', body: wide('{"a":1,"a":2}', 2, false, '') }, patterns),
    /two members of one name/,
  )
  passes(t, [{ method: 'PUT', target: '/cars', type: 'text/plain', body: wide('{"vin":"∠"}', 2, false, '') }])
  t.end()
})

t.test('what is in parts, as the readers of parts have it', t => {
  const disposition = 'Content-Disposition: form-data; name='
  const document = JSON.stringify({ select: { v: 'vin' } })
  refused(t, [
    parts(`${disposition}"data"`, document),
    parts(`${disposition}"aggs"`, '{"v":{"terms":{"field":"vin"}}}'),
    parts(`${disposition}"x"\r\nContent-Type: application/json`, document),
    ...['related', 'mixed'].map(each =>
      parts('Content-Type: application/json', document, `multipart/${each}; boundary=b`),
    ),
    parts('Content-Type: application/graphql', '{ cars { v: vin } }', 'multipart/related; boundary=b'),
    ...['"se\\lect"', ' "select"', 'select', '"a"; name="select"'].map(name =>
      parts(`${disposition}${name}`, 'vin as v'),
    ),
    parts('Content-Disposition: form-data;\r\n name = "select"', 'vin as v'),
    parts(`${disposition}"select"\r\nContent-Transfer-Encoding: base64`, Buffer.from('vin as v').toString('base64')),
    parts(`${disposition}"select"\r\nContent-Transfer-Encoding: quoted-printable`, 'v=69n as=\r\n v'),
    parts(`${disposition}"query"`, 'select vin /*\n--x\nA: b\n\n*/ as v from cars'),
    parts(`${disposition}"query"`, 'select vin /*\n--x\n*/ as v from cars'),
  ])
  passes(t, [
    parts(`${disposition}"data"`, '{"vin":"x"}'),
    parts(`${disposition}"file"; filename="cars.csv"\r\nContent-Type: text/csv`, 'vin,n\nx,1\n'),
    parts(`${disposition}"file"; filename="select"`, 'vin as v'),
  ])
  t.end()
})

t.test('statements and documents that are sent as forms, as curl does without a type, and several statements', t => {
  const form = 'application/x-www-form-urlencoded'
  const [begin, holders] = [
    ['begin; ', 'set x = 1; ', 'do $$ begin end $$; '],
    ['copy (', 'declare c cursor for ', 'create view x as ', 'create table x as (', 'use db ', 'insert into x '],
  ]
  refused(t, [
    json('select vin as v from cars', '/', form),
    json('{ cars { v: vin } }', '/graphql', form),
    json('{}\n{"aggs":{"v":{"terms":{"field":"vin"}}}}\n', '/_msearch', form),
    json('{}\n{"sort":["vin"]}\n', '/_msearch', form),
    ...begin.map(each => json({ sql: `${each}select vin v from cars` })),
    ...holders.map(each => json({ sql: `${each}select vin v from cars` })),
  ])
  passes(t, [
    json('vin=x&q=select%20the%20vin', '/', form),
    json({ query: 'create a list as soon as you can; select the vin from it' }),
    json({ query: 'insert the vin into the form, then select it' }),
    json({ sql: 'begin; select vin from cars; commit' }),
  ])
  t.end()
})

t.test('a long statement of which each word could begin one is looked through once', t => {
  const words = 'select '.repeat(140_000)
  passes(t, [
    json({ query: words }, '/_sql'),
    json({ query: `insert into x ${words}` }),
    json({ query: `create x as ${words}` }),
  ])
  refused(t, [json({ query: `${words} * from cars` }, '/_sql')])
  t.end()
})

t.test('brackets and quotes that nothing closes are looked for once', t => {
  const open = '['.repeat(1_000_000)
  passes(t, [json({ sql: `select ${open}` }), json({ sql: `select n from ${'a[b '.repeat(200_000)}` })])
  refused(t, [
    json({ sql: `select vin as v, ' from ${open}` }),
    json({ sql: `select [vin] as v, "n" from cars where n = 'a' ${open}` }),
    json({ sql: 'select "vin" as v from cars where n = "' }),
  ])
  passes(t, [json({ sql: `select n, 'vin' as v from cars where [n` })])
  t.end()
})

t.test('of texts that could be GraphQL so many are read', t => {
  const many = (text: string, count: number): Requested => json(Array(count).fill(text))
  passes(t, [
    many('{ n(a: b) }', 1_000),
    many('type {1: b', 1_000),
    many('{name}: hello', 50_000),
    many('{1}: hello', 50_000),
    many('at 10:00 {a} b: c', 50_000),
    many('{ n }', 50_000),
  ])
  refused(t, [
    many('{ n(a: b) }', 1_001),
    many('type {1: b', 1_001),
    json([...Array(999).fill('type {1: b'), '{v: vin}']),
  ])
  t.end()
})

t.test('languages that give values of a field without its name', t => {
  const q = (name: string, text: string, target = '/x'): Requested => json({ [name]: text }, target)
  refused(t, [
    ...['raw', 'value', 'element', 'distinct value'].map(word => q('statement', `select ${word} vin from cars`)),
    q('query', 'SELECT [c.vin] FROM c'),
    json({ query: 'SELECT c[@f] FROM c', parameters: [{ name: '@f', value: 'vin' }] }),
    query('query=select {f:Identifier} as v from cars&param_f=vin'),
    q('sql', 'select * from cars as t(a, b)'),
    q('sql', 'from cars |> extend vin as v'),
    q('ksql', 'select vin as v from cars emit changes'),
    q('csl', 'cars | extend v = vin'),
    q('query', 'cars | parse vin with * "a" v'),
    q('statement', 'unwind [1] as x match (c) return c.vin as v'),
    q('statement', 'call { match (c) return c.vin as v } return v'),
    q('statement', 'with 1 as a match (c) with c.vin as v return v'),
    q('query', 'for c in cars return c.vin'),
    q('query', 'let a = (for c in cars return c.vin) return a'),
    q('query', 'for c, e in 1..1 any "a/1" graph "g" return c.vin'),
    q('query', 'for `c` in cars return c.vin'),
    q('query', 'for c in cars return the["vin"]'),
    q('query', 'with c := Car select c { v := .vin }'),
    q('gremlin', "g./**/V().values('vin')"),
    query('query=*[x] {"v": vin}'),
    q('statement', 'select value {a: c.a, v: c.vin} from c'),
    json({ query: 'vin:a*', params: { debug: 'results' } }, '/solr/cars/query'),
    query('query=*[_type=="car"]{"v": vin}'),
    query('query=*[_type=="car"].vin'),
    q('query', 'select Car { v := .vin }'),
    q('gremlin', "g.V().values('vin')"),
    query('fetchXml=<fetch><entity name="car"><attribute name="vin" alias="v"/></entity></fetch>'),
    query('yql=select * from cars where true | all(group(vin) each(output(count())))'),
    query('select=all(group(vin) each(output(count())))'),
    ...['json v="vin"', 'logfmt v="vin"', 'pattern "vin=<v>"', 'unwrap vin'].map(stage =>
      query(`query={app="x"} | ${stage}`),
    ),
    json('from(bucket:"b") |> duplicate(column: "vin", as: "v")', '/', 'application/vnd.flux'),
    json('from(bucket:"b") |> pivot(columnKey:["vin"], valueColumn:"n")', '/', 'application/vnd.flux'),
    q('search', 'search index=x | strcat vin "" v'),
    json({ queries: [{ columns: [{ expressionType: 'SQL', sqlExpression: 'vin', label: 'v' }] }] }),
    json({ processors: [{ set: { field: 'v', value: '{{{vin}}}' } }] }),
    json({ args: { configuration: { column_config: { vin: { custom_name: 'v' } } } } }),
    json({ args: { configuration: { custom_column_names: { vin: 'v' } } } }),
    { method: 'GET', target: '/api/v1/label/vin/values' },
    { method: 'GET', target: '/api/v2/search/tag/vin/values' },
  ])
  passes(t, [
    q('statement', 'select vin from cars'),
    q('statement', 'select value, vin from cars'),
    q('sql', 'select vin from cars where (vin, n) in (values (1, 2))'),
    q('sql', 'select vin from cars c join lateral (values (1)) on true'),
    q('sql', 'select n from generate_series(1, 5) as g(n)'),
    q('query', 'SELECT [n], [vin] FROM [cars]'),
    q('query', 'for each vin in the list, return a note'),
    q('query', 'let us return the vin'),
    query('query=*[_type=="car" && vin match "W*"]{vin, n}'),
    query('query={app="x"} | json | vin="x"'),
    query('q=vin | json'),
    query('fetchXml=<fetch><entity name="car"><attribute name="vin"/><attribute name="n" alias="m"/></entity></fetch>'),
    json({ processors: [{ set: { field: 'vin', value: '{{n}}' } }] }),
    json({ template: 'Your number is {{vin}}' }),
    json({ parameters: [{ name: '@f', value: 'vin' }], text: 'a[@f]' }),
    { method: 'GET', target: '/api/v1/label/app/values' },
  ])
  t.end()
})

t.test('searches that explain which words of a field matched', t => {
  const like = { prefix: { vin: { value: 'w', rewrite: 'scoring_boolean' } } }
  refused(t, [
    json({ query: like, explain: true }, '/cars/_search'),
    json({ query: like, profile: true }, '/cars/_search'),
    json({ query: like }, '/cars/_search?explain=true'),
    json({ query: like }, '/cars/_explain/7'),
    json({ query: like }, '/cars/_validate/query?rewrite=true'),
    { method: 'GET', target: '/solr/cars/select?q=vin:w~&debug=all' },
    { method: 'GET', target: '/solr/cars/select?q=vin:w~&debugQuery=on' },
  ])
  passes(t, [
    json({ query: like }, '/cars/_search'),
    json({ query: like, explain: false }, '/cars/_search'),
    json({ query: { match: { n: 1 } }, explain: true }, '/cars/_search'),
    { method: 'GET', target: '/solr/cars/select?q=n:1&debug=all' },
    { method: 'GET', target: '/solr/cars/select?q=vin:w~' },
    json({ vin: 'x', debug: true }, '/cars'),
  ])
  t.end()
})
