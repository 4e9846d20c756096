// Where an answer may send a client: within the service, to hosts that are named, and nowhere else.

import { rewriteReferences } from '@gate/agent/connectors/http/redirects'
import { GateError } from '@gate/shared/errors'
import t from 'tap'
import { request } from 'undici'
import { gateError, startFront, startService } from '../../support/http-connector.ts'

const place = {
  name: 'billing-api',
  origin: 'https://billing.internal:8443',
  basePath: '/base',
  redirects: ['sso.example.com', 'files.example.com:8443'],
}

/** The rewritten value; the error's message; undefined for one that is left out. */
function rewritten(
  value: string,
  name = 'Location',
  where: Partial<typeof place> = {},
  forwardedHost: string | undefined = undefined,
): string | undefined {
  const asked = { method: 'GET', path: '/base/a/b?c', forwardedHost }
  try {
    return rewriteReferences([name, value], 302, asked, { ...place, ...where })[1]
  } catch (thrown) {
    if (thrown instanceof GateError && thrown.code === 'ERR_GATE_TARGET_PROTOCOL') return thrown.message
    throw thrown
  }
}

t.test('references within the service lose its origin and its base path', async t => {
  for (const [given, expected] of [
    ['https://billing.internal:8443/base/x?y=1#z', '/x?y=1#z'],
    ['https://user:password@billing.internal:8443/base/x', '/x'],
    ['https://billing.internal:8443/base', '/'],
    ['https://BILLING.internal:8443/base/', '/'],
    ['/base/x', '/x'],
    ['//billing.internal:8443/base/x', '/x'],
    ['x', '/a/x'],
    ['../x', '/x'],
    ['?y', '/a/b?y'],
    ['', '/a/b?c'],
    ['/base/caf\u00c3\u00a9', '/caf%C3%A9'],
  ] as const) {
    t.equal(rewritten(given), expected, given)
    t.equal(rewritten(given, 'Content-Location'), expected, given)
  }
  t.equal(rewritten('/x', 'Location', { basePath: '' }), '/x')
})

t.test('links to the service lead to the local port, and others stay', async t => {
  const link = (value: string): string | undefined => rewritten(value, 'Link', {}, 'localhost:1234')
  for (const [given, expected] of [
    [
      '<https://billing.internal:8443/base/x?page=2>; rel="next", <http://localhost:1234/x?page=9>; rel=last',
      '</x?page=2>; rel="next", </x?page=9>; rel=last',
    ],
    ['</base/style.css>; rel=preload; as=style', '</style.css>; rel=preload; as=style'],
    ['<?page=2>; rel="next"', '<?page=2>; rel="next"'],
    ['<https://docs.example/x>; rel=help; title="a <b>"', '<https://docs.example/x>; rel=help; title="a <b>"'],
    ['<https://billing.internal:8443/elsewhere>; rel=x', '<https://billing.internal:8443/elsewhere>; rel=x'],
    ['<javascript:x>, <', '<javascript:x>, <'],
  ] as const)
    t.equal(link(given), expected, given)
})

t.test('no path becomes a host', async t => {
  for (const given of [
    'https://billing.internal:8443/base//evil.example/x',
    '/base//evil.example/x',
    '/base/\\evil.example/x',
    '/base/./\\/evil.example/x',
  ]) {
    const value = rewritten(given) ?? ''
    t.equal(new URL(value, 'http://localhost:1').origin, 'http://localhost:1', `${given} → ${value}`)
    t.match(value, /^\/(?![/\\])/)
  }
})

t.test('other hosts have to be named', async t => {
  t.equal(rewritten('https://sso.example.com/login?x'), 'https://sso.example.com/login?x')
  t.equal(rewritten('https:\\\\sso.example.com\\login'), 'https://sso.example.com/login')
  t.equal(rewritten('https://files.example.com:8443/f'), 'https://files.example.com:8443/f')
  t.equal(rewritten('https://any.example/', 'Location', { redirects: ['*'] }), 'https://any.example/')
  for (const given of [
    'https://evil.example/',
    '//evil.example/',
    '\\\\evil.example/',
    'https://sso.example.com:444/',
    'https://files.example.com/',
    'https://sso.example.com.evil.example/',
    'https://sso.example.com@evil.example/',
    'https://evil.example\\@sso.example.com/',
    'http://billing.internal:8443/base/x',
    'https://billing.internal/base/x',
    ' https://evil.example/',
    '/\t/evil.example/',
  ])
    t.match(rewritten(given), /^the target billing-api redirects to \S+, which is not among its redirects$/, given)
  for (const given of ['javascript:alert(1)', 'data:text/html,x', 'file:///etc/passwd', 'myapp://x'])
    t.match(rewritten(given, 'Location', { redirects: ['*'] }), /an address that begins with/, given)
  for (const given of ['/elsewhere', '/basement/x', '/base/../x', '../../x', '/base/%2e%2e/x'])
    t.match(rewritten(given), /outside of its base path/, given)
  for (const given of ['https://', 'https://[::1', 'http://a b/']) t.match(rewritten(given), /no address/, given)
})

t.test('where the client is already is the service', async t => {
  const at = (value: string, host: string) => rewritten(value, 'Location', {}, host)
  for (const [given, host, expected] of [
    ['http://localhost:1234/base/x?y#z', 'localhost:1234', '/x?y#z'],
    ['https://localhost:1234/base', 'localhost:1234', '/'],
    ['http://localhost:1234/x', 'localhost:1234', '/x'],
    ['http://localhost:1234', 'localhost:1234', '/'],
    ['//LOCALHOST:1234/basement', 'localhost:1234', '/basement'],
    ['http://billing.localhost/x', 'billing.localhost', '/x'],
    ['https://billing.localhost:443/x', 'billing.localhost', '/x'],
    ['http://[::1]:80/x', '[::1]:80', '/x'],
    ['http://localhost:1234//evil.example/', 'localhost:1234', '/.//evil.example/'],
    ['http://localhost:1234/base//evil.example/', 'localhost:1234', '/.//evil.example/'],
  ] as const)
    t.equal(at(given, host), expected, given)
  for (const [given, host] of [
    ['http://localhost:1235/x', 'localhost:1234'],
    ['http://localhost/x', 'localhost:1234'],
    ['http://localhost:1234@evil.example/x', 'localhost:1234'],
    ['http://evil.example/x', 'evil.example/x'],
    ['http://evil.example/x', 'x@evil.example'],
    ['http://evil.example/x', 'localhost, evil.example'],
    ['http://evil.example/x', ''],
  ] as const)
    t.match(at(given, host), /not among its redirects/, `${given} at ${host}`)
  t.match(at('ftp://localhost:1234/', 'localhost:1234'), /begins with ftp:/)

  await using service = await startService((incoming, outgoing) => {
    const { 'x-forwarded-host': host = '', 'x-forwarded-proto': scheme = '' } = incoming.headers
    outgoing.writeHead(302, { location: `${scheme}://${host}/base/login` }).end()
  })
  await using front = await startFront({ url: `${service.url}/base` })
  for (const [host, status, location] of [
    ['localhost:5000', 302, '/login'],
    ['127.0.0.1:5001', 302, '/login'],
  ] as const) {
    const headers = { 'x-forwarded-host': host, 'x-forwarded-proto': 'http' }
    const answer = await request(`${front.url}/x`, { headers })
    t.match({ status: answer.statusCode, location: answer.headers['location'] }, { status, location })
    await answer.body.dump()
  }
})

t.test('Refresh is a redirect too', async t => {
  const refresh = (value: string) => rewritten(value, 'Refresh')
  for (const [given, expected] of [
    ['5', '5'],
    [' 5.5 ', '5'],
    ['5; url=/base/x', '5; url=/x'],
    ['5;URL="https://billing.internal:8443/base/x"', '5; url=/x'],
    ["0, url = '/base/x' ignored", '0; url=/x'],
    ['0 https://sso.example.com/', '0; url=https://sso.example.com/'],
  ] as const)
    t.equal(refresh(given), expected, given)
  for (const given of [
    '0; url=https://evil.example/',
    '0;https://evil.example/',
    '0 url=//evil.example/',
    "0;url='https://evil.example/'",
    '0;url="https://evil.example/',
    'url=https://evil.example/',
  ])
    t.equal(refresh(given), undefined, given)
})

t.test('a Refresh that is made to be read slowly, or that is long, costs nothing', async t => {
  const started = performance.now()
  for (const given of ['1', '1.', '.', ' ', ';', '1 ', '\t1'].map(part => `${part.repeat(60_000 / part.length)}x`)) {
    t.equal(rewritten(given, 'Refresh'), undefined, given.slice(0, 10))
    t.doesNotThrow(() => rewritten(given.slice(-2048), 'Refresh'), given.slice(0, 10))
  }
  t.equal(rewritten(`0; url=/base/${'x'.repeat(2048)}`, 'Refresh'), undefined)
  const took = performance.now() - started
  t.ok(took < 1_000, `${took} ms`)

  await using service = await startService((_incoming, outgoing) => {
    outgoing.setHeader('refresh', `${'1'.repeat(60_000)}x`)
    outgoing.end('ok')
  })
  await using front = await startFront({ url: service.url })
  const sent = performance.now()
  const answer = await request(front.url)
  t.equal(answer.headers['refresh'], undefined)
  t.equal(await answer.body.text(), 'ok')
  t.ok(performance.now() - sent < 1_000)
})

t.test('what leads elsewhere without being a redirect is left out of the answer', async t => {
  await using service = await startService((incoming, outgoing) => {
    const { searchParams } = new URL(incoming.url ?? '', 'http://x')
    const headers = { [searchParams.get('name') ?? '']: searchParams.get('to') ?? '', 'x-other': 'kept' }
    outgoing.writeHead(Number(searchParams.get('status')), headers).end('made')
  })
  await using front = await startFront({ url: service.url })
  const ask = (status: number, name: string, to: string) =>
    request(`${front.url}/x?status=${status}&name=${name}&to=${encodeURIComponent(to)}`)
  for (const [status, name, to, expected] of [
    [201, 'location', 'https://files.example/7', undefined],
    [202, 'location', 'https://files.example/7', undefined],
    [201, 'location', 'urn:uuid:7', undefined],
    [201, 'location', '/7', '/7'],
    [404, 'location', 'https://files.example/7', undefined],
    [200, 'content-location', 'https://files.example/7', undefined],
    [302, 'content-location', 'https://files.example/7', undefined],
    [302, 'refresh', '0; url=https://files.example/7', undefined],
    [200, 'content-location', '/7', '/7'],
  ] as const) {
    const { statusCode, headers, body } = await ask(status, name, to)
    t.match({ statusCode, other: headers['x-other'] }, { statusCode: status, other: 'kept' })
    t.equal(headers[name], expected, `${status} ${name}: ${to}`)
    t.equal(await body.text(), 'made')
  }
  t.equal((await gateError(await ask(307, 'location', 'https://files.example/7'))).status, 502)
})

t.test('an answer that leads elsewhere is replaced, one within comes with its own path', async t => {
  await using service = await startService((incoming, outgoing) => {
    const to = new URL(incoming.url ?? '', 'http://x').searchParams.get('to') ?? ''
    outgoing.writeHead(302, { location: to }).end('the body says a secret')
  })
  await using front = await startFront({ url: `${service.url}/base`, redirects: ['sso.example.com'] })
  const ask = (to: string) => request(`${front.url}/x?to=${encodeURIComponent(to)}`)
  const inside = await ask(`${service.url}/base/y`)
  t.match({ status: inside.statusCode, location: inside.headers['location'] }, { status: 302, location: '/y' })
  await inside.body.dump()
  const named = await ask('https://sso.example.com/login')
  t.equal(named.headers['location'], 'https://sso.example.com/login')
  await named.body.dump()
  const elsewhere = await ask('https://evil.example/')
  t.equal(elsewhere.headers['location'], undefined)
  t.match(await gateError(elsewhere), {
    status: 502,
    header: 'ERR_GATE_TARGET_PROTOCOL',
    body: {
      code: 'ERR_GATE_TARGET_PROTOCOL',
      message: 'the target billing-api redirects to evil.example, which is not among its redirects',
      hint: /redirects/,
    },
  })
  // The stream is still good.
  t.equal((await ask('/base/z')).headers['location'], '/z')
})
