// Columns of CSV: quotes, line breaks in quotes, rows that are not what they should be, and any split.
import { hashText } from '@gate/relay/mask/values'
import fc from 'fast-check'
import t from 'tap'
import { detect, everySplit, fields, maskBody, maskKey, maskPieces, masksOf } from '#support/masking'

const email = masksOf(fields(['email']))

const cases: readonly (readonly [name: string, clear: string, masked: string])[] = [
  ['a column', 'id,email,city\r\n1,a@b.c,x\r\n2,d@e.f,"y"\r\n', 'id,email,city\r\n1,****,x\r\n2,****,"y"\r\n'],
  ['line feeds alone, none at the end', 'email\na\nb', 'email\n****\n****'],
  ['quotes and line breaks', 'id,"email"\n"1\r\n2,3","a\n""b"",c"\n4,d\n', 'id,"email"\n"1\r\n2,3",****\n4,****\n'],
  ['an empty cell', 'a,email\n,\n"",""\n', 'a,email\n,****\n"",****\n'],
  ['blanks around a name', 'a, email ,b\n1, 2,3\n', 'a, email ,b\n1,****,3\n'],
  ['two columns of one name', 'email,a,email\n1,2,3\n', 'email,a,email\n****,2,****\n'],
  ['a byte order mark', '\ufeffemail,a\n1,2\n', '\ufeffemail,a\n****,2\n'],
  ['a byte order mark and quotes', '\ufeff"email",a\n1,2\n', '\ufeff"email",a\n****,2\n'],
  ['empty rows', 'email,a\n\n1,2\n\n', 'email,a\n\n****,2\n\n'],
  ['values called as columns are', 'email,a\n1,email\nx,email\n1,a\n', 'email,a\n****,email\n****,email\n****,a\n'],
  ['names with quotes in them', '"e""name",email\n1,2\n', '"e""name",email\n1,****\n'],
]

for (const [name, clear, masked] of cases) {
  t.test(`CSV, ${name}: at every split`, async t => {
    for (const pieces of everySplit(Buffer.from(clear))) t.equal(maskPieces('text/csv', email, pieces), masked)
  })
}

t.test('how a cell is masked', async t => {
  const masked = (...masks: Parameters<typeof masksOf>): string =>
    maskBody('text/csv', masksOf(...masks), 'e,n\n"ada@example.com",1\n')
  t.equal(masked(fields(['e'], 'partial')), 'e,n\na***@***.com,1\n')
  t.equal(masked(fields(['*'], 'null')), 'e,n\n,\n')
  t.equal(masked(fields(['*'], 'fixed', 'a "b", c')), 'e,n\n"a ""b"", c","a ""b"", c"\n')
  t.equal(masked(fields(['e'], 'hash')), `e,n\n${hashText(maskKey, Buffer.from('ada@example.com'))},1\n`)
  t.equal(masked(fields(['n'], 'redact'), detect(['email'])), 'e,n\n****,****\n')
  t.equal(masked(detect(['email'], 'null')), 'e,n\n,1\n')
})

t.test('columns by paths: one name, or the names that it is made of, or those that a path ends with', async t => {
  const masks = masksOf(fields(['customer.email', '**.ssn', 'billing.*.pan', 'cards.*']))
  t.equal(
    maskBody('text/csv', masks, 'customer.email,email,a.ssn,ssn,x.pan,pan,other.email,holder\n1,2,3,4,5,6,7,8\n'),
    'customer.email,email,a.ssn,ssn,x.pan,pan,other.email,holder\n****,****,****,****,****,****,7,8\n',
  )
})

t.test('names of columns are names in any case', async t => {
  const masks = masksOf(fields(['customers.eMail', 'ssn']))
  t.equal(maskBody('text/csv', masks, 'ID,EMAIL,Ssn,x\n1,2,3,4\n'), 'ID,EMAIL,Ssn,x\n1,****,****,4\n')
})

t.test('names of columns that are written for people', async t => {
  const masks = masksOf(fields(['**.email', 'password_hash', 'cardNumber', '_']))
  t.equal(
    maskBody('text/csv', masks, 'E-Mail,Password Hash,card_number,Name\n1,2,3,4\n'),
    'E-Mail,Password Hash,card_number,Name\n****,****,****,4\n',
  )
  for (const names of [
    'Email*,Password.Hash,card..number',
    '* E-Mail.,.Password-Hash.,Card.Number',
    'Ｅ－Ｍａｉｌ,Password\u00a0Hash,Card Number *',
  ])
    t.equal(maskBody('text/csv', masks, `${names},n\n1,2,3,4\n`), `${names},n\n****,****,****,4\n`, names)
})

t.test('a document in a cell', async t => {
  t.equal(
    maskBody('text/csv', masksOf(fields(['**.email'])), 'email,payload\n1,"{""Email"": ""x"",""b"":1}"\n2,{b}\n'),
    'email,payload\n****,"{""Email"": ""****"",""b"":1}"\n****,{b}\n',
  )
})

t.test('what other readers could read otherwise is refused', async t => {
  for (const text of [
    'email,a\n1\n',
    'email,a\nnick,email\nx,ann@b.c\n',
    'email,a\n1,2\na,EMAIL\nx,ann@b.c\n',
    'email,a\n1,2,3\n',
    'email\n"1',
    'email\n1"2"\n',
    'email\n"1"2\n',
    'email,a\n"1"x2\n',
    'email\r1\r',
    'email\n1\r',
    'email\n"1" \n',
    'id;email\n1;2\n',
    'id\temail\n',
    'email,"a|b"\n1,2\n',
    'email\n\u00001\n',
    'email,id\nx,1\n\nid,email\n1,x\n',
  ])
    t.throws(() => maskBody('text/csv', email, text), { code: 'ERR_GATE_TARGET_PROTOCOL' }, JSON.stringify(text))
  t.throws(() => maskBody('text/csv', email, `email\n${'x'.repeat(1_048_577)}`), { code: 'ERR_GATE_LIMIT' })
})

t.test('a first row that readers pass over names nothing', async t => {
  for (const first of ['', 'sep=,', 'SEP=;', '#id,email'])
    t.throws(
      () => maskBody('text/csv; header=present', masksOf(fields(['email'])), `${first}\nid,email\n1,x\n`),
      { code: 'ERR_GATE_TARGET_PROTOCOL' },
      first,
    )
})

t.test('a first row that may be no row of names is refused, unless the type says so', async t => {
  t.throws(() => maskBody('text/csv', email, '1,ada@example.com\n'), { code: 'ERR_GATE_TARGET_PROTOCOL' })
  t.equal(maskBody('text/csv; header=present', email, 'id,city\n1,x\n'), 'id,city\n1,x\n')
  t.throws(() => maskBody('text/csv;header="Absent"', email, ''), /without a row of names/)
  const search = masksOf(detect(['email']))
  t.equal(maskBody('text/csv; header=absent', search, '1,ada@example.com\n2;3\n'), '1,****\n2;3\n')
})

/** Replaced once the row is written, so that it has no quotes. */
const SHOWN = 'shown instead'
const cell = fc
  .oneof(fc.constantFrom('', 'SECRET', 'a,b', '"', 'x\ny', 'é'), fc.string({ unit: 'grapheme', maxLength: 5 }))
  .map(text => text.replaceAll('\0', ''))
const write = (rows: readonly (readonly string[])[], quotes: boolean): string =>
  rows
    .map(row => row.map(text => (quotes || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)).join(','))
    .join('\r\n')

t.test('any table: the named columns are masked, the rest keeps its bytes', async t => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(cell, cell, cell), { maxLength: 5 }),
      fc.boolean(),
      fc.nat(),
      (rows, quotes, place) => {
        const body = Buffer.from(write([['a', 'email', 'b'], ...rows], quotes))
        const masked = write([['a', 'email', 'b'], ...rows.map(([a, , b]) => [a, SHOWN, b])], quotes)
          .replaceAll(`"${SHOWN}"`, '****')
          .replaceAll(SHOWN, '****')
        const at = place % (body.length + 1)
        t.equal(maskPieces('text/csv', email, [body.subarray(0, at), body.subarray(at)]), masked)
      },
    ),
  )
})

t.test('an address that holds a name is no name', async t => {
  const masks = masksOf(fields(['email']))
  for (const first of ['email:ada@example.com,1', 'a/email,b', '#email,b'])
    t.throws(() => maskBody('text/csv', masks, `${first}\r\n`), { code: 'ERR_GATE_TARGET_PROTOCOL' }, first)
  t.equal(maskBody('text/csv;header=present', masks, 'ns:email,n\nx,1\n'), 'ns:email,n\n****,1\n')
})
