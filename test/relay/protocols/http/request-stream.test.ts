// Requests to an agent that does what ours does not: what it says too much or too little never passes for an answer.
import { Readable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import { Upstream } from '@gate/relay/protocols/http/upstream'
import type { Abort, AnswerHandler, SentRequest } from '@gate/relay/protocols/http/way'
import { GateError } from '@gate/shared/errors'
import { answerLines, dataHeader, FrameReader, failureLines, linesFrame } from '@gate/shared/http-frames'
import { Inbox, type Port } from '@gate/shared/port'
import t from 'tap'
import { until } from '../../../support/until.ts'

const HIGH_WATER_BYTES = 64 * 1024

/** An agent by hand: what was asked of it, and a port on which it says whatever it is told. */
class Agent {
  readonly asked: string[] = []
  readonly opened: Port<Buffer>[] = []
  /** Awaited before a stream is there. */
  opening: Promise<void> | undefined
  /** What ends the last request. */
  abort: Abort = () => {}
  broken: GateError | undefined
  #said = new Inbox<Buffer>(
    HIGH_WATER_BYTES,
    () => {},
    () => {},
  )

  readonly upstream = new Upstream(async () => {
    await this.opening
    const said = new Inbox<Buffer>(
      HIGH_WATER_BYTES,
      () => {},
      () => {},
    )
    this.#said = said
    this.broken = undefined
    const reader = new FrameReader({
      lines: (kind, lines) => void this.asked.push([kind, ...lines].join(' ')),
      data: bytes => void this.asked.push(`data ${bytes.length}`),
    })
    const port: Port<Buffer> = {
      [Symbol.asyncIterator]: () => said,
      write: bytes => {
        reader.push(bytes)
        return undefined
      },
      end: () => {},
      destroy: cause => {
        this.broken ??= cause ?? new GateError('ERR_GATE_CANCELLED', 'closed')
        said.fail(this.broken)
      },
    }
    this.opened.push(port)
    return { port, detail: {}, declare: () => {}, cancel: async () => {} }
  })

  say(...frames: Buffer[]): void {
    for (const bytes of frames) this.#said.push(bytes)
  }

  leave(): void {
    this.#said.finish()
  }

  /** What becomes of a request, as words. */
  ask(request: Partial<SentRequest> = {}, handler: Partial<AnswerHandler> = {}): string[] {
    const told: string[] = []
    const all: AnswerHandler = {
      head: ({ status, fields }) => void told.push(`head ${status} ${fields.flat().join(' ')}`.trim()),
      data: chunk => {
        told.push(`data ${chunk.toString()}`)
        return true
      },
      end: trailers => void told.push(`end ${trailers.flat().join(' ')}`.trim()),
      fail: cause => void told.push(cause.code),
      ...handler,
    }
    const plain = { method: 'GET', path: '/', fields: [], spelling: new Map<string, string>(), body: undefined }
    this.abort = this.upstream.send({ ...plain, ...request }, { actions: [], approvals: [] }, all)
    return told
  }
}

const head = (status = 200, ...fields: string[]): Buffer =>
  linesFrame('answer', answerLines({ status, phrase: 'OK', fields }))
const data = (text: string): Buffer => Buffer.concat([dataHeader(text.length), Buffer.from(text)])
const end = (...trailers: string[]): Buffer => linesFrame('end', trailers)

t.test('one request after the other goes on one stream, and each has its answer', async t => {
  const agent = new Agent()
  const first = agent.ask({ body: Buffer.from('abc') })
  await turn()
  agent.say(Buffer.concat([head(200, 'Content-Length', '2', 'X-A', 'b'), data('o'), data('k'), end('T', 'v')]))
  await turn()
  t.same(first, ['head 200 content-length 2 x-a b', 'data o', 'data k', 'end t v'])
  const second = agent.ask({ method: 'HEAD', fields: [['a', 'b']], spelling: new Map([['a', 'A']]) })
  agent.say(head(200, 'content-length', '2'), end())
  await turn()
  t.same(second, ['head 200 content-length 2', 'end'])
  const third = agent.ask({ body: Readable.from([Buffer.from('de')]), fields: [['content-length', '2']] })
  await turn()
  agent.say(linesFrame('failure', failureLines(new GateError('ERR_GATE_TIMEOUT', 'late'))))
  await turn()
  t.same(third, ['ERR_GATE_TIMEOUT'])
  t.same(agent.asked, [
    ...['request GET / 3', 'data 3', 'end', 'request HEAD / 0 A b'],
    ...['request GET / 2 content-length 2', 'data 2', 'end'],
  ])
  t.equal(agent.opened.length, 1)
  t.equal(agent.broken, undefined)
})

t.test('what is no answer breaks the request off, and another stream is opened for the next', async t => {
  const short = [head(200, 'content-length', '3'), data('ab')]
  for (const [what, frames, told] of [
    ['data without a head', [data('x')], []],
    ['an end without a head', [end()], []],
    ['a second head', [head(), head()], ['head 200']],
    ['more than it said', [...short, data('cd'), end()], ['head 200 content-length 3', 'data ab']],
    ['less than it said', [...short, end()], ['head 200 content-length 3', 'data ab']],
    ['a length that is none', [head(200, 'content-length', '+3')], []],
    ['a request', [linesFrame('request', ['GET', '/', '0'])], []],
    ['no frame', [Buffer.from('HTTP/1.1 200 OK\r\n\r\n')], []],
    ['trailers that are none', [head(), end('a')], ['head 200']],
    ['a failure that is none', [linesFrame('failure', ['x'])], []],
  ] as const) {
    const agent = new Agent()
    const seen = agent.ask()
    await turn()
    agent.say(...frames)
    await turn()
    t.same(seen, [...told, 'ERR_GATE_TARGET_PROTOCOL'], what)
    t.ok(agent.broken, what)
    const next = agent.ask()
    await turn()
    agent.say(head(), end())
    await turn()
    t.same(next, ['head 200', 'end'], what)
    t.equal(agent.opened.length, 2, what)
  }
})

t.test('what comes when nothing was asked is nobody’s answer', async t => {
  const agent = new Agent()
  agent.ask()
  await turn()
  agent.say(head(), end(), head(), data('for whoever asks next'), end())
  await turn()
  const next = agent.ask()
  await turn()
  t.same(next, [])
  agent.say(head(201), end())
  await turn()
  t.same(next, ['head 201', 'end'])
  t.equal(agent.opened.length, 2)
})

t.test('an agent that is lost in between may have done what was asked', async t => {
  const agent = new Agent()
  const hints: (string | undefined)[] = []
  agent.ask({}, { fail: ({ code, hint }) => void hints.push(code, hint) })
  await turn()
  agent.leave()
  await turn()
  t.match(hints, ['ERR_GATE_AGENT_LOST', /^The service may have done/])
})

t.test('an answer before all of the body was sent is the answer, and the rest of the body goes nowhere', async t => {
  const agent = new Agent()
  const body = new Readable({ read: () => {} })
  body.push('abc')
  const seen = agent.ask({ body })
  await until('the beginning of the body', () => agent.asked.includes('data 3'))
  agent.say(head(413), end())
  await turn()
  t.same(seen, ['head 413', 'end'])
  t.ok(body.destroyed)
  t.ok(agent.broken)
  const next = agent.ask()
  await turn()
  t.same(agent.asked.at(-1), 'request GET / 0')
  agent.say(head(), end())
  await turn()
  t.same(next, ['head 200', 'end'])
})

t.test('a body that breaks off ends the stream with it', async t => {
  const agent = new Agent()
  const body = new Readable({ read: () => {} })
  const seen = agent.ask({ body })
  await turn()
  body.destroy(new GateError('ERR_GATE_REFUSED', 'it asks for another method'))
  await until('its end', () => agent.broken)
  t.same(seen, ['ERR_GATE_REFUSED'])
  t.notOk(agent.asked.includes('end'))
})

t.test('who takes no more is given no more until he does, and the next request waits for none of it', async t => {
  const agent = new Agent()
  const taken: string[] = []
  let resume = (): void => {}
  agent.ask(
    {},
    {
      head: (_said, go) => {
        resume = go
      },
      data: chunk => {
        taken.push(chunk.toString())
        return false
      },
      end: () => void taken.push('end'),
    },
  )
  await turn()
  agent.say(head(), data('a'), data('b'), Buffer.concat([data('c'), end()]))
  await turn()
  t.same(taken, ['a'])
  resume()
  await turn()
  t.same(taken, ['a', 'b'])
  resume()
  await turn()
  t.same(taken, ['a', 'b', 'c', 'end'])
  const next = agent.ask()
  agent.say(head(), end())
  await turn()
  t.same(next, ['head 200', 'end'])
  t.equal(agent.opened.length, 1)
})

t.test('a request waits for the end of an answer that nobody wants any more', async t => {
  const agent = new Agent()
  agent.ask()
  await turn()
  agent.say(head(), data('a'))
  await turn()
  const next = agent.ask()
  await turn()
  t.equal(agent.asked.length, 1)
  agent.say(end())
  await turn()
  t.equal(agent.asked.length, 2)
  agent.say(head(204), end())
  await turn()
  t.same(next, ['head 204', 'end'])
  t.equal(agent.opened.length, 1)
})

t.test('who ends before the stream is opened sends nothing', async t => {
  const agent = new Agent()
  const seen = agent.ask()
  agent.upstream.destroy(new GateError('ERR_GATE_CANCELLED', 'the client went away'))
  await turn()
  t.same(seen, ['ERR_GATE_CANCELLED'])
  t.same(agent.asked, [])
  t.same(agent.ask(), [])
  await turn()
  t.equal(agent.opened.length, 0)
})

t.test('a request that nobody waits for any more is not sent, and the stream is for the next one', async t => {
  const agent = new Agent()
  let open = (): void => {}
  agent.opening = new Promise(resolve => {
    open = resolve
  })
  const body = new Readable({ read: () => {} })
  const gone = agent.ask({ path: '/gone', body })
  agent.abort(new GateError('ERR_GATE_REFUSED', 'policy changed'))
  const next = agent.ask({ path: '/next' })
  open()
  await until('the next request', () => agent.asked.length > 0)
  t.same(gone, ['ERR_GATE_REFUSED'])
  t.ok(body.destroyed)
  agent.say(head(), end())
  await turn()
  t.same(next, ['head 200', 'end'])
  t.same(agent.asked, ['request GET /next 0'])
  t.equal(agent.opened.length, 1)
})

t.test('a request that nobody waits for any more ends before its answer, and keeps no other waiting', async t => {
  const agent = new Agent()
  const gone = agent.ask({ path: '/gone' })
  await until('the request', () => agent.asked.length > 0)
  const { abort } = agent
  abort(new GateError('ERR_GATE_CANCELLED', 'it was stopped'))
  t.same(gone, ['ERR_GATE_CANCELLED'])
  t.match(agent.broken, { code: 'ERR_GATE_CANCELLED' })
  const next = agent.ask({ path: '/next' })
  await until('the next request', () => agent.asked.length > 1)
  abort(new GateError('ERR_GATE_CANCELLED', 'it was stopped again'))
  agent.say(head(), end())
  await turn()
  t.same(next, ['head 200', 'end'])
  t.equal(agent.broken, undefined)
})

t.test('the body of a request that cannot be sent is dropped', async t => {
  const agent = new Agent()
  const unsendable = new Readable({ read: () => {} })
  t.same(agent.ask({ body: unsendable, fields: [['a', 'b\nc']] }), [])
  await turn()
  t.ok(unsendable.destroyed)
  agent.opening = Promise.reject(new GateError('ERR_GATE_NOT_FOUND', 'no agent'))
  const body = new Readable({ read: () => {} })
  const seen = agent.ask({ body })
  await turn()
  t.same(seen, ['ERR_GATE_NOT_FOUND'])
  t.ok(body.destroyed)
})
