// A browser and an HTTP service: its pages work through gate, and pages from elsewhere get nothing.
import t, { type Test } from 'tap'
import { browserProgram, startBrowser } from '../support/browser.ts'
import { type Answer, startHttpService } from '../support/http-target.ts'
import { startHttpWorld } from '../support/http-world.ts'

const policy = `
targets:
  - match: { labels: { env: prod, protocol: http } }
    allow: { groups: [support, dba] }
    viewers: [dba]
    rules:
      - { name: everything, allow: [support, dba] }
      - { name: never, when: 'op.path.startsWith("/admin")', deny: "The admin pages are not for people." }
    mask:
      - { fields: ["**.email"], routes: ["/customers", "/events", "/greeting"], for: { groups: [support] }, with: redact }
    routes: ["/customers", "/events", "/greeting"]
`

const page =
  (body: string): Answer =>
  (_request, response) =>
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(`<!doctype html>${body}`)

const file = Buffer.alloc(5_000_000, '0123456789')

const answers: Readonly<Record<string, Answer>> = {
  '/': page(
    '<title>Billing</title><link rel="stylesheet" href="/style.css"><p id="p">ready</p><script src="/code.js"></script>' +
      '<form method="post" action="/sent"><input name="a" value="1 &amp; 2"><button id="send"></button></form>',
  ),
  '/style.css': (_request, response) =>
    response.writeHead(200, { 'content-type': 'text/css' }).end('p { color: rgb(1, 2, 3) }'),
  '/code.js': (_request, response) =>
    response.writeHead(200, { 'content-type': 'text/javascript' }).end('window.loaded = true'),
  '/sent': (_request, response) => response.writeHead(303, { location: '/thanks' }).end(),
  '/thanks': page('<title>Thanks</title>'),
  '/login': (_request, response) =>
    response.writeHead(303, { location: '/who', 'set-cookie': 'session=of-carol; HttpOnly; SameSite=Lax' }).end(),
  '/who': ({ headers }, response) =>
    response.writeHead(200, { 'content-type': 'text/plain' }).end(headers.cookie ?? 'nobody'),
  '/file': ({ headers }, response) => {
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? []
    if (from === undefined || to === undefined) return response.writeHead(200, { 'accept-ranges': 'bytes' }).end(file)
    const type = { 'content-type': 'application/octet-stream', 'content-range': `bytes ${from}-${to}/${file.length}` }
    return response.writeHead(206, type).end(file.subarray(Number(from), Number(to) + 1))
  },
}

async function inBrowser(program: string): Promise<void> {
  const world = await startHttpWorld({ policy, answers, target: '    pass: [cookies]' })
  t.teardown(() => world[Symbol.asyncDispose]())
  const carol = await world.person('carol')
  const gate = await carol.connect('billing-api')
  t.teardown(() => gate[Symbol.asyncDispose]())
  const elsewhere = await startHttpService({ '/': page('<title>Elsewhere</title>') })
  t.teardown(() => elsewhere[Symbol.asyncDispose]())
  const browser = await startBrowser(program, { 'rebound.example': '127.0.0.1', 'elsewhere.example': '127.0.0.1' })
  t.teardown(() => browser[Symbol.asyncDispose]())
  const base = `http://localhost:${gate.port}`
  const own = await browser.page()
  const foreign = await browser.page()

  // Browsers ask for the icon of a page when they like.
  const asked = (): number => world.service.asked.filter(({ url }) => url !== '/favicon.ico').length

  t.test('pages, and what they load', async t => {
    for (const name of ['localhost', '127.0.0.1', 'billing-api.localhost']) {
      t.equal(await own.open(`http://${name}:${gate.port}/`), undefined, name)
      t.equal(await own.run('return document.title'), 'Billing', name)
    }
    await own.open(`${base}/`)
    t.equal(await own.run('return getComputedStyle(document.getElementById("p")).color'), 'rgb(1, 2, 3)')
    t.equal(await own.run('return window.loaded'), true)
  })

  t.test('fetch, with fields masked', async t => {
    const text = String(await own.run('return (await fetch("/customers")).text()'))
    t.match(JSON.parse(text), {
      customers: [
        { id: 1, email: '****' },
        { id: 2, email: '****' },
      ],
    })
    t.notMatch(text, 'secret')
    const posted = await own.run(
      'return (await fetch("/echo", { method: "POST", body: JSON.stringify({ a: 1 }), headers: { "content-type": "application/json" } })).json()',
    )
    t.match(posted, { method: 'POST', body: '{"a":1}', headers: { authorization: 'Bearer service-token' } })
    const refused = await own.run('const it = await fetch("/admin"); return [it.status, (await it.json()).rule]')
    t.same(refused, [403, 'never'])
  })

  t.test('a stream of events', async t => {
    const code = `return new Promise((resolve, reject) => {
      const source = new EventSource('/events')
      const seen = []
      source.onerror = () => reject(new Error('broken'))
      source.onmessage = ({ data }) => {
        if (seen.push(data) < 3) return
        source.close()
        resolve(seen)
      }
    })`
    const seen = (await own.run(code)) as string[]
    t.same(
      seen.map(each => JSON.parse(each) as unknown),
      [1, 2, 3].map(n => ({ n, email: '****' })),
    )
  })

  t.test('a WebSocket', async t => {
    const code = `return new Promise((resolve, reject) => {
      const socket = new WebSocket('ws://' + location.host + '/greeting')
      const seen = []
      socket.onerror = () => reject(new Error('broken'))
      socket.onmessage = ({ data }) => {
        seen.push(data)
        if (seen.length === 1) socket.send('hello')
        else socket.close(4000, 'enough')
      }
      socket.onclose = ({ code }) => resolve([...seen, code])
    })`
    // What is no JSON is refused where fields are masked.
    t.same(await own.run(code.replace("'hello'", `'{"hello":1}'`)), ['{"email":"****","n":1}', '{"hello":1}', 4000])
  })

  t.test('a form, and where it leads', async t => {
    await own.run('document.getElementById("send").click()')
    while ((await own.run('return document.title').catch(() => '')) !== 'Thanks') {}
    t.equal(await own.run('return location.pathname'), '/thanks')
    t.match(
      world.service.asked.find(({ url }) => url === '/sent'),
      { method: 'POST', body: 'a=1+%26+2' },
    )
  })

  t.test('cookies of the service, which scripts do not see', async t => {
    await own.open(`${base}/`)
    const code = 'const it = await fetch("/login", { credentials: "include" }); return [it.url, await it.text()]'
    t.same(await own.run(code), [`${base}/who`, 'session=of-carol'])
    t.equal(await own.run('return document.cookie'), '')
    t.equal(await own.run('return (await fetch("/who", { credentials: "omit" })).text()'), 'nobody')
  })

  t.test('a file that is sent, and one that is fetched, whole and in part', async t => {
    const sent = `const form = new FormData()
      form.set('file', new File([new Uint8Array(3_000_000)], 'große Datei.bin'))
      return (await fetch('/sent-file', { method: 'POST', body: form })).status`
    t.equal(await own.run(sent), 200)
    const { body = '' } = world.service.asked.find(({ url }) => url === '/sent-file') ?? {}
    t.ok(body.length > 3_000_000 && body.includes('große Datei.bin'))
    t.equal(await own.run('return (await (await fetch("/file")).blob()).size'), file.length)
    const part =
      'const it = await fetch("/file", { headers: { range: "bytes=3-5" } }); return [it.status, await it.text()]'
    t.same(await own.run(part), [206, '345'])
  })

  t.test('a name that was made to lead here', async t => {
    const before = asked()
    await foreign.open(`http://rebound.example:${gate.port}/customers`)
    t.match(await foreign.run('return document.body.innerText'), /this port is not called rebound\.example/)
    t.equal(await foreign.run('return (await fetch("/customers")).status'), 403)
    t.equal(asked(), before, 'nothing reached the service')
  })

  t.test('pages from elsewhere', async t => {
    for (const origin of [`http://elsewhere.example:${elsewhere.port}`, `http://localhost:${elsewhere.port}`])
      await t.test(origin, async t => strangers(t, origin))
  })

  async function strangers(t: Test, origin: string): Promise<void> {
    const before = asked()
    await foreign.open(`${origin}/`)
    t.equal(await foreign.run('return document.title'), 'Elsewhere')
    for (const [name, [code, expected]] of Object.entries(attempts(`localhost:${gate.port}/stolen`)))
      t.equal(await foreign.run(code), expected, name)
    await foreign.run(`const form = Object.assign(document.createElement('form'), {
      method: 'post', action: 'http://localhost:${gate.port}/stolen' })
      document.body.append(form)
      form.submit()`)
    const shown = (): Promise<unknown> => foreign.run('return document.body?.innerText ?? ""').catch(() => '')
    while (!/sent this request/.test(String(await shown()))) {}
    t.equal(asked(), before, 'nothing reached the service')
  }
}

/** What a page may try, and all that it learns. */
function attempts(place: string): Readonly<Record<string, readonly [code: string, learns: string]>> {
  const fetched = (init: string, learns = "'read'"): string =>
    `return fetch('http://${place}', ${init}).then(it => ${learns}, () => 'nothing')`
  return {
    'it reads': [fetched('{}'), 'nothing'],
    'it asks without reading': [fetched('{ mode: "no-cors" }', 'it.type + it.status'), 'opaque0'],
    'it deletes': [fetched('{ method: "DELETE" }'), 'nothing'],
    'it posts JSON': [
      fetched('{ method: "POST", body: "{}", headers: { "content-type": "application/json" } }'),
      'nothing',
    ],
    'it loads a script': [
      `return new Promise(resolve => document.head.append(Object.assign(document.createElement('script'), {
        src: 'http://${place}', onload: () => resolve('loaded'), onerror: () => resolve('nothing') })))`,
      'nothing',
    ],
    'it asks with what the browser keeps for the port': [
      fetched('{ mode: "no-cors", credentials: "include" }', 'it.type + it.status'),
      'opaque0',
    ],
    'it loads an image': [
      `return new Promise(resolve => Object.assign(new Image(), {
        onload: () => resolve('loaded'), onerror: () => resolve('nothing'), src: 'http://${place}' }))`,
      'nothing',
    ],
    'it shows a frame': [
      `return new Promise(resolve => document.body.append(Object.assign(document.createElement('iframe'), {
        src: 'http://${place}', onload: ({ target }) => resolve(target.contentDocument ?? 'nothing') })))`,
      'nothing',
    ],
    'it listens to events': [
      `return new Promise(resolve => {
        const source = new EventSource('http://${place}')
        source.onopen = () => resolve('open')
        source.onerror = () => { source.close(); resolve('nothing') }
      })`,
      'nothing',
    ],
    'it opens a WebSocket': [
      `return new Promise(resolve => Object.assign(new WebSocket('ws://${place}'), {
        onopen: () => resolve('open'), onerror: () => resolve('nothing') }))`,
      'nothing',
    ],
  }
}

if (browserProgram === undefined) {
  process.stderr.write('SKIPPED: HTTP is not tested in a browser (no chromium is installed)\n')
  t.test('a browser', { skip: 'no chromium is installed' }, async () => {})
} else {
  await inBrowser(browserProgram)
}
