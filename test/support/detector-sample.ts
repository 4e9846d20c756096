// A labelled sample: values of each kind in the places where they turn up, and what looks like them and is not.
import type { DetectorKind } from '@gate/relay/mask/detectors'
import { negatives } from './detector-negatives.ts'
import * as make from './detector-values.ts'
import { Random } from './detector-values.ts'

export interface Sample {
  readonly text: string
  /** What has to be found in it, and nothing else. */
  readonly expected: readonly { readonly kind: DetectorKind; readonly value: string }[]
  /** What the text is, for whoever reads a failure. */
  readonly family: string
}

const PER_KIND = 150
const PER_NEGATIVE = 40

/** Where values stand: alone, in prose, in rows, logs, code, URLs. `@@` is the value. */
const anywhere = [
  '@@',
  '  @@  ',
  'Please use @@ from now on.',
  'It was @@, as far as we know.',
  '(@@)',
  '"@@"',
  "insert into notes values (17, '@@', now())",
  '42,@@,open,2023-11-23',
  'open\t@@\t2023-11-23T10:15:00Z',
  '2023-11-23T10:15:00.123Z INFO worker[12] value=@@ took 12ms',
  '{"id":1042,"note":"@@","tags":["a","b"]}',
  '<td class="c1">@@</td>',
  'value: @@\nother: 12\n',
  'first line\n@@\nlast line',
  'Gr\u00fc\u00dfe an @@ \u2013 bis bald',
  'see [this](@@), then go on',
  'key=@@;other=1',
  '`@@`',
  '- @@\n- next\n',
  '\u8bf7\u67e5\u6536 @@ \u8c22\u8c22',
]

const ssnPlaces = ['@@', 'SSN: @@', 'ssn=@@', '{"ssn": "@@"}', 'her number is @@.', "('Ada', '@@', 12)"]
const nameless = [
  ['SSN @@', '-', ''],
  ['Social Security Number: @@', '-', ' '],
  ['{"ssn":"@@"}', '-', ''],
] as const
const phonePlaces = [
  'Tel: @@',
  'phone @@',
  'my phone number is @@',
  '{"phone":"@@","city":"Oslo"}',
  '"phoneNumber": "@@"',
  'home_phone=@@',
  'Mobile: @@',
  'mobile no. @@',
  'Fax @@, office 12',
  'WhatsApp: @@',
]
const secretPlaces = [
  'password=@@',
  'DB_PASSWORD=@@',
  'export API_TOKEN=@@',
  'password: @@',
  '"password": "@@"',
  '{"user":"ada","password":"@@","tries":3}',
  "client_secret = '@@'",
  'secret: "@@"',
  '"apiKey":"@@"',
  'https://example.com/cb?state=1&access_token=@@&x=2',
  'Server=db;User Id=app;Password=@@;Encrypt=true',
  'AWS_SECRET_ACCESS_KEY=@@',
  'Authorization: Bearer @@',
  'authToken => "@@"',
  '<password>@@</password>',
  'dbPass: "@@"',
  "  password: '@@'",
  'Password = "@@"',
  '<user name="ada" password="@@"/>',
  'pwd:@@',
  'refresh_token: @@, expires: 3600',
  'Authorization: Basic @@',
  'curl --token=@@ https://example.com',
  '{\\"token\\":\\"@@\\"}',
]

function put(place: string, value: string): string {
  return place.replace('@@', () => value)
}

/** Values that stand in JSON or quotes need no escape; key blocks with real newlines stand elsewhere. */
function one(random: Random, kind: DetectorKind, index: number): Sample {
  const sample = (place: string, value: string): Sample => ({
    text: put(place, value),
    expected: [{ kind, value }],
    family: kind,
  })
  switch (kind) {
    case 'credit-card':
      return sample(random.pick(anywhere), make.card(random))
    case 'email':
      return sample(
        random.pick(anywhere),
        random.pick([(text: string) => text, (text: string) => text.replace('@', '%40')])(make.email(random)),
      )
    case 'us-ssn': {
      if (index % 4 > 0) return sample(random.pick([...ssnPlaces, ...anywhere]), make.ssn(random))
      const [place, from, to] = random.pick(nameless)
      return sample(place, make.ssn(random).replaceAll(from, to))
    }
    case 'iban':
      return sample(random.pick(anywhere), make.iban(random))
    case 'phone':
      return index % 4 > 0
        ? sample(random.pick(anywhere), make.phone(random))
        : sample(random.pick(phonePlaces), make.barePhone(random))
    case 'ip':
      return sample(
        random.pick([...anywhere, 'http://@@/', 'peer @@ closed', 'inet @@/24 scope global']),
        make.ipAddress(random),
      )
    case 'api-key':
      return sample(random.pick(anywhere), make.apiKey(random))
    case 'jwt': {
      if (index % 10 > 0)
        return sample(random.pick([...anywhere, 'Bearer @@', 'https://example.com/?t=@@']), make.jwt(random))
      const value = make.jwt(random)
      const expected = (['jwt', 'secret'] as const).map(found => ({ kind: found, value }))
      return { text: put('{"authorization":"Bearer @@"}', value), expected, family: kind }
    }
    case 'private-key':
      return sample(random.pick(anywhere), make.privateKey(random))
    case 'secret':
      if (index % 10 === 0)
        return sample('postgres://app:@@@db.internal:5432/app', make.password(random).replace(/[@#/]/g, 'x'))
      return sample(random.pick(secretPlaces), make.password(random).replace(/&/g, 'x'))
  }
}

/** At least two thousand texts, the same every time. */
export function sample(kinds: readonly DetectorKind[]): Sample[] {
  const random = new Random(20_231_123)
  const positives = kinds.flatMap(kind => Array.from({ length: PER_KIND }, (_, index) => one(random, kind, index)))
  const others = negatives.flatMap(({ family, make: makeOne }) =>
    Array.from({ length: PER_NEGATIVE }, () => ({ text: makeOne(random), expected: [], family })),
  )
  return [...positives, ...others]
}
