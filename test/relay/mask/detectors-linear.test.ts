// No value makes the detectors slow: what is read is counted, per byte, for texts made to be read again and again.

import { compileDetectors, compileFinder, detectorKinds } from '@gate/relay/mask/detectors'
import type { Bytes } from '@gate/relay/mask/detectors/bytes'
import t from 'tap'

const find = compileFinder(detectorKinds)

/** Counts every byte that is read: detectors use nothing but index and length. Rescans of what was found are not counted. */
function readsOf(value: Buffer): number {
  let reads = 0
  const counted = new Proxy(value, {
    get(target, key) {
      if (key === 'length') return target.length
      if (typeof key === 'string' && key.charCodeAt(0) >= 0x30 && key.charCodeAt(0) <= 0x39) {
        reads += 1
        return target[Number(key)]
      }
      // Without an iterator it is copied by index.
      return undefined
    },
  }) as Bytes
  find(counted)
  return reads
}

/** Each is repeated until the value is long: beginnings without ends, and ends without beginnings. */
const units: readonly string[] = [
  ...[
    '@',
    'a@',
    'a@b.',
    'a.@a.',
    '@a.a',
    'a%40',
    '\\u0040',
    '.',
    'a',
    'a.',
    '\u00e9@',
    '://a:',
    '://a@b.co ',
    '\u00e9',
  ],
  ...[
    '1',
    '11 ',
    '1111 ',
    '1111-',
    '4111 ',
    '411 ',
    '0.',
    '1.1',
    '4111111111111111 ',
    '0',
    '00 ',
    '1.111111e',
    '1.1111111e15 ',
  ],
  ...['+', '+1', '+1 ', '(', '(1', '(1)', '(212) ', '212-555-', 'tel 1', 'tel ', 'phone 12 34 ', '02 ', '/1', '-1'],
  ...['DE', 'DE89', 'DE89 3704 ', 'GB00A', 'aa11', 'FR1', ':', '::', 'a:', '1:', ':1', 'ffff:', '1.1.1.1', '1.1.1.1.'],
  ...[
    'eyJ',
    'eyJ.',
    'eyJhbGciOiJub25lIn0.',
    'eyJhbGciOiJub25lIn0',
    '-',
    '-----',
    '-----BEGIN ',
    '-----BEGIN PRIVATE KEY-----',
  ],
  ...['-----BEGIN PRIVATE KEY-----MIIEabcdefghijklmnop ', '-----END PRIVATE KEY-----', '- -', '-a', '--a'],
  ...[
    'sk-',
    'sk-a',
    'gh',
    'ghp_',
    'AKIA',
    'AKIAA',
    'SG.',
    'xoxb-1',
    '_',
    'hooks.slack.com/services/',
    'ya29.',
    'hvs.a',
  ],
  ...[
    '=',
    'password',
    'password=',
    'password="',
    "password='",
    'password: ',
    'token=a',
    'pass>',
    '">',
    '": "',
    'password=a1b2c3d4e5',
    'password=hunter2hunter;',
    '\\"',
    'authorization: bearer ',
  ],
  ...['\u0000', '\u{1f600}', '*', '****', 'password=****'],
]

const repeat = (unit: string, bytes: number): Buffer => Buffer.alloc(bytes, unit)

/** More than any of these texts costs; parentheses around single digits cost most, since each could begin a telephone number. */
const MOST_PER_BYTE = 200
const BYTES = 2_000

t.test('a value twice as long is read twice as often, whatever it holds', async t => {
  let worst = { unit: '', perByte: 0 }
  for (const unit of units) {
    const once = readsOf(repeat(unit, BYTES))
    const twice = readsOf(repeat(unit, 2 * BYTES))
    if (once / BYTES > worst.perByte) worst = { unit, perByte: once / BYTES }
    if (twice > 2.1 * once + 2000) t.fail(`${JSON.stringify(unit)}: ${once} reads, then ${twice}`)
    if (once > MOST_PER_BYTE * BYTES) t.fail(`${JSON.stringify(unit)}: ${once / BYTES} reads per byte`)
  }
  t.comment(`worst: ${JSON.stringify(worst.unit)} with ${worst.perByte.toFixed(1)} reads per byte`)
  t.pass()
})

t.test('one beginning, then a value that never ends', async t => {
  const heads = [
    'password=',
    'password="',
    'eyJhbGciOiJub25lIn0.eyJ',
    '-----BEGIN PRIVATE KEY-----',
    'sk-',
    'ghp_',
    'a@',
    '+1',
    'DE89',
    '://a:',
    'tel ',
  ]
  for (const head of heads) {
    for (const tail of ['a1', 'Ab3', '1', 'a.', 'a ', '4 ', 'A\n']) {
      const value = (bytes: number): Buffer => Buffer.concat([Buffer.from(head), repeat(tail, bytes)])
      const once = readsOf(value(BYTES))
      const twice = readsOf(value(2 * BYTES))
      if (twice > 2.1 * once + 2000) t.fail(`${head}${tail}: ${once} reads, then ${twice}`)
    }
  }
  t.pass()
})

t.test('millions of bytes that are all findings, or nearly, come to an end', async t => {
  const mask = compileDetectors(detectorKinds, { with: 'redact' })
  t.equal(mask(repeat('a@b.', 10_000_000)), undefined)
  t.equal(mask(repeat('password: ', 10_000_000)), undefined)
  t.equal(mask(repeat('4111111111111111 ', 340_000))?.toString(), '**** '.repeat(20_000))
})
