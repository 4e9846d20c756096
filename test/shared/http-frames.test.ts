// The form of HTTP between relay and agent: what is written comes out again, however it is cut, and other bytes are refused.
import { GateError } from '@gate/shared/errors'
import {
  answerLines,
  checkFields,
  dataHeader,
  FrameReader,
  FrameWriter,
  failureLines,
  type LinesKind,
  linesFrame,
  MAX_LINES_BYTES,
  readAnswer,
  readFailure,
  readRequest,
  requestLines,
} from '@gate/shared/http-frames'
import fc from 'fast-check'
import t from 'tap'

type Frame = readonly [kind: LinesKind, lines: string[]] | readonly [kind: 'data', bytes: Buffer]

const line = fc.string({ unit: fc.integer({ min: 0x20, max: 0xff }).map(code => String.fromCharCode(code)) })
const sendable = line.filter(text => /^[\t\x20-\x7e\x80-\xff]*$/.test(text))
const kinds = fc.constantFrom<LinesKind[]>('request', 'answer', 'end', 'failure')
const frame = fc.oneof(
  // No line and one empty line are written alike: no frame has to tell them apart.
  fc.tuple(
    kinds,
    fc.array(sendable, { maxLength: 8 }).filter(lines => lines.length !== 1 || lines[0] !== ''),
  ),
  fc.tuple(fc.constant('data' as const), fc.uint8Array({ minLength: 1, maxLength: 300 }).map(Buffer.from)),
) as fc.Arbitrary<Frame>

/** Frames as they are read: neighbouring pieces of data are one. */
function reading(): { readonly reader: FrameReader; readonly read: (string | string[])[] } {
  const read: (string | string[])[] = []
  let data = ''
  const take = (entry: string | string[]): void => {
    if (data !== '') read.push(data)
    data = ''
    read.push(entry)
  }
  const reader = new FrameReader({
    lines: (kind, lines) => take([kind, ...lines]),
    data: bytes => {
      data += bytes.toString('hex')
    },
  })
  return { reader, read }
}

const frameOf = ([kind, content]: Frame): Buffer =>
  kind === 'data' ? Buffer.concat([dataHeader(content.length), content]) : linesFrame(kind, content)

t.test('frames come out as they were written, however the bytes are cut', async t => {
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 12 }), fc.array(fc.integer({ min: 1, max: 400 })), (frames, cuts) => {
      const last: Frame = ['end', []]
      const bytes = Buffer.concat([...frames, last].map(frameOf))
      const { reader, read } = reading()
      let at = 0
      for (const cut of [...cuts, bytes.length]) {
        reader.push(bytes.subarray(at, at + cut))
        at += cut
      }
      const wanted: (string | string[])[] = []
      for (const [kind, content] of [...frames, last]) {
        const before = wanted.at(-1)
        if (kind !== 'data') wanted.push([kind, ...content])
        else if (typeof before === 'string') wanted[wanted.length - 1] = before + content.toString('hex')
        else wanted.push(content.toString('hex'))
      }
      if (!reader.isBetweenFrames) throw new Error('something is left')
      t.strictSame(read, wanted)
    }),
    { numRuns: 300 },
  )
})

t.test('any other bytes are refused with a GateError, or wait for more', async t => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 })), pieces => {
      const { reader } = reading()
      try {
        for (const piece of pieces) reader.push(Buffer.from(piece))
      } catch (thrown) {
        if (!(thrown instanceof GateError) || thrown.code !== 'ERR_GATE_PROTOCOL') throw thrown
      }
    }),
    { numRuns: 1000 },
  )
  t.throws(() => reading().reader.push(Buffer.from([1, 0, 2, 0, 1])), { code: 'ERR_GATE_PROTOCOL' }, 'too long')
  t.throws(() => reading().reader.push(Buffer.from([1, 0, 0, 0, 1, 0x0d])), { code: 'ERR_GATE_PROTOCOL' }, 'a return')
})

t.test('nothing is written that could be read as something else', async t => {
  // In one byte for each character the first would be a line break.
  for (const text of ['a\u010ab', 'a\nb', 'a\rb', 'a\0b', 'a\x7fb', 'a€'])
    t.throws(() => linesFrame('request', ['GET', '/', '0', 'x', text]), { code: 'ERR_GATE_PROTOCOL' }, text)
  t.throws(() => linesFrame('answer', ['a'.repeat(MAX_LINES_BYTES + 1)]), { code: 'ERR_GATE_LIMIT' })
})

t.test('requests and answers come out as they were, and nothing else is one', async t => {
  const request = { method: 'POST', path: '/a?b=é', length: undefined, fields: ['a', 'b', 'a', ''] }
  t.same(readRequest(requestLines(request)), request)
  const answer = { status: 204, phrase: '', fields: ['set-cookie', 'a=b'] }
  t.same(readAnswer(answerLines(answer)), answer)
  const fault = { code: 'ERR_GATE_PROTOCOL' }
  for (const lines of [
    [],
    ['GET'],
    ['GET', '/'],
    ['G T', '/', '0'],
    ['GET', ' ', '0'],
    ['GET', '/', '1e3'],
    ['CONNECT', '/', '0'],
  ])
    t.throws(() => readRequest(lines), fault, JSON.stringify(lines))
  for (const lines of [
    [],
    ['101', ''],
    ['100', ''],
    ['2000', ''],
    ['20', ''],
    ['200', '', 'a'],
    ['200', '', 'a:', 'b'],
  ])
    t.throws(() => readAnswer(lines), fault, JSON.stringify(lines))
  for (const fields of [['a'], ['', 'b'], [':path', '/'], ['a b', 'c'], ['ü', 'c']])
    t.throws(() => checkFields(fields), fault, JSON.stringify(fields))
})

t.test('a failure keeps its words in any script, and what is none is a failure of another kind', async t => {
  const failure = new GateError('ERR_GATE_TIMEOUT', 'Zahlungen – 支払い', { hint: 'zwei\nZeilen' })
  const { reader, read } = reading()
  reader.push(linesFrame('failure', failureLines(failure)))
  const [lines] = read as string[][]
  t.match(readFailure(lines?.slice(1) ?? []), { code: failure.code, message: failure.message, hint: failure.hint })
  const long = new GateError('ERR_GATE_TIMEOUT', 'ü'.repeat(100_000), { hint: 'ü'.repeat(100_000) })
  reader.push(linesFrame('failure', failureLines(long)))
  t.match(readFailure((read.at(-1) as string[]).slice(1)), { code: long.code, message: /^ü{4096}$/, hint: /^ü{4096}$/ })
  t.throws(() => readFailure(['no JSON']), { code: 'ERR_GATE_PROTOCOL' })
  t.throws(() => readFailure([]), { code: 'ERR_GATE_PROTOCOL' })
  t.match(readFailure(['{}']), { code: 'ERR_GATE_INTERNAL', message: 'the agent failed to reach the target' })
})

t.test('what is written in one turn is sent as one piece, up to a length', async t => {
  const sent: Buffer[] = []
  const writer = new FrameWriter(bytes => sent.push(bytes))
  writer.lines('answer', ['200', 'OK'])
  writer.data(Buffer.from('short'))
  t.equal(sent.length, 0)
  await new Promise(resolve => setImmediate(resolve))
  t.equal(sent.length, 1)
  writer.data(Buffer.alloc(100_000))
  writer.lines('end', [])
  writer.flush()
  t.equal(sent.length, 4)
  await new Promise(resolve => setImmediate(resolve))
  t.equal(sent.length, 4)
  const { reader, read } = reading()
  for (const bytes of sent) reader.push(bytes)
  t.same(
    read.map(entry => (typeof entry === 'string' ? entry.length / 2 : entry.join(' '))),
    ['answer 200 OK', 100_005, 'end'],
  )
})

t.test('many short pieces of one turn are sent as few', async t => {
  const sent: Buffer[] = []
  const writer = new FrameWriter(bytes => sent.push(bytes))
  for (let count = 0; count < 50_000; count += 1) writer.data(Buffer.from('x'))
  writer.flush()
  t.equal(Buffer.concat(sent).length, 300_000)
  t.ok(sent.length < 10)
})
