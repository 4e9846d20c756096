// What looks like a card, an address, a key or a secret, and is none. Deterministic; see detector-sample.ts.
import { card, iban, type Random, ssn } from './detector-values.ts'

interface Negative {
  readonly family: string
  make(random: Random): string
}

const hex = '0123456789abcdef'
const alphanumeric = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'

const two = (random: Random, limit: number): string => String(random.between(1, limit)).padStart(2, '0')
const date = (random: Random): string => `20${two(random, 29)}-${two(random, 12)}-${two(random, 28)}`
const time = (random: Random): string => `${two(random, 23)}:${two(random, 59)}:${two(random, 59)}`
const uuid = (random: Random): string => [8, 4, 4, 4, 12].map(length => random.text(length, hex)).join('-')
const words =
  'the relay reads every message and asks policy before it goes on so that nobody has to trust a token a password policy or a secret handshake alone'.split(
    ' ',
  )
const prose = (random: Random): string =>
  Array.from({ length: random.between(8, 40) }, () => random.pick(words)).join(' ')

/** Each is one or several forms; the first word names what it is mistaken for. */
const forms: Readonly<Record<string, (random: Random) => string>> = {
  'order numbers': random =>
    random.form(
      random.pick([
        'ORD-20##-0######',
        'order #1#######',
        'INV-2023-#####',
        'PO 45########',
        'order 10########',
        'case 00######-A',
      ]),
    ),
  uuids: random =>
    random.pick([
      uuid(random),
      `id=${uuid(random)}`,
      `{"id":"${uuid(random)}","parent":"${uuid(random)}"}`,
      uuid(random).toUpperCase(),
    ]),
  timestamps: random =>
    random.pick([
      `${date(random)}T${time(random)}Z`,
      `${date(random)} ${time(random)}.${random.digits(6)}+02`,
      `17${random.digits(8)}`,
      `17${random.digits(11)}`,
      `17${random.digits(14)}`,
      `17${random.digits(17)}`,
      `${two(random, 28)}/${two(random, 12)}/20${two(random, 29)} ${time(random)}`,
      `${two(random, 28)}.${two(random, 12)}.20${two(random, 29)} 10.30`,
      `0${random.between(1, 9)}-0${random.between(1, 9)}-2023 12:30`,
    ]),
  versions: random =>
    random.form(
      random.pick([
        'v#.##.#',
        '#.#.#-rc.#',
        'v1.2.#.#',
        'version 10.#.#.#',
        'Chrome/12#.0.60##.1##',
        'Safari/5#.3.#.1',
        'node 20.19.#',
        'lib@^#.#.#',
        '1.2.#',
      ]),
    ),
  hashes: random =>
    random.pick([
      random.text(40, hex),
      random.text(64, hex),
      random.text(32, hex),
      `sha256:${random.text(64, hex)}`,
      `commit ${random.text(7, hex)}`,
      `etag "${random.text(27, alphanumeric)}"`,
    ]),
  prose,
  prices: random =>
    random.form(
      random.pick([
        '$1,%##.##',
        '\u20ac 1.%##,##',
        '%##.## USD',
        'total: %#,###,###.##',
        '%##%.##%',
        '-%###.##',
        '#.################',
        '0.####################',
      ]),
    ),
  ids: random =>
    random.pick([
      random.digits(5),
      random.digits(6),
      `1${random.digits(17)}`,
      `user_${random.digits(8)}`,
      `row ${random.digits(9)}`,
      `acct ${random.digits(12)}`,
      `/users/${random.digits(9)}/orders/${random.digits(10)}`,
      random.digits(22),
      random.digits(40),
    ]),
  'email-likes': random =>
    random.pick([
      `@${random.pick(words)}`,
      `lodash@4.17.${random.digits(2)}`,
      'icon@2x.png',
      `user@localhost`,
      `image@sha256:${random.text(64, hex)}`,
      'meet me @ the office',
      `a@${random.pick(words)}`,
      `@scope/package@1.${random.digits(1)}.0`,
      'root@host:~# ls',
      '@@ -1,4 +1,9 @@',
      'price @1.20 each',
    ]),
  'cards with a wrong digit': random => card(random, random.between(1, 9)),
  'cards inside longer numbers': random =>
    random.pick([`${random.digits(3)}4111111111111111${random.digits(5)}`, `a4111111111111111b`, `0.4111111111111111`]),
  'article numbers': random =>
    random.form(
      random.pick([
        '978-3-16-######-#',
        '400########%#',
        '45###########',
        '0 ##### ##### #',
        'EAN 49###########',
        'ISBN 0-306-#####-#',
      ]),
    ),
  'numbers never given out': random =>
    random.pick([
      `000${ssn(random).slice(3)}`,
      `666${ssn(random).slice(3)}`,
      `9${random.digits(2)}${ssn(random).slice(3)}`,
      `${ssn(random)}-01`,
      `12-${ssn(random)}`,
      `${ssn(random).slice(0, 7)}0000`,
      random.digits(9),
    ]),
  'accounts with wrong check digits': random => iban(random, random.between(2, 90)),
  'phone-likes': random =>
    random.form(
      random.pick([
        'GMT+02:00',
        'UTC+0530',
        '+%#%',
        '1920x1080',
        '%##-##-####-#',
        '1999-2003',
        '52.#####, 13.#####',
        '%###-####',
        '+#### points',
        'range 1000000-2000000',
        'phone order 100######',
        'part %##-%##-####-A#',
        '10.%##.%##/suffix-####',
        '10:%#:00-11:%#:00',
        '## ## ##',
        'pages 123-145, 160-171',
        '1 000 000 000',
        'A1-%##-%##-####',
        'c++ 20######',
        '(2023) 12: 100-120',
        '2 ### ### ###',
        'x=%##.##,y=%##.##',
      ]),
    ),
  'address-likes': random =>
    random.form(
      random.pick([
        '256.1#.2#.3#',
        '1.2.#',
        '12:##:4#',
        'aa:bb:cc:dd:ee:0#',
        'std::vector',
        'ab::cd',
        '1.2.3.4.5.#',
        'a:b',
        'foo::bar::baz',
        '::',
        '10:15',
        '01.02.2023',
        'section 1.2.3.#',
        '{"a":1,"b":[1,2]}',
        'http://example.com:8080/',
      ]),
    ),
  'token-likes': random =>
    random.pick([
      `eyJ${random.text(20, alphanumeric)}`,
      `eyJ${random.text(20, alphanumeric)}.${random.text(20, alphanumeric)}`,
      `${Buffer.from('{"typ":"text"}').toString('base64url')}.${random.text(20, alphanumeric)}.x`,
      Buffer.from(prose(random)).toString('base64'),
      'heyJude.and.others',
    ]),
  'public keys': random => {
    const label = random.pick(['PUBLIC KEY', 'CERTIFICATE', 'RSA PUBLIC KEY', 'CERTIFICATE REQUEST'])
    const dashes = '-'.repeat(5)
    return random.pick([
      `${dashes}BEGIN ${label}${dashes}\n${random.text(64, alphanumeric)}\n${dashes}END ${label}${dashes}`,
      `A key begins with ${dashes}BEGIN PRIVATE KEY${dashes} and ends with the same.`,
      `${'-'.repeat(40)}`,
      '-- BEGIN PRIVATE KEY --',
      `ssh-ed25519 AAAA${random.text(60, alphanumeric)} ada`,
    ])
  },
  'key-likes': random =>
    random.pick([
      'npm_config_registry',
      'sk-learn and scikit-learn-contrib-extra',
      'risk-management-of-large-projects',
      `task-${random.text(24, alphanumeric)}`,
      `gh${'p'}_short${random.digits(3)}`,
      'AKIA is the prefix',
      `akia${random.text(16, 'abcdefgh')}`,
      'hf_hub_download_of_something_longer_than_thirty',
      `pk${'_live_'}${random.text(24, alphanumeric)}`,
      'key-value-store-of-the-relay-and-the-agent',
      'SG.prefix',
      'xoxb-',
      `class-sk-${random.text(8, hex)}`,
    ]),
  'secret-likes': random =>
    random.pick([
      // biome-ignore lint/suspicious/noTemplateCurlyInString: a placeholder as it stands in a file
      'password=${DB_PASSWORD}',
      'password: required',
      'token: string',
      '"token_type": "bearer"',
      'max_tokens=4096',
      'secretName: db-credentials-v2',
      'secret: app-tls-2',
      '"password": "Enter your new password"',
      'password = userPasswordInput',
      'const token = await getToken(user1)',
      'token: null, password: undefined',
      '{"password":"****","token":"<your token here 123>"}',
      'passwords: 12 changed, 3 expired',
      'token: {{ .Values.token1 }}',
      'secret: /var/run/secrets/token1',
      `password_changed_at=${date(random)}T${time(random)}Z`,
      `hash=${random.text(40, hex)}`,
      `compass=${random.text(16, alphanumeric)}`,
      `tokens: ${random.digits(8)}`,
      'https://example.com:8080/path',
      'the token: it was lost in 2023',
      `token=${random.digits(6)}`,
      'password !== confirmPassword2',
    ]),
  'groups of digits': random =>
    random.form(
      random.pick([
        '0### #### ####',
        '2### #### ####',
        '12-3#-5# 1#######',
        'DE#########',
        'meter 0012#### ####',
        'A12 3#4 B56',
        '%# %# %# %# %# %#',
        '0.1# 0.2# 0.3# 0.4#',
        '## ### ## ###',
        '7500# Paris',
        '1:23 2:34 3:45',
        '0-0-1-2-3',
        '10 20 30 40 50 60',
        '20##1123-10####',
        '#.#E-0#',
        '1,000,000,###',
        '#### #### ####',
      ]),
    ),
  'lines of files': random =>
    random.pick([
      `"integrity": "sha512-${Buffer.from(random.text(64, alphanumeric)).toString('base64')}"`,
      `"resolved": "https://registry.example.com/lib/-/lib-1.2.${random.digits(2)}.tgz"`,
      `index ${random.text(7, hex)}..${random.text(7, hex)} 100644`,
      `Author: ada  ${date(random)} ${time(random)} +0200`,
      `127 ${random.digits(4)} ${random.digits(6)} ${random.digits(8)} 0.${random.digits(6)}`,
      `  resources: { limits: { cpu: 500m, memory: ${random.digits(3)}Mi } }`,
      `BIC DEUTDEFF${random.digits(3)}, sort code ${random.form('##-##-##')}`,
      `data:image/png;base64,${random.text(120, alphanumeric)}`,
      `M 12.${random.digits(2)} 45.${random.digits(2)} L 100.5 200.25 C 1 2 3 4 5 6 Z`,
      `\\u00e9t\\u00e9 ${random.digits(3)}`,
    ]),
  code: random =>
    random.pick([
      'if (a > b && c <= 10) return x[3] - y',
      'select id, name from t where a = 1 and b in (1, 2, 3)',
      'for (let i = 0; i < 100; i += 1) sum += i',
      'GET /api/v1/items?page=2&size=100 HTTP/1.1',
      `Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0.6099.${random.digits(3)} Safari/537.36`,
      'rgb(12, 34, 56) #aabbcc 12px 34em',
      `{"x":${random.digits(3)}.${random.digits(9)},"y":[1,2,3],"ok":true}`,
      '-rw-r--r-- 1 root root 12345678 Nov 23 10:15 file-2023.log',
    ]),
}

export const negatives: readonly Negative[] = Object.entries(forms).map(([family, make]) => ({ family, make }))
