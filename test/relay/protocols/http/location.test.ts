// Request targets: one form for policy and target, and nothing that servers read in different ways.

import { readLocation } from '@gate/relay/protocols/http/location'
import { compileRoutes } from '@gate/relay/protocols/http/routes'
import { GateError } from '@gate/shared/errors'
import fc from 'fast-check'
import t from 'tap'

const path = (target: string): string => readLocation(target).path

t.test('the same path however it is written', async t => {
  const forms: Readonly<Record<string, readonly string[]>> = {
    '/': ['/', '/.', '/..', '/a/..', 'http://localhost', 'HTTP://localhost/', '/%2e', '/%2E%2e/'],
    '/admin': ['/admin', '/./admin', '/x/../admin', '/%61dmin', '/x/%2e%2E/admin', '/../../admin'],
    '/admin/': ['/admin/', '/admin/.', '/admin/x/..'],
    '/a%20b/%C3%A9': ['/a%20b/%c3%a9'],
    '/~a-b_c.d': ['/%7ea%2Db%5fc%2ed'],
    "/a!$&'()*+,=:@": ["/a!$&'()*+,=:@"],
    '/a%5B1%5D%7Cb%5Ec': ['/a[1]|b^c', '/a%5b1%5d%7cb%5ec'],
    '/%7Bid%7D/%3Ca%3E/%22%60': ['/{id}/<a>/"`', '/%7bid%7d/%3ca%3e/%22%60'],
  }
  for (const [expected, written] of Object.entries(forms))
    for (const each of written) t.equal(path(each), expected, each)
})

t.test('what is refused', async t => {
  const refused = [
    ...['', 'admin', '*', '/a\\b', '/a%5cb', '/a%2fb', '/a%2Fb', '/%00', '/a%0d%0ab', '/a;b=1', '/a%3bb'],
    ...[
      '/a%252e',
      '/%25%32%65'.replace('%32%65', '32'),
      '/a#b',
      '/a b',
      '/é',
      '/%c0%ae',
      '/%e0%80%af',
      '/%ff',
      '/a%',
      '/a%2',
      '/a%zz',
    ],
    ...['ftp://localhost/', 'http://user@localhost/', `/${'a'.repeat(40_000)}`],
    ...['/(S(abc))/admin', '/a/(s(x)f(y))in', '/%28S%28x%29%29/admin', '/(A(x))'],
    ...['/a?b c', '/?é', '//', '//a', '/a//b', '/a//', '/a/.//b'],
  ]
  for (const target of refused) t.throws(() => path(target), { code: 'ERR_GATE_PROTOCOL' }, target.slice(0, 40))
  t.throws(() => readLocation(`/?${'a&'.repeat(1_001)}`), { code: 'ERR_GATE_LIMIT' })
})

t.test('rules see what servers take a path for', async t => {
  const plain = (target: string): string => readLocation(target).plain
  t.equal(plain('/u/%40me/%3adelete/%24batch'), '/u/@me/:delete/$batch')
  t.equal(path('/u/%40me/%3adelete'), '/u/%40me/%3Adelete', 'and servers get what was sent')
  t.equal(plain('/a%2Cb%26c%25%20'), '/a,b&c%25%20')
})

t.test('brackets that are no session stay', async t => {
  for (const target of ['/products(1)', '/a(b(c))', '/(group)/a', '/(a)(b)', '/()']) t.equal(path(target), target)
})

t.test('encoded slashes are kept where the policy says so', async t => {
  const kept = (target: string): string => readLocation(target, { keepsEncodedSlashes: true }).path
  t.equal(kept('/@scope%2fname/x%2Fy%2Fz'), '/@scope%2Fname/x%2Fy%2Fz')
  t.equal(kept('/api/queues/%2f/q'), '/api/queues/%2F/q')
  for (const target of ['/a%2f..%2fb', '/a%2F', '/%2fa', '/a%2f%2fb', '/a%2f.', '/a%5cb', '/a%252fb', '/a%2f%2e%2e'])
    t.throws(() => kept(target), { code: 'ERR_GATE_PROTOCOL' }, target)
})

t.test('parameters are counted wherever a service may cut a query, empty ones as well', async t => {
  for (const query of ['&'.repeat(1_000), 'a;'.repeat(1_000), 'a=1&'.repeat(1_000)])
    t.throws(() => readLocation(`/a?${query}`), { code: 'ERR_GATE_LIMIT' }, query.slice(0, 4))
  t.equal(readLocation(`/a?${'a=1&'.repeat(999)}`).parameters.length, 999)
})

t.test('parameters of segments are kept where the policy says so, and rules see the path without them', async t => {
  const kept = (target: string): ReturnType<typeof readLocation> => readLocation(target, { keepsPathParameters: true })
  t.match(kept('/cars;color=red;doors=%34/7;v=a=b+c&d?x=1'), {
    path: '/cars;color=red;doors=4/7;v=a=b+c&d',
    plain: '/cars/7',
    parameters: [
      ['x', '1'],
      ['color', 'red'],
      ['doors', '4'],
      ['v', 'a=b+c&d'],
    ],
  })
  for (const [target, plain] of [
    ['/;jsessionid=1', '/'],
    ['/app/;jsessionid=1', '/app/'],
    ['/a;x/../b;%c3%a9', '/b'],
    ['/a;;b/c;', '/a/c'],
  ] as const)
    t.equal(kept(target).plain, plain, target)
  // What a target would resolve once it has taken them off, or read before it does.
  const dots = ['/a/..;/b', '/a/..;x=1', '/a/%2e%2e;/b', '/a/.;x/b', '/;x/admin', '/a/;/b', '/a/..%3b/b', '/a%3bx=1']
  for (const target of [...dots, '/a;x=..\\b', '/a;x=%00', '/a;x=%252e', '/a;x=%2f..%2fb'])
    t.throws(() => kept(target), { code: 'ERR_GATE_PROTOCOL' }, target)
  const both = { keepsPathParameters: true, keepsEncodedSlashes: true }
  for (const target of ['/a%2F..;x/b', '/a;x=%2F..%2Fb'])
    t.throws(() => readLocation(target, both), { code: 'ERR_GATE_PROTOCOL' }, target)
  t.throws(() => kept(`/a${';b'.repeat(1_001)}`), { code: 'ERR_GATE_LIMIT' })
})

t.test('queries', async t => {
  t.match(readLocation('/a?x=1&y=%20&x=2+3'), {
    path: '/a',
    query: '?x=1&y=%20&x=2+3',
    parameters: [
      ['x', '1'],
      ['y', ' '],
      ['x', '2 3'],
    ],
  })
  t.match(readLocation('/a?q=100%&r=%zz&s=%%341&%=%4&p=C:\\x'), {
    query: '?q=100%25&r=%25zz&s=%25%341&%25=%254&p=C:%5Cx',
    parameters: [
      ['q', '100%'],
      ['r', '%zz'],
      ['s', '%41'],
      ['%', '%4'],
      ['p', 'C:\\x'],
    ],
  })
  t.match(readLocation('http://LocalHost:80?x=/..//'), {
    path: '/',
    query: '?x=/..//',
    authority: 'localhost:80',
  })
})

t.test('reading is settled: what was read is read the same again, and only GateErrors are thrown', async () => {
  const piece = fc.constantFrom(
    '/',
    '.',
    '..',
    '%2e',
    '%2E',
    '%25',
    '%2f',
    'a',
    'A',
    '%41',
    '%c3%a9',
    ';',
    '\\',
    '?',
    '//',
    '#',
    '%',
  )
  fc.assert(
    fc.property(
      fc.array(fc.oneof(piece, fc.string({ maxLength: 3 })), { maxLength: 12 }),
      fc.boolean(),
      (pieces, keeps) => {
        const target = `/${pieces.join('')}`
        const kept = { keepsPathParameters: keeps, keepsEncodedSlashes: keeps }
        let location: ReturnType<typeof readLocation>
        try {
          location = readLocation(target, kept)
        } catch (thrown) {
          return thrown instanceof GateError
        }
        // As a target that undoes encoded slashes and takes parameters off would have them.
        const segments = location.path.split('/').map(each => each.replace(/;.*/, ''))
        const again = readLocation(`${location.path}${location.query}`, kept)
        const asSent = new URLSearchParams(target.slice(target.indexOf('?')))
        const isSame = location.query === '' || `${asSent}` === `${new URLSearchParams(location.query)}`
        // WHATWG's parser, which browsers and node use, sees the same path.
        const known = new URL(`http://h${location.path}`).pathname
        return (
          again.path === location.path &&
          again.plain === location.plain &&
          again.query === location.query &&
          isSame &&
          known === location.path &&
          !segments.some(each => each.split('%2F').some(part => part === '..' || part === '.')) &&
          !segments.slice(1, -1).includes('')
        )
      },
    ),
    { numRuns: 3_000 },
  )
})

t.test('routes: the most exact template', async t => {
  const { routeOf } = compileRoutes([
    ...[
      '/users/{id}',
      '/users/me',
      '/users/{id}/cards/{card}',
      '/{a}/{b}',
      '/files/**',
      '/report.{format}',
      '/{name}',
      '/',
    ],
  ])
  const expected: Readonly<Record<string, string>> = {
    '/users/7': '/users/{id}',
    '/users/me': '/users/me',
    '/users/7/cards/9': '/users/{id}/cards/{card}',
    '/things/7': '/{a}/{b}',
    '/files/a/b/c': '/files/**',
    '/files': '/files/**',
    '/report.pdf': '/report.{format}',
    '/report.': '/{name}',
    '/other': '/{name}',
    '/': '/',
    '/users/7/other': '',
    '/users/': '/{name}',
    '/users/7/': '/users/{id}',
    '/users/me/': '/users/me',
  }
  for (const [path, route] of Object.entries(expected)) t.equal(routeOf(path), route, path)
  t.equal(compileRoutes([]).routeOf('/a'), '')
})

t.test('templates are written as people write them', async t => {
  const { routeOf } = compileRoutes(['/größe/{id}', '/u/@me', '/v/%40you', '/x/{id}:export'])
  for (const [target, route] of [
    ['/gr%c3%b6%C3%9Fe/7', '/größe/{id}'],
    ['/u/@me', '/u/@me'],
    ['/u/%40me', '/u/@me'],
    ['/v/@you', '/v/%40you'],
    ['/x/7%3Aexport', '/x/{id}:export'],
  ] as const)
    t.equal(routeOf(readLocation(target).plain), route, target)
})

t.test('masks hide too much rather than too little', async t => {
  const { routeOf, maskRoutesOf } = compileRoutes(['/customers', '/customers/{id}', '/Reports/{id}', '/report.v2'])
  for (const [target, route] of [
    ['/customers', '/customers'],
    ['/customers/', '/customers'],
    ['/customers.json', '/customers'],
    ['/Customers', '/customers'],
    ['/CUSTOMERS/7', '/customers/{id}'],
    ['/reports/7.xml', '/Reports/{id}'],
    ['/customers.', '/customers'],
    ['/customers%20', '/customers'],
    ['/customers.json_api', '/customers'],
    ['/customers.json-api%20./', '/customers'],
    [`/customers${'.x'.repeat(100)}`, '/customers'],
    [`/customers${'%20'.repeat(100)}/`, '/customers'],
    ['/report.v2.json', '/report.v2'],
    ['/customers./7', '/customers/{id}'],
    ['/customers%20.%20/7', '/customers/{id}'],
    ['/customers(7)', '/customers/{id}'],
    ["/Customers('7')", '/customers/{id}'],
    ["/index.php/customers('7')/", '/customers/{id}'],
    ['/customers()', '/customers'],
    ['/customers().json', '/customers'],
    ['/customers(7).json', '/customers/{id}'],
    ['/customers(7).', '/customers/{id}'],
    ["/customers('a.b')%20", '/customers/{id}'],
    ["/customers('O''Hara (jr)')", '/customers/{id}'],
    ['/customers(name=%27a%27,n=1)', '/customers/{id}'],
    ['/customers./7/', '/customers/{id}'],
    ['/customers%2F7', '/customers/{id}'],
    ['/customers.php/anything', '/customers'],
    ['/Customers.aspx/7/8', '/customers'],
  ] as const)
    t.same(maskRoutesOf(target), [route], target)
  for (const target of ['/other', '/customers(7', '/(7)', '/()', '/cust.omers/7', '/other()'])
    t.same(maskRoutesOf(target), [], target)
  const keys = compileRoutes(['/users({id})', "/groups('{id}')/members"])
  for (const target of ['/users/7', '/users(7)', "/Users('7')"])
    t.same(keys.maskRoutesOf(target), ['/users({id})'], target)
  t.same(keys.maskRoutesOf('/groups/7/members'), ["/groups('{id}')/members"])
  for (const [target, route] of [
    ['/index.php/customers', '/customers'],
    ['/app/Index.PHP/Customers.json', '/customers'],
    ['/cgi-bin/app.fcgi/customers/7', '/customers/{id}'],
  ] as const)
    t.same(maskRoutesOf(target), [route], target)
  t.same(maskRoutesOf('/index.php'), [])
  const script = compileRoutes(['/kunden/größe', '/ΟΔΟΣ/{id}', '/straße'])
  for (const target of ['/kunden/GR%C3%96SSE', '/Kunden/gr%C3%B6%C3%9Fe', '/kunden/gro%CC%88sse'])
    t.same(script.maskRoutesOf(target), ['/kunden/größe'], target)
  t.same(script.maskRoutesOf('/%CE%BF%CE%B4%CE%BF%CF%82/7'), ['/ΟΔΟΣ/{id}'])
  t.same(script.maskRoutesOf('/%CE%BF%CE%B4%CE%BF/7'), [])
  t.equal(routeOf('/Customers'), '', 'rules go by what is written')
  const alike = compileRoutes(['/cars/{id}', '/cars/{vin}/', '/Cars/{car}', '/cars/{id}/log'])
  t.same(alike.maskRoutesOf('/cars/7'), ['/cars/{id}', '/cars/{vin}/', '/Cars/{car}'], 'whatever parameters are called')
  const all = compileRoutes(['/customers', '/customers.list', '/**'])
  t.same(all.maskRoutesOf('/CUSTOMERS'), ['/**', '/customers'], 'also where a template for everything fits')
  t.same(all.maskRoutesOf('/customers.json'), ['/**', '/customers'])
  t.same(all.maskRoutesOf('/customers.list'), ['/customers.list'], 'not where one is meant')
})
