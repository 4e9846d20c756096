// Detectors in JSON that streams by: behind the masks of fields, in pieces, and never over what is masked already.
import { detectorKinds } from '@gate/relay/mask/detectors'
import { compileJsonDetectors } from '@gate/relay/mask/json'
import { hashText } from '@gate/relay/mask/values'
import fc from 'fast-check'
import t from 'tap'
import { fragments } from '#support/detector-fragments'
import { detect, everySplit, fields, maskBody, maskKey, maskPieces, masksOf } from '#support/masking'

const JSON_TYPE = 'application/json'

const cases: readonly (readonly [name: string, clear: string, masked: string])[] = [
  ['in a text', '{ "a" : "x ada@example.com y" , "b":1.0e5 }', '{ "a" : "x **** y" , "b":1.0e5 }'],
  ['escaped', '["ada\\u0040example.com","\\u00e9\\/"]', '["****","\\u00e9\\/"]'],
  ['a number', '[4111111111111111,12]', '["****",12]'],
  ['a number alone', '4111111111111111', '"****"'],
  ['a name', '{"ada@example.com":{"n":1}}', '{"****":{"n":1}}'],
  ['by the name before it', '{"password":"hunter2hunter","phone":5551234567}', '{"password":"****","phone":"****"}'],
  ['nothing', '{"a":[1,"b",null,true],"\\u0063":"d"}', '{"a":[1,"b",null,true],"\\u0063":"d"}'],
]

for (const [name, clear, masked] of cases) {
  t.test(`detectors in JSON, ${name}: at every split`, async t => {
    const masks = masksOf(detect(['email', 'credit-card', 'secret', 'phone']))
    for (const pieces of everySplit(Buffer.from(clear))) t.equal(maskPieces(JSON_TYPE, masks, pieces), masked)
  })
}

t.test('how what is found is masked', async t => {
  const body = '{"a":"ada@example.com, bob@example.com","n":4111111111111111,"ada@example.com":1}'
  const masked = (...all: Parameters<typeof masksOf>): string => maskBody(JSON_TYPE, masksOf(...all), body)
  const kinds = ['email', 'credit-card']
  t.equal(masked(detect(kinds, 'null')), '{"a":null,"n":null,"****":1}')
  t.equal(masked(detect(kinds, 'fixed', 'a "b"')), '{"a":"a \\"b\\", a \\"b\\"","n":"a \\"b\\"","a \\"b\\"":1}')
  t.equal(
    masked(detect(kinds, 'partial')),
    '{"a":"a***@***.com, b***@***.com","n":"**** **** **** 1111","a***@***.com":1}',
  )
  const hash = hashText(maskKey, Buffer.from('4111111111111111'))
  t.equal(masked(detect(['credit-card'], 'hash')), body.replace('4111111111111111', `"${hash}"`))
})

t.test('what stands in the place of a masked value is not searched again', async t => {
  const body = '{"password":"hunter2hunter","token":{"a":["ada@example.com"]},"b":"bob@example.com \\u0041"}'
  const masks = masksOf(
    fields(['password'], 'hash'),
    fields(['token'], 'fixed', 'ask eve@example.com'),
    detect(['email', 'secret']),
  )
  const hash = hashText(maskKey, Buffer.from('hunter2hunter'))
  t.equal(maskBody(JSON_TYPE, masks, body), `{"password":"${hash}","token":"ask eve@example.com","b":"**** \\u0041"}`)
})

t.test('the first search that finds something counts', async t => {
  const masks = masksOf(detect(['email'], 'fixed', 'eve@example.com'), detect(['email', 'credit-card'], 'null'))
  t.equal(
    maskBody(
      JSON_TYPE,
      masks,
      '["ada@example.com","x",4111111111111111,"\\t4111111111111111 ada@example.com",{"b":"ada@example.com"}]',
    ),
    '["eve@example.com","x",null,null,{"b":"eve@example.com"}]',
  )
})

t.test('a document of many pieces: the same wherever it is split', async t => {
  const rows = Array.from({ length: 1_500 }, (_, id) => ({
    id,
    email: `ada${id}@example.com`,
    note: 'é'.repeat(id % 40),
    ssn: '123',
  }))
  const body = Buffer.from(JSON.stringify(rows))
  const masks = masksOf(fields(['ssn'], 'hash'), detect(['email']))
  const hash = hashText(maskKey, Buffer.from('123'))
  const masked = JSON.stringify(rows.map(row => ({ ...row, email: '****', ssn: hash })))
  for (const size of [1, 7, 16_384, 50_000, body.length]) {
    const pieces = Array.from({ length: Math.ceil(body.length / size) }, (_, index) =>
      body.subarray(index * size, (index + 1) * size),
    )
    t.ok(maskPieces(JSON_TYPE, masks, pieces) === masked, `pieces of ${size}`)
  }
})

t.test('a document that is longer than what is searched at once, in short pieces', async t => {
  const rows = Array.from({ length: 30_000 }, (_, id) => ({ id, email: `ada${id}@example.com` }))
  const body = Buffer.from(JSON.stringify(rows))
  t.ok(body.length > 1_048_576)
  const pieces = Array.from({ length: Math.ceil(body.length / 4_000) }, (_, index) =>
    body.subarray(index * 4_000, (index + 1) * 4_000),
  )
  const masked = JSON.stringify(rows.map(row => ({ ...row, email: '****' })))
  t.ok(maskPieces(JSON_TYPE, masksOf(detect(['email'])), pieces) === masked)
})

t.test('a value that is too long to be searched is refused', async t => {
  const masks = masksOf(detect(['email']))
  const long = `["${'x'.repeat(1_048_576)}"]`
  t.throws(() => maskBody(JSON_TYPE, masks, long), { code: 'ERR_GATE_LIMIT' })
  t.throws(() => maskPieces(JSON_TYPE, masks, [Buffer.from(long.slice(0, 9)), Buffer.from(long.slice(9))]), {
    code: 'ERR_GATE_LIMIT',
  })
})

t.test('lines leave when they are whole, and records have searches of their own', async t => {
  const masks = masksOf(detect(['email']))
  for (const pieces of everySplit(Buffer.from('{"a":"ada@example.com"}\n"ada@example.com"\n')))
    t.equal(maskPieces('application/x-ndjson', masks, pieces), '{"a":"****"}\n"****"\n')
  t.equal(maskBody('application/json-seq', masks, '\u001e"ada@example.com"\n\u001e1\n'), '\u001e"****"\n\u001e1\n')
})

const document = fc.oneof(
  fc.json({ maxDepth: 3, stringUnit: 'binary' }),
  fc
    .object({
      key: fc.oneof(fragments, fc.constantFrom('password', 'phone', 'ssn', 'token')),
      maxDepth: 3,
      values: [fragments, fc.integer(), fc.maxSafeInteger(), fc.boolean()],
    })
    .map(value => JSON.stringify(value)),
)

t.test('any document: what searching it at once gives, and JSON', async t => {
  const whole = compileJsonDetectors(detectorKinds, { with: 'redact' })
  const masks = masksOf(detect(detectorKinds))
  fc.assert(
    fc.property(document, text => {
      const body = Buffer.from(Buffer.from(text).toString('utf8'))
      const masked = maskBody(JSON_TYPE, masks, body)
      JSON.parse(masked)
      const once = (whole(body) ?? body).toString('utf8')
      t.ok(masked === once || JSON.parse(once) === '****', masked)
    }),
    { numRuns: 600 },
  )
})

t.test('any document and masks of all kinds: JSON again, and the same at every split', async t => {
  const kind = fc.constantFrom(
    'redact' as const,
    'partial' as const,
    'hash' as const,
    'null' as const,
    'fixed' as const,
  )
  const kinds = fc.subarray([...detectorKinds], { minLength: 1 })
  fc.assert(
    fc.property(
      document,
      fc.array(fc.tuple(kinds, kind), { minLength: 1, maxLength: 3 }),
      kind,
      fc.nat(),
      (text, all, as, place) => {
        const masks = masksOf(
          fields(['*.*', 'password', 'phone'], as, '"x"'),
          ...all.map(([some, how]) => detect(some, how, 'ada@example.com')),
        )
        const body = Buffer.from(text)
        const masked = maskBody(JSON_TYPE, masks, body)
        JSON.parse(masked)
        const at = place % (body.length + 1)
        t.equal(maskPieces(JSON_TYPE, masks, [body.subarray(0, at), body.subarray(at)]), masked)
      },
    ),
    { numRuns: 300 },
  )
})
