// Masks over plain text: what is left of a value, and that nothing else of it is.
import { createHmac } from 'node:crypto'
import { hashBytes, hashText, partialText, REDACTED_TEXT } from '@gate/relay/mask/values'
import fc from 'fast-check'
import t from 'tap'

t.test('a partial value keeps what people recognise it by', async t => {
  const expected: [string, string][] = [
    ['jane.doe@example.com', 'j***@***.com'],
    ['Jürgen@münchen.example.рф', 'J***@***.рф'],
    ['😀@example.museum', '😀***@***.museum'],
    ['root@localhost', 'r***@***'],
    ['4111 1111 1111 1182', '**** **** **** 1182'],
    ['4111-1111-1111-1182', '**** **** **** 1182'],
    ['378282246310005', '**** **** **** 0005'],
    ['a secret', 'a****t'],
    ['😀bcdef😎', '😀****😎'],
    ['secret', 's****t'],
    ['short', REDACTED_TEXT],
    ['', REDACTED_TEXT],
    ['@example.com', '@****m'],
    ['a@.aa', 'a***@***'],
    ['a@b.aa', 'a***@***.aa'],
    [`a@b.${'c'.repeat(24)}`, `a***@***.${'c'.repeat(24)}`],
    [`a@b.${'c'.repeat(25)}`, 'a***@***'],
  ]
  for (const [value, masked] of expected) t.equal(partialText(value), masked, value)
})

t.test('a partial value gives away no more than that, however it looks', async t => {
  // Each of these showed what stands behind its last dot or between few characters.
  t.equal(partialText('write to me @ home. My password is hunter2'), 'w****2')
  t.equal(partialText('p@ss.w0rd-of-mine'), 'p***@***')
  t.equal(partialText('AKIA@1.c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0'), 'A***@***')
  t.equal(partialText('a@b\n.c'), 'a****c')
  t.equal(partialText('😀😎🤖'), REDACTED_TEXT, 'three characters are few, however many bytes they have')
  const character = fc.constantFrom('a', 'Z', '7', '@', '.', ' ', '-', '\n', 'é', '😀', '\u0301', '\u200d')
  const value = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(character, { maxLength: 30 }).map(parts => parts.join('')),
  )
  fc.assert(
    fc.property(value, text => {
      const masked = partialText(text)
      const characters = [...text]
      const first = characters[0] ?? ''
      const last = characters.at(-1) ?? ''
      const forms = [
        masked === REDACTED_TEXT,
        characters.length >= 6 && masked === `${first}****${last}`,
        /^[^\s@]+@[^\s@]+$/.test(text) && masked === `${first}***@***`,
        /^[^\s@]+@[^\s@]+\.\p{L}{2,24}$/u.test(text) &&
          masked === `${first}***@***${text.slice(text.lastIndexOf('.'))}`,
        /^[\d -]{12,}$/.test(text) && masked === `**** **** **** ${text.replace(/\D/g, '').slice(-4)}`,
      ]
      return forms.includes(true)
    }),
    { numRuns: 2000 },
  )
})

t.test('the middle of a value changes nothing, so that neither its length nor its content is told', async t => {
  const ends = fc.tuple(fc.constantFrom('a', '😀', 'Ж'), fc.constantFrom('z', '😎', '9'))
  const middle = fc.stringMatching(/^[a-z ]{6,60}$/)
  fc.assert(
    fc.property(ends, middle, middle, ([first, last], a, b) => {
      return partialText(first + a + last) === partialText(first + b + last)
    }),
  )
  t.pass()
})

t.test('a partial value takes time linear in its length', async t => {
  const began = performance.now()
  for (const text of ['@', '.', '1 ', 'a@', '-', 'a.'].map(piece => piece.repeat(500_000))) partialText(text)
  t.ok(performance.now() - began < 5_000)
})

t.test('a hash is the same for equal values under one key, and for nothing else', async t => {
  const key = Buffer.alloc(32, 1)
  t.equal(hashText(key, Buffer.from('alice')), createHmac('sha256', key).update('alice').digest('hex').slice(0, 16))
  t.equal(hashBytes(key, Buffer.from('alice')).length, 32)
  fc.assert(
    fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
      const same = Buffer.compare(a, b) === 0
      return (hashText(key, a) === hashText(key, b)) === same && hashText(key, a) !== hashText(Buffer.alloc(32, 2), a)
    }),
  )
})
