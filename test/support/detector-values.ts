// Synthetic values of every kind that detectors find. Deterministic: the same seed gives the same values. None is real.

/** A small generator of numbers (mulberry32), so that the sample is the same everywhere and every time. */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed
  }

  /** A whole number from 0 to below `limit`. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296) * limit)
  }

  between(from: number, to: number): number {
    return from + this.below(to - from + 1)
  }

  pick<Item>(items: readonly Item[]): Item {
    const item = items[this.below(items.length)]
    if (item === undefined) throw new Error('nothing to pick from')
    return item
  }

  text(length: number, alphabet: string): string {
    return Array.from({ length }, () => alphabet[this.below(alphabet.length)]).join('')
  }

  digits(length: number): string {
    return this.text(length, '0123456789')
  }

  /** `#` becomes a digit, `%` a digit from 2 to 9. */
  form(pattern: string): string {
    return pattern.replace(/[#%]/g, sign => (sign === '#' ? this.digits(1) : String(this.between(2, 9))))
  }
}

const lower = 'abcdefghijklmnopqrstuvwxyz'
const alphanumeric = `${lower}${lower.toUpperCase()}0123456789`
const urlSafe = `${alphanumeric}-_`
const hex = '0123456789abcdef'

/** Completes a number with Luhn's digit; `wrong` gives any other digit instead. */
export function withLuhn(digits: string, wrong = 0): string {
  const sum = [...digits].reverse().reduce((total, digit, index) => {
    const value = Number(digit) * (index % 2 === 0 ? 2 : 1)
    return total + (value > 9 ? value - 9 : value)
  }, 0)
  return `${digits}${(10 - (sum % 10) + wrong) % 10}`
}

const cardForms = [
  ['4', 16],
  ['51', 16],
  ['55', 16],
  ['2221', 16],
  ['2720', 16],
  ['34', 15],
  ['37', 15],
  ['6011', 16],
  ['65', 16],
  ['3530', 16],
  ['36', 14],
  ['6212', 17],
  ['4', 19],
] as const

export function card(random: Random, wrong = 0): string {
  const [prefix, length] = random.pick(cardForms)
  const digits = withLuhn(prefix + random.digits(length - prefix.length - 1), wrong)
  const separator = random.pick(['', '', ' ', '-', '.'])
  if (length === 14 || length === 15) return [digits.slice(0, 4), digits.slice(4, 10), digits.slice(10)].join(separator)
  return (digits.match(/.{1,4}/g) ?? []).join(separator)
}

const firstNames = [
  'ada',
  'grace',
  'linus',
  'margaret',
  'alan',
  'barbara',
  'edsger',
  'jos\u00e9',
  'zo\u00eb',
  '\u0438\u0432\u0430\u043d',
]
const familyNames = ['lovelace', 'hopper', 'hamilton', 'turing', 'liskov', 'm\u00fcller', "o'neil", 'van-dyk', 'tanaka']
const domains = [
  'example.com',
  'mail.example.org',
  'example.co.uk',
  '163.example.net',
  'b\u00fccher.example',
  'xn--bcher-kva.example',
  'a-b.example.io',
]

export function email(random: Random): string {
  const first = random.pick(firstNames)
  const family = random.pick(familyNames)
  const local = random.pick([
    first,
    `${first}.${family}`,
    `${first}_${family}${random.digits(2)}`,
    `${first}+${family}`,
    `${first[0]}${family}`,
  ])
  const address = `${local}@${random.pick(domains)}`
  return random.below(10) === 0 ? address.toUpperCase() : address
}

export function ssn(random: Random): string {
  const area = random.pick([random.between(1, 665), random.between(667, 899)])
  const parts = [
    String(area).padStart(3, '0'),
    String(random.between(1, 99)).padStart(2, '0'),
    String(random.between(1, 9999)).padStart(4, '0'),
  ]
  return parts.join('-')
}

/** Countries, how long their accounts are, and whether letters stand in them. */
const accounts = [
  ['DE', 18, false],
  ['GB', 18, true],
  ['FR', 23, false],
  ['NL', 14, true],
  ['CH', 17, false],
  ['NO', 11, false],
  ['MT', 27, true],
  ['PL', 24, false],
  ['SA', 20, false],
  ['ES', 20, false],
] as const

export function iban(random: Random, wrong = 0): string {
  const [country, length, letters] = random.pick(accounts)
  const bank = letters ? random.text(4, lower.toUpperCase()) : random.digits(4)
  const account = bank + random.digits(length - 4)
  const number = [...`${account}${country}00`].map(sign => Number.parseInt(sign, 36)).join('')
  const check = ((98n - (BigInt(number) % 97n) + BigInt(wrong)) % 97n).toString().padStart(2, '0')
  const whole = `${country}${check}${account}`
  return random.pick([whole, whole, (whole.match(/.{1,4}/g) ?? []).join(' '), whole.toLowerCase()])
}

/** Numbers that are written as telephone numbers are, so that no word has to say so. */
export function phone(random: Random): string {
  const pattern = random.pick([
    '+1 %## %##-####',
    '+1%##%######',
    '+1 (%##) %##-####',
    '(%##) %##-####',
    '%##-%##-####',
    '%##.%##.####',
    '1-%##-%##-####',
    '+44 20 #### ####',
    '+44 7### ######',
    '020 7### ####',
    '07### ######',
    '+49 151 ########',
    '+49 (0)30 #######',
    '0151-########',
    '030 #######',
    '089/#######',
    '+33 1 ## ## ## ##',
    '06 ## ## ## ##',
    '01.##.##.##.##',
    '+34 6## ### ###',
    '+91 9#### #####',
    '+86 138 #### ####',
    '138-####-####',
    '03-####-####',
    '090-####-####',
    '(11) 9####-####',
    '+55 11 9####-####',
    '(02) %### ####',
    '04## ### ###',
    '+61 4## ### ###',
    '0044 20 #### ####',
    '+41 44 ### ## ##',
    '+352 ######',
    '+7 495 ###-##-##',
    '+49-151-########',
    '+44(0)20 7### ####',
    '(%##)%##-####',
    '%## %##-####',
    '+1 %##.%##.####',
    '+972-50-###-####',
    '+353 1 ### ####',
    '+380 44 ### ## ##',
    '010-####-####',
    '+358 40 #######',
    '+65 9### ####',
    '+1-%##-%##-####',
  ])
  return random.form(pattern)
}

/** Numbers that only the word before them makes one. */
export function barePhone(random: Random): string {
  return random.form(random.pick(['%########', '%##%######', '%## %## ####', '%##-####', '9#### #####', '6## ### ###']))
}

export function ipAddress(random: Random): string {
  const octets = (): string =>
    [random.between(1, 223), random.below(256), random.below(256), random.between(1, 254)].join('.')
  const group = (): string => random.text(random.between(1, 3), hex) + random.digits(1)
  return random.pick([
    octets,
    octets,
    () => Array.from({ length: 8 }, group).join(':'),
    () => `2001:db8::${group()}:${group()}`,
    () => `fe80::${group()}:${group()}:${group()}:${group()}`,
    () => `::ffff:${octets()}`,
    () => '::1',
  ])()
}

const base64url = (text: string): string => Buffer.from(text).toString('base64url')

export function jwt(random: Random): string {
  const header = JSON.stringify({
    alg: random.pick(['HS256', 'RS256', 'ES256', 'EdDSA']),
    typ: 'JWT',
    kid: random.text(8, alphanumeric),
  })
  const claims = JSON.stringify({
    sub: random.digits(10),
    iss: 'https://login.example.com',
    iat: 1_700_000_000 + random.below(1e6),
  })
  return `${base64url(header)}.${base64url(claims)}.${random.text(random.pick([43, 86, 342]), urlSafe)}`
}

/** A frame with random base64 inside: no key of anything. */
export function privateKey(random: Random): string {
  const label = random.pick([
    'PRIVATE KEY',
    'RSA PRIVATE KEY',
    'EC PRIVATE KEY',
    'OPENSSH PRIVATE KEY',
    'ENCRYPTED PRIVATE KEY',
  ])
  const lines = Array.from({ length: random.between(2, 12) }, () => random.text(64, `${alphanumeric}+/`))
  const newline = random.pick(['\n', '\n', '\r\n', '\\n', ' ', '\n    ', '%0A'])
  const begin = `${'-'.repeat(5)}BEGIN ${label}${'-'.repeat(5)}`
  return [begin, ...lines, begin.replace('BEGIN', 'END')].join(newline)
}

/** Prefixes are put together here, so that no scanner of repositories takes a line of this file for a key. */
export function apiKey(random: Random): string {
  const of = (...parts: string[]): string => parts.join('')
  return random.pick([
    () => of('AK', 'IA', random.text(16, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567')),
    () => of('AS', 'IA', random.text(16, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567')),
    () => of('gh', random.pick(['p', 'o', 's']), '_', random.text(36, alphanumeric)),
    () => of('github', '_pat_', random.text(22, alphanumeric), '_', random.text(59, alphanumeric)),
    () => of('gl', 'pat-', random.text(20, urlSafe.slice(0, 62))),
    () => of('xo', 'xb-', random.digits(12), '-', random.digits(12), '-', random.text(24, alphanumeric)),
    () => of('sk', '_live_', random.text(24, alphanumeric)),
    () => of('rk', '_test_', random.text(24, alphanumeric)),
    () => of('AI', 'za', random.text(34, urlSafe), random.text(1, alphanumeric)),
    () => of('np', 'm_', random.text(36, alphanumeric)),
    () => of('sk', '-', random.text(48, alphanumeric)),
    () => of('sk', '-proj-', random.text(60, alphanumeric)),
    () => of('S', 'G.', random.text(22, alphanumeric), '.', random.text(43, alphanumeric)),
    () => of('shp', 'at_', random.text(32, hex)),
    () => of('hf', '_', random.text(34, alphanumeric)),
    () =>
      of(
        'https://hooks.',
        'slack.com/services/T',
        random.digits(8),
        '/B',
        random.digits(8),
        '/',
        random.text(24, alphanumeric),
      ).slice(8),
  ])()
}

export function password(random: Random): string {
  return random.pick([
    () => random.text(random.between(12, 32), alphanumeric),
    () => `${random.text(6, lower)}${random.digits(3)}${random.text(4, alphanumeric)}!`,
    () => random.text(40, hex),
    () => random.text(40, `${alphanumeric}+/`).replace(/^\//, 'x'),
    () => `${random.text(3, lower)}#${random.text(5, alphanumeric)}@${random.digits(2)}`,
    () => [8, 4, 4, 4, 12].map(length => random.text(length, hex)).join('-'),
  ])()
}
