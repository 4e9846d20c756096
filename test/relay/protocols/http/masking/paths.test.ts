// Patterns of fields: the automaton says what trying every pattern says.
import { Paths } from '@gate/relay/protocols/http/masking/paths'
import fc from 'fast-check'
import t from 'tap'
import { isHit } from '#support/masking'

function maskAt(paths: Paths, names: readonly string[]): number {
  return names.reduce((state, name) => {
    const bytes = Buffer.from(`"${name}"`)
    const below = paths.below(state, bytes, 1, bytes.length - 1)
    t.same(paths.belowText(state, name).places, below.places)
    return below
  }, paths.start).mask
}

t.test('a name, any name, any number of names', async t => {
  const paths = new Paths([['customers.email'], ['*.ssn', '**.password_hash'], ['billing.**.pan']])
  const cases: readonly (readonly [string, number])[] = [
    ['customers.email', 0],
    ['customers.emails', -1],
    ['customers', -1],
    ['email', -1],
    ['x.customers.email', -1],
    ['x.ssn', 1],
    ['ssn', -1],
    ['x.y.ssn', -1],
    ['password_hash', 1],
    ['a.b.c.password_hash', 1],
    ['billing.pan', 2],
    ['billing.cards.main.pan', 2],
    ['billing', -1],
    ['Customers.EMAIL', 0],
  ]
  for (const [names, mask] of cases) t.equal(maskAt(paths, names.split('.')), mask, names)
})

t.test('what nobody sees of a name is left out of it', async t => {
  const paths = new Paths([['email'], ['pass word']])
  for (const name of ['email\0', '\0email', 'email\0x', ' email\t', '\u00a0Email', '\ufeffe\u200bmail', '\u202eemail'])
    t.equal(maskAt(paths, [name]), 0, JSON.stringify(name))
  t.equal(maskAt(paths, ['Pass word ']), 1)
  t.equal(maskAt(paths, ['emai']), -1)
})

t.test('words of a name, however a service puts them together', async t => {
  const paths = new Paths([['patient_id', 'eMail', 'home-page', 'pass word', '-'], ['**._etag']])
  const names = ['patientId', 'PatientID', 'patient-id', 'patient id', 'PATIENT_ID', 'patient\u2010id', '_patient__id']
  for (const name of [...names, 'e_mail', 'E-Mail', 'home_page', 'HomePage', 'passWord', 'pass\u00a0word', '-'])
    t.equal(maskAt(paths, [name]), 0, name)
  t.equal(maskAt(paths, ['x', 'eTag']), 1)
  for (const name of ['patientids', 'patientxid', 'patient', 'id', '_', '--', '', ' ', 'patient+id'])
    t.equal(maskAt(paths, [name]), -1, name)
})

t.test('names with prefixes, pointers and addresses', async t => {
  const paths = new Paths([['customers.email'], ['**.ssn']])
  for (const name of ['/customers/0/email', '#/customers/email', '/customers/email/work'])
    t.equal(maskAt(paths, [name]), 0, name)
  t.equal(maskAt(paths, ['customers', 'crm:email']), 0, 'a prefix is no name around it')
  t.equal(maskAt(paths, ['customers', 'http://schema.example/email']), 0)
  t.equal(maskAt(paths, ['customers', 'crm:name']), -1)
  for (const name of ['ns2:ssn', '@ssn', 'http://schema.example/ssn', 'http://a.example/terms#SSN', '/a/b/ssn'])
    t.equal(maskAt(paths, [name]), 1, name)
  for (const name of ['12:30:00', 'text/html', '/', '::', '@', 'ssn+xml']) t.equal(maskAt(paths, [name]), -1, name)
})

t.test('the first of several masks counts, and two stars alone are everything', async t => {
  t.equal(maskAt(new Paths([['a.b'], ['**.b'], ['**']]), ['a', 'b']), 0)
  t.equal(maskAt(new Paths([['c'], ['**.b'], ['a.b']]), ['a', 'b']), 1)
  t.equal(new Paths([['**']]).start.mask, 0)
  t.equal(new Paths([['a']]).start.mask, -1)
})

t.test('below a place where nothing is masked nothing is looked at', async t => {
  const paths = new Paths([['a.b']])
  t.equal(paths.start.alive, true)
  t.equal(paths.belowText(paths.start, 'x').alive, false)
})

t.test('a name with dots or brackets is one, and those that it is made of', async t => {
  const paths = new Paths([['user.email', 'a.*.b', 'card'], ['**.tag']])
  const cases: readonly (readonly [names: readonly string[], mask: number])[] = [
    [['user.email'], 0],
    [['USER[0][eMail]'], 0],
    [['user.email.domain'], 0],
    [['user.name'], -1],
    [['user.', 'email'], 0],
    [['card.pan'], 0],
    [['cards.pan'], -1],
    [['a', 'x.y', 'b'], 0],
    [['a.x', 'b'], 0],
    [['@odata.tag'], 1],
    [['...'], -1],
    [['.'], -1],
    [['.email'], -1],
  ]
  for (const [names, mask] of cases) t.equal(maskAt(paths, names), mask, names.join(' / '))
})

t.test('capitals of any script', async t => {
  const paths = new Paths([['Größe.naïve', 'key']])
  t.equal(maskAt(paths, ['grÖße', 'NAÏVE']), 0)
  t.equal(maskAt(paths, ['\u212aey']), 0)
  t.equal(maskAt(paths, ['kéy']), -1)
})

t.test('other forms of the same letters', async t => {
  const paths = new Paths([
    ['email', 'ssn', 'id', 'strasse', 'user.pan'],
    ['ﬁle', 'ΟΔΟΣ'],
  ])
  for (const name of [
    'ｅｍａｉｌ',
    'ſſn',
    'İd',
    'ıD',
    'Straße',
    'STRAẞE',
    'e\ufe0fma\u034fil',
    'user．pan',
    '𝐞mail',
    'email\u3164',
  ])
    t.equal(maskAt(paths, [name]), 0, name)
  for (const name of ['file', 'οδος', 'οδοσ']) t.equal(maskAt(paths, [name]), 1, name)
  for (const name of ['émail', 'еmail', 'sn', 'd', 'user']) t.equal(maskAt(paths, [name]), -1, name)
})

t.test('a number may be an index, which has no name', async t => {
  const paths = new Paths([['users.email', 'a.0.b'], ['17']])
  const cases: readonly (readonly [names: readonly string[], mask: number])[] = [
    [['users', '0', 'email'], 0],
    [['users', '3', '\u0035', 'email'], 0],
    [['users', '１', 'email'], 0],
    [['0', 'users', 'email'], 0],
    [['a', '0', 'b'], 0],
    [['a', '1', 'b'], -1],
    [['17'], 1],
    [['3', '17'], 1],
    [['users', '1a', 'email'], -1],
    [['users', '', 'email'], -1],
    [['users', '-1', 'email'], -1],
  ]
  for (const [names, mask] of cases) t.equal(maskAt(paths, names), mask, names.join(' / '))
})

t.test('a pattern with an empty name is a mistake', async t => {
  for (const pattern of ['', 'a..b', '.a', 'a.']) t.throws(() => new Paths([[pattern]]), { code: 'ERR_GATE_CONFIG' })
})

const name = fc.constantFrom('a', 'b', 'email', 'émail', 'c')
const written = fc.oneof(
  name,
  fc.constantFrom(
    'x',
    'A',
    'ÉMAIL',
    'E_mail',
    '-a',
    '_',
    'x:a',
    '/a/b/',
    'a.b',
    'b[c][1]',
    'x.Email',
    'a.b.c',
    '[',
    'c.',
    '0',
    '12',
  ),
)
const pattern = fc.array(fc.oneof(name, fc.constantFrom('*', '**')), { minLength: 1, maxLength: 5 })

t.test('any patterns and names: as if each pattern were tried', async t => {
  fc.assert(
    fc.property(
      fc.array(fc.array(pattern, { maxLength: 3 }), { maxLength: 4 }),
      fc.array(written, { maxLength: 7 }),
      (masks, names) => {
        const paths = new Paths(masks.map(patterns => patterns.map(parts => parts.join('.'))))
        t.equal(
          maskAt(paths, names),
          masks.findIndex(patterns => patterns.some(parts => isHit(parts, names))),
        )
      },
    ),
    { numRuns: 500 },
  )
})

t.test('patterns of very many states stay right after states were forgotten', async t => {
  // Of the names before the last twelve each may or may not have been an a: 4096 sets.
  const parts = ['**', 'a', ...Array.from({ length: 12 }, () => '*')]
  const paths = new Paths([[parts.join('.')]])
  fc.assert(
    fc.property(fc.array(fc.constantFrom('a', 'b'), { minLength: 13, maxLength: 300 }), names => {
      t.equal(maskAt(paths, names), names.at(-13) === 'a' ? 0 : -1)
    }),
    { numRuns: 100 },
  )
})
