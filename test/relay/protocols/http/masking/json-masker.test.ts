// Fields of JSON: whatever the document and however it comes, what is named is masked and the rest keeps its bytes.

import { isUtf8 } from 'node:buffer'
import { hashText } from '@gate/relay/mask/values'
import { type BodyMasks, bodyMasker } from '@gate/relay/protocols/http/masking/body'
import { canonicalJsonNumber } from '@gate/relay/protocols/http/masking/json-values'
import { GateError } from '@gate/shared/errors'
import type { FieldMaskObligation } from '@gate/shared/model'
import fc from 'fast-check'
import t from 'tap'
import { everySplit, fields, type Json, maskBody, maskedFields, maskKey, maskPieces, masksOf } from '#support/masking'

const JSON_TYPE = 'application/json'
const email = masksOf(fields(['**.email']))

function thrown(run: () => unknown): unknown {
  try {
    run()
  } catch (error) {
    return error
  }
  return undefined
}

const cases: readonly (readonly [name: string, patterns: readonly string[], clear: string, masked: string])[] = [
  ['a member', ['a.email'], '{ "a" : {"email":\t"x", "b":1.0e5} }\n', '{ "a" : {"email":\t"****", "b":1.0e5} }\n'],
  ['an escaped name', ['email'], '{"\\u0065m\\u0061il":"x","e\\/":1}', '{"\\u0065m\\u0061il":"****","e\\/":1}'],
  ['a name in any case', ['email'], '{"Email":"x","\\u0045MAIL":"y"}', '{"Email":"****","\\u0045MAIL":"****"}'],
  ['another name', ['email'], '{"e+mail":"x","emails":"y","emai":"z"}', '{"e+mail":"x","emails":"y","emai":"z"}'],
  [
    'words of a name, prefixes and addresses',
    ['**.patient_id'],
    '{"patientId":"x","Patient-ID":"x","ns:patient id":"x","http://a.example/#patient_id":"x","_":"y","id":"y"}',
    '{"patientId":"****","Patient-ID":"****","ns:patient id":"****","http://a.example/#patient_id":"****","_":"y","id":"y"}',
  ],
  [
    'a name with dots',
    ['user.email', '*.etag'],
    '{"user.email":"x","user.name":"y","\\u002euser.email":"z","@odata.etag":"1","user":{"email.at":"w"}}',
    '{"user.email":"****","user.name":"y","\\u002euser.email":"****","@odata.etag":"****","user":{"email.at":"****"}}',
  ],
  [
    'a document in a text',
    ['**.email'],
    '{"a":"{\\"email\\":\\"x\\",\\"b\\":[1]}","c":["\\n [{\\u0022Email\\":1}]"],"d":"{\\"b\\": 1}","e":"{email: x}"}',
    '{"a":"{\\"email\\":\\"****\\",\\"b\\":[1]}","c":["\\n [{\\"Email\\":0}]"],"d":"{\\"b\\": 1}","e":"{email: x}"}',
  ],
  [
    'a document in a text by its path, within each other',
    ['a.b.c'],
    JSON.stringify({ a: JSON.stringify({ b: JSON.stringify(JSON.stringify({ c: 'x', d: 'y' })) }), b: '{"c":1}' }),
    JSON.stringify({ a: JSON.stringify({ b: JSON.stringify(JSON.stringify({ c: '****', d: 'y' })) }), b: '{"c":1}' }),
  ],
  [
    'documents in a text, lines, and one that is cut off',
    ['**.email'],
    JSON.stringify(['{"email":"x"}\n{"email":"y"}', '{"email":"x","b', '{"b":1} email', '[note] {"b"', ' ', '\\', '']),
    JSON.stringify(['{"email":"****"}\n{"email":"****"}', '****', '{"b":1} email', '[note] {"b"', ' ', '\\', '']),
  ],
  [
    'documents in a text that are not quite JSON, and one behind a mark',
    ['**.email'],
    JSON.stringify([
      '{"a":NaN,"email":"x"}',
      '{"a":1,/**/"e\\u006dail" : "x"}',
      '{"a":NaN,"b":"x"}',
      '\ufeff{"email":"x"}',
    ]),
    JSON.stringify(['****', '****', '{"a":NaN,"b":"x"}', '\ufeff{"email":"****"}']),
  ],
  [
    'documents in a text behind what is no word of a language',
    ['**.email'],
    JSON.stringify([
      ...['\u001e', '\0', '\u00a0', '\u2028\u200b', '1\n', '-1.5e3 null\ntrue ', ")]}',\n", '"a"\n', '// '].map(
        each => `${each}{"email":"x","b":1}`,
      ),
      ...[
        '{"b":1}\u001e{"email":"x"}',
        "{'email': 'x'}",
        '{"a":NaN,"\\uff45mail":"x"}',
        '{ /* "b" */ "email":"x"}',
        '[{"Email" => "x"}]',
      ],
      ...['12 "b" {}', 'note 1 {"email"', 'trueish {"email":1}', `${'1,'.repeat(200)}{"email":1}`],
    ]),
    JSON.stringify([
      ...['\u001e', '\0', '\u00a0', '\u2028\u200b', '1\n', '-1.5e3 null\ntrue ', ")]}',\n", '"a"\n', '// '].map(
        each => `${each}{"email":"****","b":1}`,
      ),
      ...['****', '****', '****', '****', '****'],
      ...['12 "b" {}', 'note 1 {"email"', '****', `${'1,'.repeat(200)}{"email":0}`],
    ]),
  ],
  [
    'documents in a text behind words',
    ['**.email'],
    JSON.stringify([
      ...['log: {"email":"x"}', 'got {"a":[{"E-Mail" : "x"}]} from b', 'x {\\"email\\":1}', `y {"\\u0065mail":"x"}`],
      ...['log: {"emails":"x"}', 'say "email" to {b}', '{a} "b": c', 'it is {"a":"b"}'],
    ]),
    JSON.stringify([
      ...['****', '****', '****', '****'],
      ...['log: {"emails":"x"}', 'say "email" to {b}', '{a} "b": c', 'it is {"a":"b"}'],
    ]),
  ],
  ['members of elements', ['a.b'], '[{"a":[[{"b":1}],{"b":"c"}]}]', '[{"a":[[{"b":0}],{"b":"****"}]}]'],
  ['one name twice', ['a'], '{"a":"x","b":1,"a":"y","a":{"c":1}}', '{"a":"****","b":1,"a":"****","a":{}}'],
  [
    'each type',
    ['*'],
    '{"s":"","n":-1.5e3,"t":true,"f":false,"o":{"a":1},"a":[1],"z":null}',
    '{"s":"****","n":0,"t":false,"f":false,"o":{},"a":[],"z":null}',
  ],
  ['a whole document', ['**'], ' [1,{"a":"]"}] ', ' [] '],
  ['a document that is a text', ['**'], '"a\\"b"', '"****"'],
  ['a document that is a number', ['**'], '12', '0'],
  ['a document that is a number, clear', ['a'], '12', '12'],
  ['braces in texts of hidden objects', ['a'], '{"a":{"b":"}\\"}","c":[{"a":1}]},"d":"a"}', '{"a":{},"d":"a"}'],
  ['a byte order mark', ['a'], '\ufeff{"a":1}', '\ufeff{"a":0}'],
  [
    'names of many letters',
    ['naïve.日本'],
    '{"na\\u00efve":{"日本":"x"},"naïve":{"\\u65e5本":"y"}}',
    '{"na\\u00efve":{"日本":"****"},"naïve":{"\\u65e5本":"****"}}',
  ],
  ['an escaped quote at the end of a name', ['a"'], '{"a\\"":"x","a\\\\":"y"}', '{"a\\"":"****","a\\\\":"y"}'],
  ['a lone surrogate in a name', ['a'], '{"\\ud800a":"x","a":1}', '{"\\ud800a":"x","a":0}'],
  ['an empty name', ['*'], '{"":"x"}', '{"":"****"}'],
  ['a name below nothing', ['a.b'], '{"c":{"b":1,"a":{"b":2}},"b":3}', '{"c":{"b":1,"a":{"b":2}},"b":3}'],
  ['blanks of all kinds', ['a'], '\r\n{\t"a" \n:\r "x"\t}\r\n', '\r\n{\t"a" \n:\r "****"\t}\r\n'],
]

for (const [name, patterns, clear, masked] of cases) {
  t.test(`JSON, ${name}: at every split`, async t => {
    const masks = masksOf(fields(patterns))
    t.equal(maskBody(JSON_TYPE, masks, clear), masked)
    for (const pieces of everySplit(Buffer.from(clear))) {
      if (maskPieces(JSON_TYPE, masks, pieces) !== masked) t.fail(`split into ${pieces.map(String).join('|')}`)
    }
  })
}

t.test('how a value is masked', async t => {
  const document = '{"a":"ada@example.com","n":12.50,"b":true,"o":{"x":1},"z":null}'
  const masked = (mask: FieldMaskObligation): unknown => JSON.parse(maskBody(JSON_TYPE, masksOf(mask), document))
  t.same(masked(fields(['*'], 'partial')), { a: 'a***@***.com', n: 0, b: false, o: {}, z: null })
  t.same(masked(fields(['*'], 'null')), { a: null, n: null, b: null, o: null, z: null })
  t.same(masked(fields(['*'], 'fixed', 'a "b"\n')), { a: 'a "b"\n', n: 'a "b"\n', b: 'a "b"\n', o: 'a "b"\n', z: null })
  t.same(masked(fields(['*'], 'fixed', '-1.5')), { a: '-1.5', n: -1.5, b: '-1.5', o: '-1.5', z: null })
  t.same(masked(fields(['*'], 'fixed', '007')), { a: '007', n: '007', b: '007', o: '007', z: null })
  t.match(masked(fields(['*'], 'hash')), {
    a: hashText(maskKey, Buffer.from('ada@example.com')),
    n: /^\d{6,16}$/,
    b: false,
    o: hashText(maskKey, Buffer.from('{"x":1}')),
    z: null,
  })
})

t.test('equal values have one hash however they are written', async t => {
  const masks = masksOf(fields(['*'], 'hash'))
  const hashes = (document: string): unknown[] => Object.values(JSON.parse(maskBody(JSON_TYPE, masks, document)))
  t.equal(new Set(hashes('{"a":"é/","b":"\\u00e9\\/","c":"\\u00E9/"}')).size, 1)
  t.equal(new Set(hashes('{"a":100,"b":1e2,"c":100.0,"d":1.00E+2,"e":1000e-1}')).size, 1)
  t.equal(new Set(hashes('{"a":0,"b":-0,"c":0.0e9}')).size, 1)
  t.equal(new Set(hashes('{"a":1,"b":10,"c":-1,"d":0.1,"e":"1"}')).size, 5)
})

t.test('numbers in one form', async t => {
  fc.assert(
    fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.integer({ min: 0, max: 8 }), (value, zeros) => {
      const text = JSON.stringify(value)
      const [digits = '', exponent = '0'] = text.split('e')
      const longer = `${digits}${digits.includes('.') ? '' : '.'}${'0'.repeat(zeros + 1)}E${exponent}`
      t.equal(canonicalJsonNumber(longer), canonicalJsonNumber(text))
      t.equal(Number(canonicalJsonNumber(text)), value === 0 ? 0 : value)
    }),
  )
})

t.test('the first mask counts, and a mask around it all the more', async t => {
  const masks = masksOf(fields(['a.b'], 'null'), fields(['**.b'], 'fixed', 'x'), fields(['c'], 'redact'))
  t.equal(maskBody(JSON_TYPE, masks, '{"a":{"b":1},"b":2,"c":{"b":3}}'), '{"a":{"b":null},"b":"x","c":{}}')
})

t.test('masks of other routes do not count', async t => {
  const masks = masksOf({ ...fields(['a']), routes: ['other'] }, { ...fields(['b']), routes: ['route', 'other'] })
  t.equal(maskBody(JSON_TYPE, masks, '{"a":1,"b":2}'), '{"a":1,"b":0}')
})

const broken: readonly string[] = [
  ' ',
  '{',
  '[',
  '{"email"',
  '{"email":',
  '{"email":"x',
  '{"email":"x"',
  '{"email":1',
  '[1,',
  '[1,]',
  '[,1]',
  '{,}',
  '{"a":1,}',
  '{"a" 1}',
  '{"a":1 "b":2}',
  '[1 2]',
  '{a:1}',
  "{'a':1}",
  '[01]',
  '[1.]',
  '[.5]',
  '[+1]',
  '[1e]',
  '[1e+]',
  '[-]',
  '-',
  '1.',
  '[NaN]',
  '[tru]',
  '[truee]',
  'nul',
  '["\\x"]',
  '["\\u12g4"]',
  '["\\u12"]',
  '["\n"]',
  '["\u0000"]',
  '{}{}',
  '{}x',
  '1,2',
  '[]]',
  '{]',
  '[}',
  '{"a":1]',
  '/* */{}',
  '\ufeff',
  '\ufeff\ufeff{}',
  ' \ufeff{}',
  '[\ufeff1]',
  '\u00a0{}',
  '{"email":"secret"}{',
  '\u001e{}',
]

t.test('what is not JSON is refused, and every byte that had to be masked stays', async t => {
  for (const text of broken) {
    t.throws(() => JSON.parse(text.replace(/^\ufeff(?=[{])/, '')), text)
    const error = thrown(() => maskBody(JSON_TYPE, email, text))
    t.match(error, { code: 'ERR_GATE_TARGET_PROTOCOL' }, JSON.stringify(text))
  }
  t.equal(maskPieces(JSON_TYPE, email, []), '', 'an empty body is fine')
  for (const bytes of ['ff', '22c328', '22c080', '22eda080', '2222c3', 'fffe5b005d00', '5b005d00'].map(hex =>
    Buffer.from(hex, 'hex'),
  ))
    t.match(
      thrown(() => maskBody(JSON_TYPE, email, bytes)),
      { code: 'ERR_GATE_TARGET_PROTOCOL' },
      bytes.toString('hex'),
    )
})

t.test('limits: depth, names, values that have to be kept', async t => {
  const deep = (depth: number): string => `${'['.repeat(depth)}${']'.repeat(depth)}`
  t.equal(maskBody(JSON_TYPE, email, deep(512)), deep(512))
  t.match(
    thrown(() => maskBody(JSON_TYPE, email, deep(513))),
    { code: 'ERR_GATE_LIMIT' },
  )
  const hidden = (depth: number): string => `{"email":${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}}`
  t.equal(maskBody(JSON_TYPE, email, hidden(511)), '{"email":{}}')
  t.match(
    thrown(() => maskBody(JSON_TYPE, email, hidden(512))),
    { code: 'ERR_GATE_LIMIT' },
  )

  const long = 'x'.repeat(65_537)
  for (const pieces of [1_000, 100_000]) {
    const split = (text: string): Buffer[] =>
      Array.from({ length: Math.ceil(text.length / pieces) }, (_, index) =>
        Buffer.from(text.slice(index * pieces, (index + 1) * pieces)),
      )
    t.match(
      thrown(() => maskPieces(JSON_TYPE, email, split(`{"${long}":1}`))),
      { code: 'ERR_GATE_LIMIT' },
    )
    const clear = `{"a":"${long.repeat(40)}","email":"${long.repeat(40)}","b":1}`
    t.equal(maskPieces(JSON_TYPE, email, split(clear)), `{"a":"${long.repeat(40)}","email":"****","b":1}`)
    const hash = masksOf(fields(['email'], 'hash'))
    t.match(
      thrown(() => maskPieces(JSON_TYPE, hash, split(clear))),
      { code: 'ERR_GATE_LIMIT' },
    )
  }
})

t.test('a long text leaves as it comes unless it may be a document', async t => {
  const long = 'x'.repeat(3_000_000)
  const pieces = (text: string): Buffer[] =>
    Array.from({ length: Math.ceil(text.length / 16_384) }, (_, at) =>
      Buffer.from(text.slice(at * 16_384, (at + 1) * 16_384)),
    )
  for (const start of [
    '',
    ' ',
    '12',
    'true',
    'Ж\\n',
    '1;'.repeat(200_000),
    '\\n\\n',
    '\\\\',
    '[',
    '\\n{',
    '[1,',
    '{\\"',
  ].map(each => `{"a":"${each}`)) {
    const run = (): string => maskPieces(JSON_TYPE, email, pieces(`${start}${long}","email":"x"}`))
    if (/[1"][,]?$/.test(start) && !start.endsWith(':"')) t.match(thrown(run), { code: 'ERR_GATE_LIMIT' }, start)
    else t.equal(run(), `${start}${long}","email":"****"}`, start)
  }
  const document = JSON.stringify({ a: JSON.stringify({ pad: 'y'.repeat(100_000), email: 'x' }) })
  t.equal(
    maskPieces(JSON_TYPE, email, pieces(document)),
    document.replace('"x\\"', '"****\\"').replace('\\"x\\"', '\\"****\\"'),
  )
  const worded = (length: number): string => JSON.stringify({ a: `log ${'y'.repeat(length)}{"email":"x"}` })
  for (const split of [pieces, (text: string): Buffer[] => [Buffer.from(text)]]) {
    t.equal(maskPieces(JSON_TYPE, email, split(worded(60_000))), '{"a":"****"}')
    t.equal(maskPieces(JSON_TYPE, email, split(worded(70_000))), worded(70_000), 'behind so many words nobody looks')
  }
  const deep = JSON.stringify({ a: `${'['.repeat(600)}{"email":1}${']'.repeat(600)}` })
  t.equal(maskBody(JSON_TYPE, email, deep), '{"a":"****"}')
})

t.test('texts of nothing but backslashes are read in one go', async t => {
  const text = `{"a":NaN,${'\\'.repeat(400_000)}`
  t.equal(maskBody(JSON_TYPE, email, JSON.stringify({ text })), JSON.stringify({ text }))
})

t.test('after a failure there is nothing more', async t => {
  const masker = bodyMasker(JSON_TYPE, email)
  if ('unreadable' in masker) throw new Error(masker.unreadable)
  t.throws(() => masker.push(Buffer.from('{]')), { code: 'ERR_GATE_TARGET_PROTOCOL' })
  t.throws(() => masker.push(Buffer.from('{}')), { code: 'ERR_GATE_TARGET_PROTOCOL' })
  t.throws(() => masker.end(), { code: 'ERR_GATE_TARGET_PROTOCOL' })
})

t.test('what is clear leaves at once, a text when its end shows what it holds', async t => {
  const masker = bodyMasker(JSON_TYPE, email)
  if ('unreadable' in masker) throw new Error(masker.unreadable)
  t.equal(masker.push(Buffer.from('[{"a":"b')).toString(), '[{"a":"')
  t.equal(masker.push(Buffer.from('c","email":"x')).toString(), 'bc","email":')
  t.equal(masker.push(Buffer.from('y","c":1')).toString(), '"****","c":1')
})

const name = fc.oneof(
  { arbitrary: fc.constantFrom('a', 'b', 'email', 'ssn', '__proto__', 'é"\\', ''), weight: 4 },
  { arbitrary: fc.string({ unit: 'binary', maxLength: 4 }), weight: 1 },
)
const leaf = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.integer(),
  fc.boolean(),
  fc.constant(null),
)
const { value } = fc.letrec<{ value: Json; object: Json; array: Json }>(tie => ({
  value: fc.oneof({ depthSize: 'medium', withCrossShrink: true }, leaf, tie('object'), tie('array')),
  object: fc.array(fc.tuple(name, tie('value')), { maxLength: 5 }).map(entries => Object.fromEntries(entries)),
  array: fc.array(tie('value'), { maxLength: 4 }),
}))
const kind = fc.constantFrom('redact' as const, 'partial' as const, 'hash' as const, 'null' as const, 'fixed' as const)
const pattern = fc
  .array(fc.constantFrom('a', 'b', 'email', 'ssn', '*', '**', 'é"\\', '__proto__'), { minLength: 1, maxLength: 4 })
  .map(parts => parts.join('.'))
const obligation = fc
  .tuple(fc.array(pattern, { minLength: 1, maxLength: 3 }), kind, fc.constantFrom('hidden', '42'))
  .map(([patterns, as, fixed]) => fields(patterns, as, fixed))
const obligations = fc.array(obligation, { minLength: 1, maxLength: 3 })

/** The same document with escapes, blanks and numbers written otherwise. */
function written(document: Json, random: (below: number) => number): string {
  const blank = (): string => [' ', '', '\n', '\t\r', ''][random(5)] ?? ''
  const text = (clear: string): string =>
    `"${clear.replaceAll(/[\s\S]/g, unit => (random(3) === 0 || /[\p{Cs}"\\\x00-\x1f]/u.test(unit) ? `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}` : unit))}"`
  const write = (item: Json): string => {
    if (typeof item === 'string') return text(item)
    if (Array.isArray(item)) return `[${blank()}${item.map(write).join(`${blank()},${blank()}`)}${blank()}]`
    if (item === null || typeof item !== 'object') return JSON.stringify(item)
    return `{${blank()}${Object.entries(item)
      .map(([key, member]) => `${text(key)}${blank()}:${blank()}${write(member)}`)
      .join(`${blank()},`)}}`
  }
  return blank() + write(document) + blank()
}

function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const ends = places.map(place => place % (bytes.length + 1)).sort((a, b) => a - b)
  return [...ends, bytes.length].map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end))
}

t.test('any document, any masks: as if the parsed document were masked', async t => {
  fc.assert(
    fc.property(value, obligations, fc.array(fc.nat(), { maxLength: 4 }), (document, masks, places) => {
      const body = Buffer.from(JSON.stringify(document))
      const masked = maskPieces(JSON_TYPE, masksOf(...masks), cut(body, places))
      t.same(JSON.parse(masked), JSON.parse(JSON.stringify(maskedFields(JSON.parse(body.toString()), masks))))
    }),
    { numRuns: 2_000 },
  )
})

t.test('any way of writing a document: the same values are masked', async t => {
  const masked = obligations.filter(masks => masks.every(mask => mask.with !== 'hash'))
  fc.assert(
    fc.property(value, masked, fc.infiniteStream(fc.nat()), (document, masks, numbers) => {
      const text = written(document, below => (numbers.next().value ?? 0) % below)
      const parsed = JSON.parse(text)
      t.same(
        JSON.parse(maskBody(JSON_TYPE, masksOf(...masks), text)),
        JSON.parse(JSON.stringify(maskedFields(parsed, masks))),
      )
      t.equal(maskBody(JSON_TYPE, masksOf(fields(['no.such.field'])), text), text)
    }),
    { numRuns: 500 },
  )
})

t.test('any document in any pieces: the same bytes', async () => {
  fc.assert(
    fc.property(value, obligations, fc.infiniteStream(fc.nat()), (document, masks, numbers) => {
      const compiled = masksOf(...masks)
      const body = Buffer.from(written(document, below => (numbers.next().value ?? 0) % below))
      const whole = maskBody(JSON_TYPE, compiled, body)
      for (const pieces of everySplit(body)) if (maskPieces(JSON_TYPE, compiled, pieces) !== whole) return false
      return true
    }),
    { numRuns: 60 },
  )
})

/** Whether the engine's own parser takes it, which is lenient about UTF-8 and knows no byte order mark. */
function isJson(body: Buffer): boolean {
  const text = body.toString('utf8')
  return isUtf8(body) && thrown(() => JSON.parse(text)) === undefined
}

/** All that left before a failure, and what that was. */
function left(type: string, masks: BodyMasks, pieces: readonly Buffer[]): { text: string; error: unknown } {
  const masker = bodyMasker(type, masks)
  if ('unreadable' in masker) throw new Error(masker.unreadable)
  let text = ''
  const error = thrown(() => {
    for (const piece of pieces) text += masker.push(piece).toString('latin1')
    text += masker.end().toString('latin1')
  })
  return { text, error }
}

t.test('any bytes: only GateError, and what is named never leaves', async () => {
  const parts = fc.constantFrom(
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"email"',
    '"a"',
    '"\\u0065mail"',
    '"SECRET"',
    '5E4CRE7',
    '123456789',
    'true',
    'null',
    ' ',
    '\\',
    '"',
    '"SECRET',
    '\u001e',
  )
  const document = fc.array(parts, { maxLength: 14 }).map(all => Buffer.from(all.join('')))
  const noise = fc.tuple(document, fc.uint8Array({ maxLength: 3 }), fc.nat()).map(([body, bytes, place]) => {
    const at = place % (body.length + 1)
    return Buffer.concat([body.subarray(0, at), bytes, body.subarray(at)])
  })
  for (const type of [JSON_TYPE, 'application/x-ndjson', 'application/json-seq']) {
    fc.assert(
      fc.property(fc.oneof(document, noise), fc.array(fc.nat(), { maxLength: 3 }), (body, places) => {
        const all = masksOf(fields(['**.email', '**.a']))
        const { text, error } = left(type, all, cut(body, places))
        if (error !== undefined && !(error instanceof GateError)) throw error
        if (type === JSON_TYPE && body.length > 0 && isJson(body) !== (error === undefined)) return false
        // What stands behind these names is masked, so it may stand elsewhere only.
        return !/"(?:email|a|\\u0065mail)"\s*:\s*(?:"SECRET|123456789|true)/.test(text)
      }),
      { numRuns: 1_500 },
    )
  }
})

t.test('lines: each is a document, and leaves when it is whole', async t => {
  const lines = '{"email":"a"}\n\n{"b":"c"}\r\n[{"email":2}]\n3\n"x"'
  const masked = '{"email":"****"}\n\n{"b":"c"}\r\n[{"email":0}]\n3\n"x"'
  for (const type of [
    'application/x-ndjson',
    'application/ndjson; charset=UTF-8',
    'application/jsonl',
    'application/stream+json',
  ]) {
    for (const pieces of everySplit(Buffer.from(lines))) t.equal(maskPieces(type, email, pieces), masked)
  }
  for (const text of ['{}{}', '{"email":"x"', '1\n,2', '\u001e{}'])
    t.throws(() => maskBody('application/x-ndjson', email, text), { code: 'ERR_GATE_TARGET_PROTOCOL' }, text)
})

t.test('a watch that calls itself JSON: each of its documents is one', async t => {
  const watch = '{"type":"ADDED","object":{"email":"a"}}\n{"type":"DELETED","object":{"email":"b"}}\r\n {"email":2}\n'
  const masked = watch.replace('"a"', '"****"').replace('"b"', '"****"').replace('2', '0')
  for (const type of ['application/json', 'application/json; charset=utf-8', 'application/vnd.x+json'])
    for (const pieces of everySplit(Buffer.from(watch))) t.equal(maskPieces(type, email, pieces), masked)
  for (const text of [
    '{}{}',
    '{}\n{"email":"x"',
    '{}\n}',
    '{}\n\u001e{}',
    '{}\nemail,x',
    '{}\n1',
    '{}\n[]',
    '[] {}',
    '1 {}',
    '"a" {}',
    '\n',
  ])
    t.throws(() => maskBody('application/json', email, text), { code: 'ERR_GATE_TARGET_PROTOCOL' }, text)
})

t.test('records behind separators', async t => {
  const sequence = '\u001e{"email":"a"}\n\u001e\u001e[1]\n\u001e2\n'
  for (const pieces of everySplit(Buffer.from(sequence)))
    t.equal(maskPieces('application/json-seq', email, pieces), '\u001e{"email":"****"}\n\u001e\u001e[1]\n\u001e2\n')
  for (const text of ['{}', '\u001e{}\n{}', '\u001e{"a"\u001e{}', '\u001e[1', 'x'])
    t.throws(() => maskBody('application/json-seq', email, text), { code: 'ERR_GATE_TARGET_PROTOCOL' }, text)
})

t.test('a line may be an element of what a path begins with, in an envelope of its own', async t => {
  const masks = masksOf(fields(['customers.email', 'customers.cards.*.pan', 'notes.*']))
  const line =
    '{"email":"a","pan":"b","x":{"pan":"c","email":"d"},"customers":{"email":"e"},"notes":{"f":"g"},"h":"i"}\n'
  const masked =
    '{"email":"****","pan":"****","x":{"pan":"****","email":"****"},"customers":{"email":"****"},"notes":{"f":"****"},"h":"i"}\n'
  t.equal(maskBody('application/x-ndjson', masks, line), masked)
  t.equal(maskBody('application/json-seq', masks, `\u001e${line}`), `\u001e${masked}`)
  t.equal(maskBody('text/event-stream', masks, `data: ${line}\n`), `data: ${masked}\n`)
  t.match(maskBody('application/json', masks, line), '{"email":"a"', 'a document is one as a whole')
})
