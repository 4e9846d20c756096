// Server-sent events: data in any lines with any ends, at every split; what cannot be read is refused.
import t from 'tap'
import { detect, everySplit, fields, maskBody, maskPieces, masksOf } from '#support/masking'

const EVENTS = 'text/event-stream'
const email = masksOf(fields(['email']))

const cases: readonly (readonly [name: string, clear: string, masked: string])[] = [
  ['data', 'data: {"email":"x"}\n\ndata:{"a": 1}\n\n', 'data: {"email":"****"}\n\ndata:{"a": 1}\n\n'],
  [
    'all fields',
    ': hello\nevent: e\nid: 1\nretry: 10\ndata: {"email":1}\n\n',
    ': hello\nevent: e\nid: 1\nretry: 10\ndata: {"email":0}\n\n',
  ],
  [
    'several lines',
    'data: {"email":\ndata: "x",\nid: 7\ndata: "b":1}\n\n',
    'data: {"email":\ndata: "****",\ndata: "b":1}\nid: 7\n\n',
  ],
  [
    'carriage returns',
    'data: {"email":1}\rdata\r\rdata: {"b":1}\r\r',
    'data: {"email":0}\rdata: \r\rdata: {"b":1}\r\r',
  ],
  ['both', 'data: {"email":1}\r\n\r\ndata: {"email":2}\r\n\r\n', 'data: {"email":0}\r\n\r\ndata: {"email":0}\r\n\r\n'],
  [
    'both, in several lines',
    'data: {"email":\r\ndata: 1}\r\nid: 2\r\n\r\ndata: 3',
    'data: {"email":\r\ndata: 0}\r\nid: 2\r\n\r\ndata: 3',
  ],
  ['no end', 'data: {"email":1}', 'data: {"email":0}\n'],
  ['a byte order mark', '\ufeffdata: {"email":1}\n\n', '\ufeffdata: {"email":0}\n\n'],
  ['the mark of the end', 'data: [DONE]\n\n:\n\n\n', 'data: [DONE]\n\n:\n\n\n'],
  ['signs of life', 'event: ping\ndata: ping\n\ndata:HEARTBEAT\n\n', 'event: ping\ndata: ping\n\ndata:HEARTBEAT\n\n'],
  ['blanks', `data: ${' '.repeat(80)}\n\n`, `data: ${' '.repeat(80)}\n\n`],
  ['no data', 'data\n\ndata:\n\nevent: x\n\n', 'data\n\ndata:\n\nevent: x\n\n'],
]

for (const [name, clear, masked] of cases) {
  t.test(`events, ${name}: at every split`, async t => {
    for (const pieces of everySplit(Buffer.from(clear))) t.equal(maskPieces(EVENTS, email, pieces), masked)
  })
}

t.test('an event leaves when it has ended', async t => {
  t.equal(
    maskPieces(EVENTS, email, [Buffer.from('data: {"email":"x"}\n\nda'), Buffer.from('ta: 1\n\n')]),
    'data: {"email":"****"}\n\ndata: 1\n\n',
  )
})

t.test('what is no JSON, and fields without a meaning, are refused where fields are masked', async t => {
  for (const text of [
    'data: hello\n\n',
    'data: ping x\n\n',
    'data: {"email":"x"\n\n',
    'data: {"email":"x"',
    'Data: {"email":"x"}\n\n',
    'data : 1\n\n',
    'x\n\n',
  ])
    t.throws(() => maskBody(EVENTS, email, text), { code: 'ERR_GATE_TARGET_PROTOCOL' }, text)
  t.throws(() => maskBody(EVENTS, email, `:${'x'.repeat(4_194_304)}`), { code: 'ERR_GATE_LIMIT' })
})

t.test('detectors search every line, and see through the escapes of JSON', async t => {
  const masks = masksOf(detect(['email']))
  const clear =
    ': ada@example.com\nid: ada@example.com\nfoo: ada@example.com\ndata: {"a":"ada\\u0040example.com"}\n\ndata: to ada@example.com\ndata: x\n\n'
  const masked = ': ****\nid: ****\nfoo: ****\ndata: {"a":"****"}\n\ndata: to ****\ndata: x\n\n'
  for (const pieces of everySplit(Buffer.from(clear))) t.equal(maskPieces(EVENTS, masks, pieces), masked)
})
