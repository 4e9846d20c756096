// Notices outward: signed, tried again, in order, bounded, and without anything that could be a secret.
import { chmod, readFile, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { ApprovalRequest } from '@gate/relay/approval/requests'
import { commandHook, type Hook, signature, webhook } from '@gate/relay/notices/hooks'
import { noticeBody } from '@gate/relay/notices/notice'
import { Notices } from '@gate/relay/notices/notices'
import { systemClock } from '@gate/shared/clock'
import { silentLog } from '@gate/shared/log'
import t from 'tap'
import { createHandClock } from '../../support/clock.ts'
import { collectLog } from '../../support/log.ts'
import { temporaryDirectory } from '../../support/tmp.ts'

const request = (id: string, more: Partial<ApprovalRequest> = {}): ApprovalRequest => ({
  id,
  kind: 'command',
  session: 's_1',
  relay: 'relay_1',
  subject: { id: 'https://id.example.com|alice', email: 'alice@example.com', groups: ['engineers'] },
  target: 'prod-db',
  protocol: 'postgres',
  task: 'OPS-7',
  reason: 'password=hunter2hunter2 and <@channel> card 4111111111111111',
  rule: 'wide-writes',
  approvers: '1 of dba',
  operation: {
    protocol: 'postgres',
    action: 'update',
    resources: [
      { kind: 'table', name: 'public.customers', mode: 'write' },
      { kind: 'path', name: '/users/ada@example.com', mode: 'write' },
    ],
    text: "update customers set ssn = '078-05-1120'",
    parameters: [{ text: 'sk_live_secret', bytes: 14, format: 'text' }],
    writes: true,
    routine: false,
    facts: {},
  },
  exact: { command: "update customers set ssn = '078-05-1120'", parameters: '' },
  history: [],
  estimate: undefined,
  grantMs: undefined,
  grantMaxMs: undefined,
  context: {},
  policy: 'p',
  nonce: 'n',
  later: false,
  state: 'waiting',
  createdMs: 0,
  expiresMs: 60_000,
  settledMs: undefined,
  ...more,
})

interface Received {
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

/** A web server that answers as it is told. */
async function receiver(answer: (count: number, response: ServerResponse) => void) {
  const received: Received[] = []
  const watchers: (() => void)[] = []
  const server = createServer((incoming, response) => {
    let body = ''
    incoming.setEncoding('utf8').on('data', text => {
      body += text
    })
    incoming.on('end', () => {
      received.push({ headers: incoming.headers, body })
      answer(received.length, response)
      for (const watcher of watchers.splice(0)) watcher()
    })
  })
  server.listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/hook`,
    received,
    until: async (count: number) => {
      while (received.length < count) await new Promise<void>(resolve => watchers.push(resolve))
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

const ok = (_count: number, response: ServerResponse): void => void response.writeHead(204).end()
const start = (...hooks: Hook[]): Notices => new Notices(hooks, 'https://gate.example.com', systemClock, silentLog)
const json = (url: string, more: Partial<Parameters<typeof webhook>[0]> = {}): Hook =>
  webhook({ url, secret: 'shared', format: 'json', kinds: undefined, ...more }, () => systemClock.now())

t.test('a webhook gets the documented body, signed, and nothing of the command', async t => {
  await using web = await receiver(ok)
  await using notices = start(json(web.url))
  notices.request('request.waiting', request('r_1'))
  await web.until(1)
  const [{ headers, body } = { headers: {}, body: '' }] = web.received
  const notice = noticeBody.parse(JSON.parse(body))
  t.match(notice, {
    kind: 'request.waiting',
    who: { email: 'alice@example.com' },
    target: 'prod-db',
    request: {
      id: 'r_1',
      action: 'update',
      resources: ['public.customers', '/users/****'],
      decide: 'gate approve r_1',
    },
  })
  for (const secret of ['078-05', 'set ssn', 'sk_live', 'hunter2', '4111']) t.notMatch(body, secret)
  const timestamp = String(headers['webhook-timestamp'])
  t.equal(headers['webhook-signature'], signature('shared', notice.id, timestamp, body))
  t.not(headers['webhook-signature'], signature('other', notice.id, timestamp, body))
  t.equal(headers['webhook-id'], notice.id)
})

t.test('what was not taken is sent again with the same id, and later ones wait for it', async t => {
  await using web = await receiver((count, response) => void response.writeHead(count < 3 ? 500 : 200).end())
  await using notices = start(json(web.url))
  notices.request('request.waiting', request('r_1'))
  notices.request('request.settled', request('r_1', { state: 'approved' }))
  await web.until(4)
  const sent = web.received.map(({ body }) => noticeBody.parse(JSON.parse(body)))
  t.same(
    sent.map(({ kind }) => kind),
    ['request.waiting', 'request.waiting', 'request.waiting', 'request.settled'],
  )
  t.equal(new Set(sent.slice(0, 3).map(({ id }) => id)).size, 1)
})

t.test('a redirect is not followed, and a hook that does not answer keeps nobody', async t => {
  await using elsewhere = await receiver(ok)
  await using web = await receiver(
    (_count, response) => void response.writeHead(302, { location: elsewhere.url }).end(),
  )
  await using silent = await receiver(() => {})
  {
    // Closing must not wait for what nobody takes.
    await using notices = start(json(web.url), json(silent.url))
    for (let index = 0; index < 10; index += 1) notices.request('request.waiting', request(`r_${index}`))
    await Promise.all([web.until(1), silent.until(1)])
  }
  t.equal(elsewhere.received.length, 0)
})

t.test('Slack gets one sentence in which nothing is a mention', async t => {
  await using web = await receiver(ok)
  await using notices = start(json(web.url, { format: 'slack' }))
  notices.request('request.waiting', request('r_1'))
  await web.until(1)
  const message = JSON.parse(web.received[0]?.body ?? '') as { text: string; blocks: { text: { text: string } }[] }
  t.match(message.text, 'alice@example.com waits to update public.customers, /users/**** on prod-db')
  t.notMatch(JSON.stringify(message), '<@channel>')
  t.match(message.blocks[0]?.text.text, '&lt;@channel&gt;')
})

t.test('a command reads the notice from its standard input, and gets only the kinds that it wants', async t => {
  await using directory = await temporaryDirectory('hook')
  const script = join(directory.path, 'hook')
  const out = join(directory.path, 'out')
  await writeFile(script, `#!/bin/sh\ncat >> "${out}"\n`)
  await chmod(script, 0o700)
  await using notices = start(commandHook([script], ['request.settled']))
  notices.request('request.waiting', request('r_1'))
  notices.request('request.settled', request('r_1', { state: 'denied' }))
  let text = ''
  while (!text.endsWith('\n')) {
    await systemClock.sleep(20)
    text = await readFile(out, 'utf8').catch(() => '')
  }
  t.match(noticeBody.parse(JSON.parse(text)), { kind: 'request.settled', request: { state: 'denied' } })
})

t.test('more than a thousand do not wait for one hook, and that is logged', async t => {
  await using silent = await receiver(() => {})
  const log = collectLog()
  await using notices = new Notices([json(silent.url)], 'https://gate.example.com', systemClock, log)
  for (let index = 0; index < 1_005; index += 1) notices.request('request.waiting', request(`r_${index}`))
  t.equal(log.entries.filter(({ event }) => event === 'notice.dropped').length, 5)
})

t.test('a relay that goes down delivers what waits, in order, without the waits in between', async t => {
  await using web = await receiver((count, response) => void response.writeHead(count === 1 ? 500 : 204).end())
  const log = collectLog()
  // A clock that stands still: whoever waited would wait for ever.
  const notices = new Notices([json(web.url)], 'https://gate.example.com', createHandClock(), log)
  for (const id of ['r_1', 'r_2', 'r_3']) notices.request('request.waiting', request(id))
  await web.until(1)
  await notices[Symbol.asyncDispose]()
  t.same(
    web.received.map(({ body }) => noticeBody.parse(JSON.parse(body)).request?.id),
    ['r_1', 'r_1', 'r_2', 'r_3'],
  )
  t.same(log.entries.filter(({ event }) => event === 'notice.dropped').length, 0)
  notices.request('request.waiting', request('r_4'))
  t.equal(log.entries.filter(({ event }) => event === 'notice.dropped').length, 1, 'afterwards nothing is taken')
})

t.test('what a relay that goes down cannot deliver is logged, and keeps it for a bounded time', async t => {
  const clock = createHandClock()
  for (const answer of [(_: number, response: ServerResponse) => void response.writeHead(503).end(), () => {}]) {
    await using web = await receiver(answer)
    const log = collectLog()
    const notices = new Notices([json(web.url)], 'https://gate.example.com', clock, log)
    for (const id of ['r_1', 'r_2']) notices.request('request.waiting', request(id))
    await web.until(1)
    const closed = notices[Symbol.asyncDispose]()
    clock.advance(3_000)
    await closed
    t.same(
      log.entries.filter(({ event }) => event === 'notice.dropped').map(({ fields }) => fields?.['kind']),
      ['request.waiting', 'request.waiting'],
    )
    t.ok(web.received.length <= 2, 'and the second is not tried when the first was not taken')
  }
})
