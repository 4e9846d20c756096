// Bodies that say that they are in ISO-8859-1: masked as what they are, given in UTF-8, and refused where they may be UTF-8.
import { bodyMasker } from '@gate/relay/protocols/http/masking/body'
import { LatinMasker, typeInUtf8 } from '@gate/relay/protocols/http/masking/latin'
import fc from 'fast-check'
import t from 'tap'
import { everySplit, fields, masksOf } from '#support/masking'

const masks = masksOf(fields(['email', 'größe']))

function maskLatin(pieces: readonly Buffer[]): string {
  const masker = bodyMasker('application/json', masks)
  if ('unreadable' in masker) throw new Error(masker.unreadable)
  const latin = new LatinMasker(masker)
  const out = pieces.map(piece => Buffer.from(latin.push(Buffer.from(piece))))
  return Buffer.concat([...out, latin.end()]).toString('utf8')
}

t.test('types', async t => {
  for (const [type, expected] of [
    ['application/json; charset=ISO-8859-1', 'application/json; charset=utf-8'],
    ['Application/JSON;charset="latin1";a="b c\\""', 'application/json; charset=utf-8; a="b c\\""'],
    ['text/plain; charset=windows-1252', 'text/plain; charset=utf-8'],
    ['text/html;charset=cp1252', 'text/html; charset=utf-8'],
    ['text/csv; header=present; charset=iso8859-1', 'text/csv; header=present; charset=utf-8'],
    ['application/x-ndjson; charset=iso-8859-1', 'application/x-ndjson; charset=utf-8'],
    ['application/json; charset=utf-16', undefined],
    ['application/json; charset=iso-8859-15', undefined],
    ['application/json', undefined],
    [undefined, undefined],
    // XML says so itself, and others are always in UTF-8.
    ['application/xml; charset=iso-8859-1', undefined],
    ['text/xml; charset=iso-8859-1', undefined],
    ['text/event-stream; charset=iso-8859-1', undefined],
    ['application/x-www-form-urlencoded; charset=iso-8859-1', undefined],
    ['image/png; charset=iso-8859-1', undefined],
  ] as const)
    t.equal(typeInUtf8(type), expected, String(type))
})

t.test('wherever it is cut', async t => {
  const body = Buffer.from('{"name":"Mülle\xc9r \xc3\xa9","größe":2,"email":"b@c","x":"\x80\x9d"}', 'latin1')
  for (const pieces of everySplit(body))
    t.equal(maskLatin(pieces), '{"name":"MülleÉr Ã©","größe":0,"email":"****","x":"€\u009d"}')
  for (const pieces of everySplit(Buffer.from('{"email":"b@c"}'))) t.equal(maskLatin(pieces), '{"email":"****"}')
  const end = Buffer.from('"a"\xe4', 'latin1')
  for (const pieces of everySplit(end)) t.throws(() => maskLatin(pieces), { code: 'ERR_GATE_TARGET_PROTOCOL' })
})

t.test('what may be UTF-8 is refused before a name in it could be taken for another', async t => {
  for (const text of ['{"größe":2}', '\ufeff{}', '{"a":"€"}', '{"ｅmail":1}', '{"a":"😀"}'])
    for (const pieces of everySplit(Buffer.from(text)))
      t.throws(() => maskLatin(pieces), { code: 'ERR_GATE_TARGET_PROTOCOL' }, text)
  const masker = new LatinMasker({ push: bytes => bytes, end: () => Buffer.alloc(0) })
  t.throws(() => masker.push(Buffer.from('é')), { code: 'ERR_GATE_TARGET_PROTOCOL' })
  t.throws(() => masker.push(Buffer.from('a')), { code: 'ERR_GATE_TARGET_PROTOCOL' }, 'and stays so')
  t.throws(() => masker.end(), { code: 'ERR_GATE_TARGET_PROTOCOL' })
})

t.test('any bytes become what they are in ISO-8859-1, or are refused', async () => {
  const plain = { push: (bytes: Buffer) => bytes, end: () => Buffer.alloc(0) }
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 6 })), pieces => {
      const all = Buffer.concat(pieces)
      const latin = new LatinMasker(plain)
      try {
        const out = Buffer.concat([...pieces.map(piece => Buffer.from(latin.push(Buffer.from(piece)))), latin.end()])
        const expected = all.toString('latin1')
        const text = out.toString('utf8')
        return (
          text.length === expected.length &&
          [...text].every((sign, at) => sign === expected[at] || /[\x80-\x9f]/.test(expected[at] ?? ''))
        )
      } catch (thrown) {
        return thrown instanceof Error && /may be in UTF-8/.test(thrown.message)
      }
    }),
  )
})
