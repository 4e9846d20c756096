// Control messages: whatever bytes come, they are one of ours or a GateError.
import { GateError } from '@gate/shared/errors'
import {
  type ControlMessage,
  enrolBytes,
  helloBytes,
  packControl,
  parseStreamMessage,
  type StreamMessage,
  unpackControl,
} from '@gate/shared/messages'
import fc from 'fast-check'
import { Packr } from 'msgpackr'
import t from 'tap'

const text = fc.string({ maxLength: 40, unit: 'binary' })
const name = fc.stringMatching(/^[a-z0-9][a-z0-9._-]{0,20}$/)
const texts = fc.dictionary(
  text.filter(key => key !== '__proto__'),
  text,
  { maxKeys: 4, noNullPrototype: true },
)
const target = fc.record({ name, protocol: text.map(value => value.slice(0, 32)), labels: texts, options: texts })
const error = fc.record(
  { code: fc.constantFrom('ERR_GATE_REFUSED', 'x'), message: text, hint: text, detail: text, fields: texts },
  { requiredKeys: ['code', 'message'], noNullPrototype: true },
)
const type = <T extends string>(value: T): fc.Arbitrary<T> => fc.constant(value)

const control: fc.Arbitrary<ControlMessage> = fc.oneof(
  fc.record({ type: type('challenge'), version: fc.integer(), relay: text, nonce: text }),
  fc.record({
    type: type('hello'),
    version: fc.integer(),
    agent: name,
    signature: text,
    targets: fc.array(target, { maxLength: 3 }),
  }),
  fc.record({
    type: type('welcome'),
    dataToken: text,
    refusedTargets: fc.array(name, { maxLength: 3 }),
    contestedTargets: fc.array(name, { maxLength: 3 }),
  }),
  fc.record({ type: type('refused'), error }),
  fc.record({ type: type('cancel'), stream: text }),
  fc.record({ type: type('cancelled'), stream: text }),
) as fc.Arbitrary<ControlMessage>

const stream: fc.Arbitrary<StreamMessage> = fc.oneof(
  fc.record({ type: type('end') }),
  fc.record({ type: type('error'), error }),
  fc.record({ type: type('notice'), text }),
  fc.record(
    {
      type: type('connect'),
      token: text,
      target: name,
      task: text,
      reason: text,
      breakGlass: fc.boolean(),
      isPeerGone: fc.boolean(),
    },
    { requiredKeys: ['type', 'token', 'target', 'breakGlass', 'isPeerGone'], noNullPrototype: true },
  ),
  fc.record({ type: type('accepted') }),
  fc.record({ type: type('open'), stream: text, target: name, parameters: texts }),
  fc.record({ type: type('opened'), detail: texts }),
) as fc.Arbitrary<StreamMessage>

/** True when the work ends well or with the one error that it may end with. */
function total(work: () => unknown): boolean {
  try {
    work()
    return true
  } catch (thrown) {
    if (thrown instanceof GateError && thrown.code === 'ERR_GATE_PROTOCOL') return true
    throw thrown
  }
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b)
const refused = { code: 'ERR_GATE_PROTOCOL' }

t.test('every message arrives as it was sent', async t => {
  fc.assert(fc.property(control, message => same(unpackControl(packControl(message)), message)))
  fc.assert(fc.property(stream, message => same(parseStreamMessage(JSON.stringify(message)), message)))
  t.pass()
})

t.test('a message with one byte changed, cut or added is another message or an error', async t => {
  const change = fc.record({ at: fc.nat(), byte: fc.nat(255), how: fc.constantFrom('set', 'cut', 'insert') })
  fc.assert(
    fc.property(control, change, (message, { at, byte, how }) => {
      const bytes = packControl(message)
      const index = at % bytes.length
      const rest = bytes.subarray(how === 'insert' ? index : index + 1)
      const changed =
        how === 'cut' ? bytes.subarray(0, index) : Buffer.concat([bytes.subarray(0, index), Buffer.from([byte]), rest])
      return total(() => unpackControl(changed))
    }),
    { numRuns: 2000 },
  )
  fc.assert(
    fc.property(control, message => {
      const bytes = packControl(message)
      return [...bytes.keys()].every(length => {
        try {
          unpackControl(bytes.subarray(0, length))
          return false
        } catch (thrown) {
          return thrown instanceof GateError
        }
      })
    }),
    { numRuns: 50 },
  )
  t.pass()
})

t.test('hostile bytes are a GateError, and the next message is understood as before', async t => {
  // Each begins with a byte of MessagePack that promises much, or with one of msgpackr's own extensions.
  const openings = [
    [0xdd, 0x01, 0xff, 0xff, 0xff],
    [0xdd, 0xff, 0xff, 0xff, 0xff],
    [0xdf, 0xff, 0xff, 0xff, 0xff],
    [0xc6, 0x7f, 0xff, 0xff, 0xff],
    [0xdb, 0xff, 0xff, 0xff, 0xff],
    [0xc9, 0x7f, 0xff, 0xff, 0xff, 0x78],
    [0xd4, 0x72, 0x40, 0x91, 0xa4, 0x74, 0x79, 0x70, 0x65, 0xa3, 0x65, 0x6e, 0x64],
    [0xd5, 0x72, 0x40, 0x00, 0x91, 0xa1, 0x61, 0x01],
    [0xd6, 0x69, 0x00, 0x00, 0x00, 0x01, 0x90],
    [0xd6, 0x70, 0x00, 0x00, 0x00, 0x01],
    [0xc7, 0x04, 0x62, 0x01, 0x02, 0x03, 0x04],
    [0xc7, 0x05, 0x78, 0x92, 0xa1, 0x28, 0xa0],
    [0xc7, 0x01, 0x65, 0x90],
    [0xc7, 0x01, 0x73, 0x90],
    [0xc7, 0x0c, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [0x81, 0xa9, ...Buffer.from('__proto__'), 0x81, 0xa4, ...Buffer.from('type'), 0xa4, ...Buffer.from('held')],
  ].map(bytes => Uint8Array.from(bytes))
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 64 }),
    fc.tuple(fc.constantFrom(...openings), fc.uint8Array({ maxLength: 32 })).map(parts => Buffer.concat(parts)),
  )
  fc.assert(
    fc.property(bytes, text, (hostile, stream) => {
      const message = { type: 'cancel', stream } as const
      return total(() => unpackControl(hostile)) && same(unpackControl(packControl(message)), message)
    }),
    { numRuns: 3000 },
  )
  for (const opening of openings) t.throws(() => unpackControl(opening), refused)
  t.throws(() => unpackControl(Buffer.alloc(64 * 1024, 0x91)), refused, 'a list in a list, 65,536 times')
  t.throws(() => unpackControl(new Uint8Array(0)), refused)
  t.equal(({} as Record<string, unknown>)['type'], undefined, 'no object got a type by the way')
})

t.test('values that are no message are refused', async t => {
  const packr = new Packr({ useRecords: false, mapsAsObjects: true, moreTypes: true })
  const cancel = { type: 'cancel', stream: 's_1' }
  const hello = { type: 'hello', version: 1, agent: 'a', signature: '', targets: [] }
  const wrong: unknown[] = [
    ...[
      null,
      1,
      'cancel',
      [cancel],
      {},
      { type: 'cancel' },
      { type: 'end' },
      new Set(['cancel']),
      new Date(0),
      /a/,
      new Error('x'),
    ],
    ...[0, 1.5, 1n << 40n, null, Number.NaN, ['s']].map(stream => ({ ...cancel, stream })),
    { ...cancel, more: true },
    { ...hello, agent: '../etc' },
    { ...hello, agent: 'A' },
    { ...hello, agent: '' },
    { ...hello, version: 1.5 },
    { ...hello, targets: Array.from({ length: 1001 }, () => ({ name: 'x', protocol: '', labels: {}, options: {} })) },
    { ...hello, targets: [{ name: 'x', protocol: 'p', labels: { a: 1 }, options: {} }] },
    { ...hello, targets: [{ name: 'x', protocol: 'p', labels: {}, options: {}, password: 'x' }] },
    { ...hello, signature: 'x'.repeat(4097) },
  ]
  for (const value of wrong) t.throws(() => unpackControl(packr.pack(value)), refused)
})

t.test('texts on a stream that are no message are refused', async t => {
  const open = { type: 'open', stream: 's', target: 'prod', parameters: {} }
  const connect = { type: 'connect', token: 't', target: 'prod', breakGlass: false, isPeerGone: false }
  const wrong: unknown[] = [
    ...[null, 1, 'end', [], {}, { type: 'END' }, { type: 'cancel', stream: 's' }, { type: 'end', more: 1 }],
    { type: 'notice', text: 'x'.repeat(4097) },
    { ...open, target: 'Prod' },
    { ...open, target: 'a/b' },
    { ...open, parameters: { a: null } },
    { ...connect, target: '../etc' },
    { ...connect, breakGlass: 'yes' },
    { ...connect, token: undefined },
    { type: 'error', error: { code: 'ERR_GATE_REFUSED' } },
    { type: 'error', error: { code: 'x'.repeat(65), message: '' } },
  ]
  for (const value of wrong) t.throws(() => parseStreamMessage(JSON.stringify(value)), refused, JSON.stringify(value))
  for (const broken of ['', '{', '{"type":"end"}{', '\u0000', '['.repeat(60_000), '{"type":"end","type":"x"}'])
    t.throws(() => parseStreamMessage(broken), refused)
  fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), value => total(() => parseStreamMessage(value))))
  const parsed = parseStreamMessage('{"type":"opened","detail":{"__proto__":"x","constructor":"y"}}')
  t.equal(parsed.type === 'opened' && Object.getPrototypeOf(parsed.detail), Object.prototype)
})

t.test('what is signed differs whenever anything that is claimed differs', async t => {
  const relay = 'https://relay.example.com'
  const targets = [{ name: 'prod', protocol: 'postgres', labels: {}, options: {} }]
  const signed = [
    helloBytes(relay, 'nonce', 'agent', targets),
    helloBytes('https://relay.example.com:8443', 'nonce', 'agent', targets),
    helloBytes(relay, 'nonce2', 'agent', targets),
    helloBytes(relay, 'nonce', 'agent2', targets),
    helloBytes(relay, 'nonce', 'agent', []),
    helloBytes(relay, 'nonce","agent', '', targets),
    enrolBytes(relay, 'nonce', 'agent'),
    enrolBytes(relay, 'agent', 'nonce'),
  ].map(String)
  t.equal(new Set(signed).size, signed.length)
  t.same(helloBytes(`${relay}/`, 'n', 'a', []), helloBytes(relay, 'n', 'a', []), 'a relay is its origin')
})
