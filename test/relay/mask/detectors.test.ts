// What each detector finds and does not, and what every one of them holds for: nothing else changes, and nothing comes back.
import { compileDetectors, compileFinder, type DetectorKind, detectorKinds } from '@gate/relay/mask/detectors'
import { hashText } from '@gate/relay/mask/values'
import { GateError } from '@gate/shared/errors'
import fc from 'fast-check'
import t from 'tap'
import { fragments } from '#support/detector-fragments'
import { sample } from '#support/detector-sample'

const redact = (kinds: readonly string[], text: string): string => {
  const value = Buffer.from(text)
  return (compileDetectors(kinds, { with: 'redact' })(value) ?? value).toString()
}

/** `clear → masked`; equal means that nothing may be found. */
const cases: Readonly<Record<DetectorKind, readonly (readonly [clear: string, masked: string])[]>> = {
  'credit-card': [
    ['card 4111 1111 1111 1111 123', 'card **** 123'],
    ['4111-1111-1111-1111', '****'],
    ['3782 822463 10005', '****'],
    ['6011111111111117,5500005555555559', '****,****'],
    ['4111111111111111.0', '****.0'],
    ['4.111111111111111e15', '****'],
    ['4111111111111112', '4111111111111112'],
    ['14111111111111111', '14111111111111111'],
    ['41111111111111110', '41111111111111110'],
    ['0.4111111111111111', '0.4111111111111111'],
    ['x4111111111111111', 'x4111111111111111'],
    ['2023 4111 1111 1111 1111', '2023 ****'],
  ],
  email: [
    ['mail ada@example.com, now', 'mail ****, now'],
    ['a@b.co,c@d.co', '****,****'],
    ['<jos\u00e9@b\u00fccher.example>', '<****>'],
    ['\u8bf7\u67e5\u6536\u3000ada@example.com\u3000\u8c22\u8c22', '\u8bf7\u67e5\u6536\u3000****\u3000\u8c22\u8c22'],
    ['?to=ada%40example.com&x=1', '?to=****&x=1'],
    ['ada\\u0040example.com', '****'],
    ['ada@example.com.', '****.'],
    ['icon@2x.png user@localhost lodash@4.17.21 @ada', 'icon@2x.png user@localhost lodash@4.17.21 @ada'],
    ['postgres://ada:pw@db.example.com/', 'postgres://ada:pw@db.example.com/'],
  ],
  'us-ssn': [
    ['123-45-6789', '****'],
    ['SSN: 123456789', 'SSN: ****'],
    ['"ssn":"123 45 6789"', '"ssn":"****"'],
    [
      '000-12-3456 666-12-3456 900-12-3456 123-00-4567 123-45-0000',
      '000-12-3456 666-12-3456 900-12-3456 123-00-4567 123-45-0000',
    ],
    ['123456789', '123456789'],
    ['"ssn":null,"id":123456789', '"ssn":null,"id":123456789'],
    ['123-45-6789-01', '123-45-6789-01'],
  ],
  iban: [
    ['DE89 3704 0044 0532 0130 00', '****'],
    ['to GB82WEST12345698765432.', 'to ****.'],
    ['gb82-west-1234-5698-7654-32', '****'],
    ['be92a118-9c3a-4f1e-8b7d-0a1b2c3d4e5f', 'be92a118-9c3a-4f1e-8b7d-0a1b2c3d4e5f'],
    ['DE88370400440532013000', 'DE88370400440532013000'],
    ['XDE89370400440532013000', 'XDE89370400440532013000'],
  ],
  phone: [
    ['call +1 (212) 555-0123 x45', 'call **** x45'],
    ['+442079460958', '****'],
    ['(212) 555-0123 or 212.555.0123', '**** or ****'],
    ['Tel. 5551234567', 'Tel. ****'],
    ['{"phone":"5551234","order":"5551234"}', '{"phone":"****","order":"5551234"}'],
    ['5551234567 2023-11-23 10:15', '5551234567 2023-11-23 10:15'],
    ['phone order 5551234567', 'phone order 5551234567'],
    ['+1 999 points, +0530, $212-555-0123', '+1 999 points, +0530, $212-555-0123'],
  ],
  ip: [
    ['10.0.0.1:8080 and 10.0.0.0/8', '****:8080 and ****/8'],
    ['[2001:db8::1]:443', '[****]:443'],
    ['::1 fe80::1%eth0 ::ffff:10.0.0.1.', '**** ****%eth0 ****.'],
    [
      '256.1.1.1 1.2.3 1.2.3.4.5 v1.2.3.4 12:30:45 ab::cd std::x ::',
      '256.1.1.1 1.2.3 1.2.3.4.5 v1.2.3.4 12:30:45 ab::cd std::x ::',
    ],
  ],
  'api-key': [
    [`x AK${'IA'}ABCDEFGHIJKLMNOP y`, 'x **** y'],
    [`gh${'p'}_${'aB3'.repeat(12)}`, '****'],
    [`my-gh${'p'}_${'aB3'.repeat(12)}`, `my-gh${'p'}_${'aB3'.repeat(12)}`],
    ['sk-learn-and-all-the-other-packages', 'sk-learn-and-all-the-other-packages'],
  ],
  jwt: [
    ['Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIxMjM0In0.', 'Bearer ****.'],
    ['eyJ0eXAiOiJ0ZXh0In0.eyJzdWIiOiIxMjM0In0.x', 'eyJ0eXAiOiJ0ZXh0In0.eyJzdWIiOiIxMjM0In0.x'],
  ],
  'private-key': [
    [`a -----BEGIN ${''}PRIVATE KEY-----\\nMIIEabcdefghijklmnop\\n-----END ${''}PRIVATE KEY----- b`, 'a **** b'],
    [`a -----BEGIN ${''}RSA PRIVATE KEY-----\nMIIEabcdefghijklmnop\nabc"`, 'a ****"'],
    ['-----BEGIN PUBLIC KEY-----\nMIIEabcdefghijklmnop', '-----BEGIN PUBLIC KEY-----\nMIIEabcdefghijklmnop'],
    ['it says -----BEGIN PRIVATE KEY----- first', 'it says -----BEGIN PRIVATE KEY----- first'],
  ],
  secret: [
    ['password=hunter2hunter', 'password=****'],
    ['{"db-password": "s3cret \\\\value99", "a": 1}', '{"db-password": "****", "a": 1}'],
    ['postgres://app:s3cr3t@db/x', 'postgres://app:****@db/x'],
    ['Authorization: Basic dXNlcjpwYXNzd29yZDEy', 'Authorization: Basic ****'],
    ['password=$DB_PASSWORD token: string secret: app-tls-2', 'password=$DB_PASSWORD token: string secret: app-tls-2'],
    ['password=**** token="j****z"', 'password=**** token="j****z"'],
  ],
}

for (const kind of detectorKinds) {
  t.test(`${kind}: exactly what is one is replaced`, async t => {
    for (const [clear, masked] of cases[kind]) t.equal(redact([kind], clear), masked, clear)
  })
}

t.test('what is left of a value is what the mask says', async t => {
  const mask = (replacement: Parameters<typeof compileDetectors>[1], text: string): string | undefined =>
    compileDetectors(['email', 'credit-card'], replacement)(Buffer.from(text))?.toString()
  const key = Buffer.alloc(32, 1)
  const text = 'ada@example.com pays with 4111 1111 1111 1111.'
  t.equal(mask({ with: 'partial' }, text), 'a***@***.com pays with **** **** **** 1111.')
  t.equal(mask({ with: 'fixed', value: '[\u2026]' }, text), '[\u2026] pays with [\u2026].')
  t.equal(mask({ with: 'hash', key }, 'ada@example.com!'), `${hashText(key, Buffer.from('ada@example.com'))}!`)
})

t.test('findings that overlap become one, and each keeps its kind otherwise', async t => {
  const find = compileFinder(['email', 'credit-card', 'secret'])
  t.same(find(Buffer.from('4111111111111111@example.com')), [{ kind: 'email', start: 0, end: 28 }])
  t.same(find(Buffer.from('a@b.co 4111111111111111')), [
    { kind: 'email', start: 0, end: 6 },
    { kind: 'credit-card', start: 7, end: 23 },
  ])
})

t.test('a detector that does not exist is refused, also by the name of a property of objects', async t => {
  for (const kind of ['credit', '', '__proto__', 'constructor']) {
    t.throws(() => compileFinder([kind]), { code: 'ERR_GATE_CONFIG' }, kind)
  }
})

t.test('bytes that are no UTF-8 stay as they are around what is found', async t => {
  const value = Buffer.concat([
    Buffer.from([0xff, 0x80]),
    Buffer.from('ada@example.com'),
    Buffer.from([0xc3, 0xed, 0xa0]),
  ])
  const masked = compileDetectors(['email'], { with: 'redact' })(value)
  t.same(masked, Buffer.concat([Buffer.from([0xff, 0x80]), Buffer.from('****'), Buffer.from([0xc3, 0xed, 0xa0])]))
})

const kindSets = fc.subarray([...detectorKinds], { minLength: 1 })

t.test('for any bytes: nothing is thrown, and what was masked holds nothing more', async t => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map(array => Buffer.from(array)),
    fragments.map(text => Buffer.from(text)),
  )
  fc.assert(
    fc.property(bytes, kindSets, (value, kinds) => {
      const before = Buffer.from(value)
      const masked = compileDetectors(kinds, { with: 'redact' })(value)
      if (!before.equals(value)) throw new Error('the value itself was changed')
      if (masked === undefined) return
      const again = compileFinder(kinds)(masked)
      if (again !== undefined)
        throw new Error(`${JSON.stringify(before.toString())} → ${masked} holds ${JSON.stringify(again)}`)
    }),
    { numRuns: 3000 },
  )
  t.pass()
})

t.test('for any bytes: only what was found changes, and findings are whole characters', async t => {
  fc.assert(
    fc.property(fragments, kindSets, (text, kinds) => {
      const value = Buffer.from(text)
      const findings = compileFinder(kinds)(value) ?? []
      let masked = ''
      let copied = 0
      for (const { start, end } of findings) {
        if (start < copied || end <= start || end > value.length) throw new Error('findings out of order')
        masked += `${value.toString('utf8', copied, start)}****`
        copied = end
      }
      const expected = masked + value.toString('utf8', copied)
      if (redact(kinds, text) !== expected || expected.includes('\ufffd') !== text.includes('\ufffd')) {
        throw new Error(`${JSON.stringify(text)} became ${JSON.stringify(redact(kinds, text))}`)
      }
    }),
    { numRuns: 1500 },
  )
  t.pass()
})

t.test('the whole sample, masked for all kinds, holds nothing more and is masked the same again', async t => {
  const mask = compileDetectors(detectorKinds, { with: 'redact' })
  for (const { text } of sample(detectorKinds)) {
    const masked = mask(Buffer.from(text))
    if (masked !== undefined && mask(masked) !== undefined) t.fail(`${text} → ${masked} → ${mask(masked)}`)
  }
  t.pass()
})

t.test('a GateError is the only error there is', async t => {
  try {
    compileDetectors(['nothing'], { with: 'redact' })
    t.fail('no error')
  } catch (error) {
    t.ok(error instanceof GateError)
  }
})
