// Messages of WebSockets: one document, several, or a sign of life; everything else is refused where fields are masked.
import { maskMessage } from '@gate/relay/protocols/http/masking/message'
import { wholeText } from '@gate/relay/protocols/http/masking/whole-text'
import t from 'tap'
import { detect, fields, masksOf } from '#support/masking'

const email = masksOf(fields(['users.email']))
const mask = (text: string, masks = email): string =>
  maskMessage(wholeText(text), Buffer.from(text), masks).toString('utf8')

t.test('documents in a message', async t => {
  const cases: readonly (readonly [clear: string, masked: string])[] = [
    ['{"email":"x"}', '{"email":"****"}'],
    ['{"n":1}\x1e{"email":"x"}\x1e', '{"n":1}\x1e{"email":"****"}\x1e'],
    ['{"email":"x"}\n{"email":1}\r\n\n', '{"email":"****"}\n{"email":0}\r\n\n'],
    ['\x1e{"email":"x"}\n\x1e\x1e1\x1e2', '\x1e{"email":"****"}\n\x1e\x1e1\x1e2'],
    ['{"a":{"constructor":{"email":"x"}}}\x1e{}', '{"a":{"constructor":{"email":"****"}}}\x1e{}'],
  ]
  for (const [clear, masked] of cases) t.equal(mask(clear), masked)
  for (const broken of [
    '{"email":',
    '{"n":1}{"email":"x"}',
    '{"email"\x1e:"x"}',
    '["\x1e",{"email":"x"}]',
    '1\x1eemail=x',
    '{"n":1} ping',
  ])
    t.throws(() => mask(broken), { code: 'ERR_GATE_REFUSED' }, broken)
})

t.test('signs of life', async t => {
  for (const sign of ['', ' \n', ' '.repeat(2_000), 'ping', 'PONG\n', 'keep-alive', '[DONE]']) t.equal(mask(sign), sign)
  t.throws(() => mask('ping x'), { code: 'ERR_GATE_REFUSED' })
  t.throws(() => maskMessage(undefined, Buffer.from('ping'), email), { code: 'ERR_GATE_REFUSED' }, 'binary')
})

t.test('packets of Socket.IO', async t => {
  for (const [clear, masked] of [
    ['0{"sid":"a","upgrades":[],"email":"x"}', '0{"sid":"a","upgrades":[],"email":"****"}'],
    ['40{"sid":"a"}', '40{"sid":"a"}'],
    ['42["event",{"email":"x"}]', '42["event",{"email":"****"}]'],
    ['42/admin,["event",{"u":{"email":"x"}}]', '42/admin,["event",{"u":{"email":"****"}}]'],
    ['430[{"email":"x"}]', '430[{"email":"****"}]'],
    ['2', '2'],
    ['3probe', '3probe'],
  ] as const)
    t.equal(mask(clear), masked)
  for (const text of [
    ...['42["event",{"email":"x"}', '42 {"email":"x"}x', '4111111111111111{"n":1}', '42/a b,[]', '42x["a"]', '3probes'],
    ...['42/admin', '4["a"]["b"]', '451-["a",{"_placeholder":true,"num":0}]'],
  ])
    t.throws(() => mask(text), { code: 'ERR_GATE_REFUSED' }, text)
  const found = masksOf(fields(['email']), detect(['email']))
  t.equal(mask('42["ann@example.com",{"email":1}]', found), '42["****",{"email":0}]')
})

t.test('separators alone pass', async t => {
  for (const masks of [email, masksOf(fields(['email']), detect(['email']))]) {
    t.equal(mask('\x1e'.repeat(1024 * 1024), masks).length, 1024 * 1024)
  }
})
