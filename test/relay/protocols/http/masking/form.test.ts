// Members of forms: names in any encoding, with brackets and dots, and any split.
import { hashText } from '@gate/relay/mask/values'
import fc from 'fast-check'
import t from 'tap'
import { detect, everySplit, fields, maskBody, maskKey, maskPieces, masksOf } from '#support/masking'

const FORM = 'application/x-www-form-urlencoded'
const masks = masksOf(fields(['email', 'user.email', '**.pan']))

const cases: readonly (readonly [name: string, clear: string, masked: string])[] = [
  ['a member', 'a=1&email=ada%40example.com&b=%7e+', 'a=1&email=****&b=%7e+'],
  ['a name, encoded or in another case', '%65mail=x&e%6Dail=y&Email=z', '%65mail=****&e%6Dail=****&Email=****'],
  [
    'brackets',
    'user[email]=x&user%5Bemail%5D=y&user[name]=z&email[]=v&email[0]=w',
    'user[email]=****&user%5Bemail%5D=****&user[name]=z&email[]=****&email[0]=****',
  ],
  ['dots', 'user.email=x&x.pan=y', 'user.email=****&x.pan=****'],
  ['twice, empty, and no name', 'email=&email=1=2&&=x', 'email=****&email=****&&=x'],
  ['blanks and NUL in names', '+email=1&email%00=2&email+%00x=3', '+email=****&email%00=****&email+%00x=****'],
]

for (const [name, clear, masked] of cases) {
  t.test(`a form, ${name}: at every split`, async t => {
    for (const pieces of everySplit(Buffer.from(clear))) t.equal(maskPieces(FORM, masks, pieces), masked)
  })
}

t.test('how a member is masked', async t => {
  const masked = (...all: Parameters<typeof masksOf>): string =>
    maskBody(FORM, masksOf(...all), 'e=ada%40example.com&n=%31')
  t.equal(masked(fields(['e'], 'fixed', 'a&b=c é')), 'e=a%26b%3Dc+%C3%A9&n=%31')
  t.equal(masked(fields(['e'], 'null')), 'e=&n=%31')
  t.equal(masked(fields(['e'], 'hash')), `e=${hashText(maskKey, Buffer.from('ada@example.com'))}&n=%31`)
  t.equal(
    masked(detect(['email'], 'partial')),
    `e=${new URLSearchParams({ '': 'a***@***.com' }).toString().slice(1)}&n=%31`,
  )
  t.equal(maskBody(FORM, masksOf(detect(['email'])), 'ada%40example.com&b%40example.com=1'), '****&****=1')
})

t.test('a document in a member', async t => {
  const masks = masksOf(fields(['**.email']))
  t.equal(
    maskBody('application/x-www-form-urlencoded', masks, 'payload=%7B%22email%22%3A%22x%22%7D&b=%7B%22c%22%3A1%7D'),
    'payload=%7B%22email%22%3A%22****%22%7D&b=%7B%22c%22%3A1%7D',
  )
})

t.test('what encodes nothing is refused', async t => {
  for (const text of ['%=1', 'a=%zz', '%c3=1', 'a=%ff', 'a=%e9'])
    t.throws(() => maskBody(FORM, masks, text), { code: 'ERR_GATE_TARGET_PROTOCOL' }, text)
  t.throws(() => maskBody(FORM, masks, `a=${'x'.repeat(1_048_576)}`), { code: 'ERR_GATE_LIMIT' })
})

t.test('what only calls itself a form is refused', async t => {
  for (const text of [
    ...[
      '{"email": "ann@secret.example"}',
      'id,email\n1,ann@secret.example\n',
      'a=1;email=x',
      'email',
      'a=1&123-45-6789',
    ],
    ...['a=<b>', 'a="b"', 'a=ü', 'a=b c'],
  ])
    t.throws(() => maskBody(FORM, masks, text), { code: 'ERR_GATE_TARGET_PROTOCOL' }, text)
})

t.test('any form: as if its parsed members were masked', async t => {
  const text = fc.string({ unit: 'grapheme', maxLength: 6 })
  const name = fc.oneof(fc.constantFrom('email', 'a', 'user[email]'), text)
  fc.assert(
    fc.property(fc.array(fc.tuple(name, text)), fc.nat(), (members, place) => {
      const body = Buffer.from(new URLSearchParams(members).toString())
      const at = place % (body.length + 1)
      const masked = maskPieces(FORM, masksOf(fields(['email', 'user.email'])), [
        body.subarray(0, at),
        body.subarray(at),
      ])
      const hidden = members.map(([key, value]) =>
        ['email', 'user[email]'].includes(key) ? [key, '****'] : [key, value],
      )
      t.same(
        [...new URLSearchParams(masked)].filter(([key]) => !/[.[\]]/.test(key) || key === 'user[email]'),
        hidden.filter(([key = '']) => !/[.[\]]/.test(key) || key === 'user[email]'),
      )
    }),
  )
})
