// An agent that believes no relay about HTTP: real requests through the connector, with declarations as a false relay would make them.
import { ApprovalGuard } from '@gate/agent/approvals/guard'
import { Trust } from '@gate/agent/approvals/trust'
import type { SignedDecision } from '@gate/shared/approval'
import { contentOf, requestText } from '@gate/shared/http-command'
import t from 'tap'
import { request } from 'undici'
import { newSigner, signedApproval } from '../../support/approver.ts'
import { createHandClock } from '../../support/clock.ts'
import { exchangeBytes, gateError, startFront, startService } from '../../support/http-connector.ts'

const bob = newSigner()
const clock = createHandClock()
const MINUTE = 60_000
const JSON_TYPE = 'application/json'

const approval = (command: string, id = 'r_1'): SignedDecision =>
  signedApproval(
    { target: 'billing-api', protocol: 'http', command, parameters: [], expiresMs: clock.now() + MINUTE },
    bob,
    { request: id },
  )

/** A request in words. */
const words = (method: string, target: string, type?: string, body?: string | Buffer, encoding?: string): string =>
  requestText({
    method,
    target,
    field: name => ({ 'content-type': type, 'content-encoding': encoding })[name],
    content: body === undefined ? undefined : contentOf(Buffer.from(body)),
  })

async function guarded(actions: readonly string[]) {
  const asked: string[] = []
  const service = await startService((incoming, response) => {
    const chunks: Buffer[] = []
    incoming.on('data', chunk => chunks.push(chunk))
    incoming.on('end', () => {
      asked.push(`${incoming.method} ${incoming.url} ${Buffer.concat(chunks)}`)
      response.end('done')
    })
  })
  const trust = new Trust({ target: 'billing-api', protocol: 'http', actions, keys: [bob.publicKey], count: 1 }, clock)
  const guard = new ApprovalGuard(trust)
  const front = await startFront({ url: `${service.url}/base` }, guard)
  return {
    asked,
    front,
    declare: (declared: string, ...approvals: SignedDecision[]) => guard.declare({ actions: [declared], approvals }),
    /** `passes`, or the code of the agent's refusal. */
    ask: async (method: string, path: string, body?: string | Buffer, headers: Record<string, string> = {}) => {
      const response = await request(front.url + path, {
        method: method as 'GET',
        headers: { ...(body === undefined ? {} : { 'content-type': JSON_TYPE }), ...headers },
        body: body ?? null,
      })
      if (response.statusCode !== 200) return (await gateError(response)).body.code
      await response.body.dump()
      return 'passes'
    },
    [Symbol.asyncDispose]: async () => {
      await front[Symbol.asyncDispose]()
      await service[Symbol.asyncDispose]()
    },
  }
}

const BODY = '{"amount":100}'
const POSTED = words('POST', '/refunds?x=1', JSON_TYPE, BODY)

t.test('what needs no approval passes as it is, what is not declared does not', async t => {
  await using agent = await guarded(['delete'])
  agent.declare('get')
  t.equal(await agent.ask('GET', '/a'), 'passes')
  agent.declare('post')
  t.equal(await agent.ask('POST', '/a', Buffer.alloc(2 * 1024 * 1024, 'x')), 'passes', 'of any length')
  t.equal(await agent.ask('GET', '/b'), 'ERR_GATE_REFUSED')
  t.equal(agent.asked.length, 2)
})

t.test('a request that needs approval has to be signed as it is', async t => {
  await using agent = await guarded(['post'])
  for (const [why, approvals, expected] of [
    ['none', [], 'ERR_GATE_REFUSED'],
    ['another path', [approval(words('POST', '/refunds?x=2', JSON_TYPE, BODY))], 'ERR_GATE_REFUSED'],
    ['another method', [approval(words('PUT', '/refunds?x=1', JSON_TYPE, BODY))], 'ERR_GATE_REFUSED'],
    ['another type', [approval(words('POST', '/refunds?x=1', 'text/plain', BODY))], 'ERR_GATE_REFUSED'],
    ['another body', [approval(words('POST', '/refunds?x=1', JSON_TYPE, '{"amount":999}'))], 'ERR_GATE_REFUSED'],
    ['another coding', [approval(words('POST', '/refunds?x=1', JSON_TYPE, BODY, 'gzip'))], 'ERR_GATE_REFUSED'],
    ['no body', [approval(words('POST', '/refunds?x=1', undefined, undefined))], 'ERR_GATE_REFUSED'],
    ['exactly this', [approval(POSTED)], 'passes'],
    ['the same word again', [approval(POSTED)], 'ERR_GATE_REFUSED'],
    ['another word', [approval(POSTED, 'r_2')], 'passes'],
  ] as const) {
    agent.declare('post', ...approvals)
    t.equal(await agent.ask('POST', '/refunds?x=1', BODY), expected, why)
  }
  t.same(agent.asked, Array(2).fill(`POST /base/refunds?x=1 ${BODY}`))
  agent.declare('post', approval(POSTED, 'r_3'))
  const copied = { 'x-amz-copy-source': 'bucket/secret' }
  t.equal(await agent.ask('POST', '/refunds?x=1', BODY, copied), 'ERR_GATE_REFUSED', 'a copy of something')
})

t.test('what a request does is its method, whatever the relay calls it', async t => {
  await using agent = await guarded(['delete'])
  agent.declare('get')
  t.equal(await agent.ask('DELETE', '/a'), 'ERR_GATE_REFUSED')
  for (const name of ['X-HTTP-Method-Override', 'x-http-method', 'X_HTTP_Method_Override', 'X.Method.Override']) {
    agent.declare('post')
    t.equal(await agent.ask('POST', '/a', '{}', { [name]: 'DELETE' }), 'ERR_GATE_REFUSED', name)
  }
  t.same(agent.asked, [])
  agent.declare('delete', approval(words('DELETE', '/a', undefined, undefined)))
  t.equal(await agent.ask('DELETE', '/a'), 'passes')
})

t.test('bodies that are no text, and bodies that are too long', async t => {
  await using agent = await guarded(['*'])
  const bytes = Buffer.from([0, 1, 0xff])
  agent.declare('put', approval(words('PUT', '/a', JSON_TYPE, bytes)))
  t.equal(await agent.ask('PUT', '/a', bytes), 'passes')
  const long = 'x'.repeat(1024 * 1024 + 1)
  agent.declare('put', approval(words('PUT', '/a', JSON_TYPE, long), 'r_2'))
  t.equal(await agent.ask('PUT', '/a', long), 'ERR_GATE_LIMIT')
  agent.declare('put', approval(words('PUT', '/b', undefined, undefined), 'r_3'))
  t.equal(await agent.ask('PUT', '/b', '', { 'content-type': JSON_TYPE }), 'passes', 'an empty one is none')
  t.equal(agent.asked.length, 2)
})

t.test('where messages would have to be approved there are no WebSockets', async t => {
  const handshake =
    'GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
    'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n'
  for (const actions of [['*'], ['message']]) {
    await using agent = await guarded(actions)
    agent.declare('websocket', approval(words('GET', '/ws', undefined, undefined)))
    const answer = await exchangeBytes(agent.front.port, handshake, /\}$/)
    t.match(answer, /cannot check the messages of a WebSocket/)
    t.same(agent.asked, [])
  }
  await using agent = await guarded(['websocket'])
  agent.declare('get')
  t.match(
    await exchangeBytes(agent.front.port, handshake, /\}$/),
    /lets websocket on billing-api pass only when approved/,
  )
})
