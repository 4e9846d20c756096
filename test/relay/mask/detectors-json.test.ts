// Detectors inside JSON: escapes are seen through, the rest keeps its bytes, and JSON stays JSON.
import { compileDetectors, detectorKinds } from '@gate/relay/mask/detectors'
import { compileJsonDetectors, maskJson } from '@gate/relay/mask/json'
import { hashText } from '@gate/relay/mask/values'
import fc from 'fast-check'
import t from 'tap'
import { fragments } from '#support/detector-fragments'

const redact = compileJsonDetectors(detectorKinds, { with: 'redact' })

const cases: readonly (readonly [name: string, clear: string, masked: string | undefined])[] = [
  ['an address in a string', '{ "a" : "x ada@example.com y" , "b":1.0e5 }', '{ "a" : "x **** y" , "b":1.0e5 }'],
  ['an escaped @', '{"a":"ada\\u0040example.com","b":"\\u00e9\\/\\n"}', '{"a":"****","b":"\\u00e9\\/\\n"}'],
  [
    'every letter escaped',
    `"${[...'ada@example.com'].map(c => `\\u00${c.charCodeAt(0).toString(16)}`).join('')}"`,
    '"****"',
  ],
  ['a newline before a card', '{"a":"card\\n4111111111111111\\t"}', '{"a":"card\\n****\\t"}'],
  ['a card that is a number', '[4111111111111111, 12,-4111111111111111]', '["****", 12,"****"]'],
  ['a card with a fraction of nothing', '{"n":4111111111111111.0}', '{"n":"****"}'],
  ['a document that is one number', '4111111111111111', '"****"'],
  ['the name of a member', '{"ada@example.com":{"n":1}}', '{"****":{"n":1}}'],
  [
    'a key with newlines',
    `{"k":"-----BEGIN ${''}PRIVATE KEY-----\\nMIIEabcdefghijklmnop\\n-----END ${''}PRIVATE KEY-----\\n"}`,
    '{"k":"****\\n"}',
  ],
  ['a secret by its name', '{"password":"hunter\\"2\\\\hunter","user":"ada"}', '{"password":"****","user":"ada"}'],
  [
    'a secret in JSON in JSON',
    '{"body":"{\\"password\\":\\"hunter2hunter\\",\\"n\\":1}"}',
    '{"body":"{\\"password\\":\\"****\\",\\"n\\":1}"}',
  ],
  ['a telephone by the name of its member', '{"phone":5551234567,"id":5551234567}', '{"phone":"****","id":5551234567}'],
  ['a string that ends where a secret could begin', '{"a":"password=","b":"x=y1z2w3v4u5\'"}', undefined],
  ['a single quote that is never closed', '["password=\'hunter2hunter","b\'"]', '["password=\'****","b\'"]'],
  ['a block that begins in a name', `{"-----BEGIN ":"${''}PRIVATE KEY-----ABCDEFGHIJKLMNOP"}`, undefined],
  ['no JSON', '{"a":"ada@example.com", b}', '{"a":"****", b}'],
  ['no JSON, with an escape', '{"a":"ada\\u0040example.com', '{"a":"****'],
  [
    'letters of other scripts around',
    '{"\u00e9":"\u8bf7 ada@example.com \u{1f600}\\ud83d"}',
    '{"\u00e9":"\u8bf7 **** \u{1f600}\\ud83d"}',
  ],
]

for (const [name, clear, masked] of cases) {
  t.test(`JSON: ${name}`, async t => {
    t.equal(maskJson(clear, redact), masked)
    if (masked !== undefined) t.equal(maskJson(masked, redact), undefined)
  })
}

t.test('replacements are escaped, and a value has one hash however it is written', async t => {
  const key = Buffer.alloc(32, 3)
  const fixed = compileJsonDetectors(['email'], { with: 'fixed', value: 'a "b"\\\n' })
  t.equal(maskJson('["ada@example.com"]', fixed), '["a \\"b\\"\\\\\\n"]')
  const hash = compileJsonDetectors(['email', 'credit-card'], { with: 'hash', key })
  const digest = hashText(key, Buffer.from('ada@example.com'))
  t.equal(maskJson('["ada@example.com","ada\\u0040example.com"]', hash), `["${digest}","${digest}"]`)
  t.equal(maskJson('[4111111111111111]', hash), `["${hashText(key, Buffer.from('4111111111111111'))}"]`)
})

t.test('a document that holds nothing is not copied', async t => {
  for (const text of ['{"a":[1,2,{"b":"c\\n"}]}', '[]', '""', 'null', '', '{"password":null,"token":true}']) {
    t.equal(redact(Buffer.from(text)), undefined, text)
  }
})

t.test('a document as deep as it likes does not fail', async t => {
  const deep = `${'['.repeat(200_000)}"\\u0061da@example.com"${']'.repeat(200_000)}`
  t.equal(maskJson(deep, redact)?.includes('example'), false)
})

const document = fc.json({ maxDepth: 3, stringUnit: 'binary' })
const rich = fc
  .object({
    key: fc.oneof(fragments, fc.constantFrom('password', 'phone', 'ssn', 'token')),
    values: [
      fragments,
      fc.integer(),
      fc.constantFrom(4111111111111111, 5551234567, 123456789),
      fc.boolean(),
      fc.constant(null),
    ],
    maxDepth: 2,
  })
  .chain(value =>
    fc.constantFrom(JSON.stringify(value), JSON.stringify(value, undefined, 2), escapeAll(JSON.stringify(value))),
  )

/** Writes every letter and sign inside strings as an escape that means the same. */
function escapeAll(json: string): string {
  return json.replace(/"(?:[^"\\]|\\.)*"/g, text =>
    text
      .slice(1, -1)
      .replace(/\\u[0-9a-f]{4}|\\.|[\s\S]/g, part =>
        part.length > 1 ? part : `\\u${part.charCodeAt(0).toString(16).padStart(4, '0')}`,
      )
      .replace(/^[\s\S]*$/, inside => `"${inside}"`),
  )
}

/**
 * The document's brackets, commas, colons and booleans, in order: what masking must leave. Read from the text, since
 * `JSON.parse` makes one member of two names that were masked alike.
 */
function shape(json: string): string {
  return json.replace(/"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|null/g, '0').replace(/\s+/g, '')
}

t.test('for any document: JSON stays JSON of the same shape, and what was masked holds nothing more', async t => {
  fc.assert(
    fc.property(fc.oneof(document, rich), text => {
      const masked = maskJson(text, redact)
      if (masked === undefined) return
      JSON.parse(masked)
      if (shape(masked) !== shape(text)) throw new Error(`another shape: ${text} → ${masked}`)
      const again = maskJson(masked, redact)
      if (again !== undefined) throw new Error(`${text} → ${masked} → ${again}`)
    }),
    { numRuns: 1500 },
  )
  t.pass()
})

t.test('a string in JSON is masked as the same text is, escaped or not', async t => {
  const kinds = detectorKinds.filter(kind => kind !== 'secret')
  const text = compileDetectors(kinds, { with: 'redact' })
  const json = compileJsonDetectors(kinds, { with: 'redact' })
  fc.assert(
    fc.property(
      fragments.filter(value => !/["\\]/.test(value)),
      value => {
        const plain = Buffer.from(value)
        const expected = (text(plain) ?? plain).toString()
        for (const form of [JSON.stringify([value]), escapeAll(JSON.stringify([value]))]) {
          const [masked] = JSON.parse(maskJson(form, json) ?? form) as [string]
          if (masked !== expected) throw new Error(`${form} became ${masked}, not ${expected}`)
        }
      },
    ),
    { numRuns: 1000 },
  )
  t.pass()
})
