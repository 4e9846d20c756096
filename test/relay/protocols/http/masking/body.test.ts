// Which bodies can be masked, which cannot, and texts that have no fields.
import { bodyMasker, compileBodyMasks } from '@gate/relay/protocols/http/masking/body'
import { readMediaType } from '@gate/relay/protocols/http/masking/media-type'
import { GateError } from '@gate/shared/errors'
import fc from 'fast-check'
import t from 'tap'
import { detect, everySplit, fields, maskBody, maskKey, maskPieces, masksOf } from '#support/masking'

const email = masksOf(fields(['email']))
const search = masksOf(detect(['email']))

t.test('obligations that concern other answers, or none', async t => {
  t.equal(compileBodyMasks([], ['route'], maskKey), undefined)
  t.equal(compileBodyMasks([{ ...fields(['a']), routes: ['other'] }], ['route'], maskKey), undefined)
  t.equal(compileBodyMasks([{ ...detect([]), columns: ['a.b'] }], ['route'], maskKey), undefined)
  const headers = masksOf({ ...fields([]), headers: ['x-user'] })
  t.equal(maskBody('image/png', headers, 'anything'), 'anything')
})

t.test('types that have fields', async t => {
  for (const type of [
    'application/json',
    'Application/JSON;charset=utf-8',
    'application/problem+json',
    'application/json; a="b;c\\"=" ; charset="UTF-8"',
    'text/json',
    'application/x-json',
    'application/x-amz-json-1.1',
    'application/json-rpc',
    'application/vnd.elasticsearch+x-ndjson;compatible-with=8',
  ])
    t.equal(maskBody(type, email, '{"email":1}'), '{"email":0}', type)
})

t.test('JSON that is kept from being run as a script', async t => {
  for (const line of [")]}'\n", ")]}',\r\n"])
    for (const pieces of everySplit(Buffer.from(`${line}{"email":"a@b"}`)))
      t.equal(maskPieces('application/json', email, pieces), `${line}{"email":"****"}`)
  for (const body of [")]}'{}", ')]}', ")]}'", ")]}'\n)]}'\n{}", ')', " )]}'\n{}", "{})]}'\n"])
    for (const pieces of everySplit(Buffer.from(body)))
      t.throws(() => maskPieces('application/json', email, pieces), { code: 'ERR_GATE_TARGET_PROTOCOL' }, body)
})

t.test('types that cannot be read are refused with a reason', async t => {
  const never = [
    undefined,
    '',
    'json',
    'application/json, text/plain',
    'application/json; charset',
    'application/json; charset=utf-8; charset=utf-16',
    'application/json; charset=utf-16',
    'text/plain; charset=iso-8859-1',
    'image/png',
    'application/octet-stream',
    'multipart/form-data; boundary=x',
    'application/x-protobuf',
    'application/pdf',
    'application/gzip',
    `application/json; a=${'b'.repeat(1_100)}`,
  ]
  for (const type of never) {
    for (const masks of [email, search]) {
      const masker = bodyMasker(type, masks)
      t.ok('unreadable' in masker && /^[A-Z].*\.$/.test(masker.unreadable), String(type))
    }
  }
  for (const type of [
    'application/json-patch+json',
    'application/vnd.collection+json; charset=utf-8',
    'application/vcard+json',
    'text/plain',
    'text/html',
    'application/xml',
    'image/svg+xml',
    'application/javascript',
    'text/csv; header=absent',
  ])
    t.ok('unreadable' in bodyMasker(type, email), type)
})

t.test('texts without fields are searched whole', async t => {
  for (const type of ['text/plain', 'text/html; charset=us-ascii', 'application/atom+xml', 'application/javascript'])
    t.equal(maskBody(type, search, '<a>ada@example.com</a>é'), '<a>****</a>é', type)
  for (const pieces of everySplit(Buffer.from('é ada@example.com')))
    t.equal(maskPieces('text/plain', search, pieces), 'é ****')
  t.equal(maskBody('text/plain', masksOf(detect(['email'], 'null')), 'to ada@example.com'), 'to ****')
  t.equal(maskPieces('text/plain', search, []), '')
})

t.test('XML that says that it is written in something else', async t => {
  const xml = (encoding: string): string => `<?xml version="1.0" encoding="${encoding}"?><a>ada@example.com</a>`
  for (const encoding of ['utf-8', 'UTF-8', 'ISO-8859-1', 'windows-1252'])
    t.match(maskBody('application/xml', search, xml(encoding)), '<a>****</a>', encoding)
  for (const encoding of ['utf-7', 'utf-16', 'ISO-2022-JP', 'HZ-GB-2312', ''])
    t.throws(
      () => maskBody('application/atom+xml', search, xml(encoding)),
      { code: 'ERR_GATE_TARGET_PROTOCOL' },
      encoding,
    )
})

t.test('a text that is too long, or of other characters than it says, is refused before anything left', async t => {
  const masker = bodyMasker('text/plain', search)
  if ('unreadable' in masker) throw new Error(masker.unreadable)
  t.equal(masker.push(Buffer.alloc(4_194_304, 'x')).length, 0)
  t.throws(() => masker.push(Buffer.from('x')), { code: 'ERR_GATE_LIMIT' })
  for (const bytes of [
    Buffer.from('ada@example.com', 'utf16le'),
    Buffer.from('é', 'latin1'),
    Buffer.from('\ufeffa', 'utf16le'),
  ])
    t.throws(() => maskBody('text/plain', search, bytes), { code: 'ERR_GATE_TARGET_PROTOCOL' })
})

t.test('parameters of media types', async t => {
  t.same(
    [...(readMediaType('text/csv ;; Header=present ; x="a\\"b\\\\"')?.parameters ?? [])],
    [
      ['header', 'present'],
      ['x', 'a"b\\'],
    ],
  )
  for (const text of ['a', 'a/b/c', 'a/b c', 'a/b;c=', 'a/b;c="', 'a/b;=d', 'a/b;c =d', 'a/b;c= d', 'a/b,c'])
    t.equal(readMediaType(text), undefined, text)
})

t.test('any bytes of any type in any pieces: the same text or a GateError', async t => {
  const masks = masksOf(fields(['email', '*.a'], 'hash'), detect(['email', 'secret'], 'null'))
  const part = fc.constantFrom(
    ...[
      'email',
      'a',
      ',',
      '"',
      '\n',
      '\r',
      '=',
      '&',
      '%40',
      '%',
      '+',
      '[',
      ']',
      '{',
      '}',
      ':',
      'data: ',
      '1',
      'ada@example.com',
      '\u001e',
      ';',
      'é',
      '\ufeff',
    ],
  )
  const text = fc.array(part, { maxLength: 20 }).map(parts => Buffer.from(parts.join('')))
  const body = fc.oneof(
    text,
    fc.uint8Array({ maxLength: 12 }).map(bytes => Buffer.from(bytes)),
  )
  const outcome = (type: string, pieces: readonly Buffer[]): string => {
    try {
      return maskPieces(type, masks, pieces)
    } catch (thrown) {
      if (!(thrown instanceof GateError)) throw thrown
      return thrown.code
    }
  }
  const types = [
    'application/json',
    'application/x-ndjson',
    'application/json-seq',
    'text/csv',
    'application/x-www-form-urlencoded',
    'text/event-stream',
  ]
  fc.assert(
    fc.property(fc.constantFrom(...types), body, fc.nat(), (type, bytes, place) => {
      const at = place % (bytes.length + 1)
      const whole = outcome(type, [bytes])
      t.equal(outcome(type, [bytes.subarray(0, at), bytes.subarray(at)]), whole)
      t.equal(
        outcome(
          type,
          [...bytes].map(byte => Buffer.from([byte])),
        ),
        whole,
      )
      return type !== 'text/csv' || whole.startsWith('ERR') || !whole.includes('ada@example.com')
    }),
    { numRuns: 3_000 },
  )
})
