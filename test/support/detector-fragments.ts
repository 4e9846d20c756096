// Texts made of pieces that detectors look for, in any order: far denser than anything that people write.
import fc from 'fast-check'
import { sample } from './detector-sample.ts'

const pieces = [
  ...[
    '@',
    '%40',
    '\\u0040',
    '.',
    '-',
    ' ',
    '  ',
    '_',
    ':',
    '::',
    '=',
    '=>',
    '"',
    "'",
    '\\"',
    '\\',
    '/',
    '://',
    '+',
    '(',
    ')',
    ',',
    '\n',
    '*',
    '****',
  ],
  ...[
    'a',
    'Z',
    'e',
    'f0',
    '0',
    '1',
    '12',
    '123',
    '4111',
    '1111',
    '4111111111111111',
    '45',
    '6789',
    '212',
    '555',
    '0123',
    '10.0.0.1',
  ],
  ...[
    'password',
    'token',
    'secret',
    'phone',
    'tel',
    'ssn',
    'DE89',
    '370400440532013000',
    'eyJhbGciOiJub25lIn0',
    'eyJ',
    'sk-',
    'AKIA',
    'ABCDEFGHIJKLMNOP',
  ],
  ...[
    '-----BEGIN ',
    'PRIVATE KEY-----',
    '-----END ',
    'MIIEabcdefghijklmnop',
    'hunter2hunter',
    'example.com',
    'ada@example.com',
    '\u00e9',
    '\u8c22',
    '\u{1f600}',
    '\u0000',
  ],
]

const samples = sample([
  'credit-card',
  'email',
  'us-ssn',
  'iban',
  'phone',
  'ip',
  'api-key',
  'jwt',
  'private-key',
  'secret',
])
  .map(({ text }) => text)
  .filter(text => text.length < 200)

/** Pieces and samples joined without anything between. */
export const fragments: fc.Arbitrary<string> = fc
  .array(
    fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom(...pieces) },
      { weight: 1, arbitrary: fc.constantFrom(...samples) },
    ),
    { maxLength: 14 },
  )
  .map(parts => parts.join(''))
