// Headers of answers: named ones are masked, the others searched, those that frame the body left alone.

import { hashText } from '@gate/relay/mask/values'
import { maskHeaders } from '@gate/relay/protocols/http/masking/headers'
import t from 'tap'
import { detect, fields, maskKey, masksOf } from '#support/masking'

t.test('named headers, in any case, each time they come', async t => {
  const masks = masksOf(
    { ...fields([]), headers: ['x-user', 'set-cookie'] },
    { ...fields([], 'hash'), headers: ['x-user', 'x-id'] },
  )
  t.same(
    maskHeaders(
      [
        ['X-User', 'ada'],
        ['Set-Cookie', 'a=1'],
        ['set-cookie', 'b=2'],
        ['X-Id', 'x'],
        ['X-Other', 'ada@example.com'],
      ],
      masks,
    ),
    [
      ['X-User', '****'],
      ['Set-Cookie', '****'],
      ['set-cookie', '****'],
      ['X-Id', hashText(maskKey, Buffer.from('x'))],
      ['X-Other', 'ada@example.com'],
    ],
  )
})

t.test('detectors search all values but those that frame the body', async t => {
  const masks = masksOf(detect(['email', 'credit-card']))
  t.same(
    maskHeaders(
      [
        ['Link', '<mailto:ada@example.com>; é'],
        ['Content-Length', '4111111111111111'],
        ['X', '4111111111111111'],
      ],
      masks,
    ),
    [
      ['Link', '<mailto:****>; é'],
      ['Content-Length', '4111111111111111'],
      ['X', '****'],
    ],
  )
})

t.test('a replacement begins no other header, and null leaves nothing', async t => {
  const masked = (kind: 'fixed' | 'null'): unknown =>
    maskHeaders([['X', '1']], masksOf({ ...fields([], kind, 'a\r\nSet-Cookie: b\u0000'), headers: ['x'] }))
  t.same(masked('fixed'), [['X', 'a  Set-Cookie: b ']])
  t.same(masked('null'), [['X', '']])
})
