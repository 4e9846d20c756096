// What is left of errors and notices while masked columns are in reach: their SQLSTATE, names of objects, and words that hold no value.
import { withholdTexts } from '@gate/relay/protocols/postgres/withheld-texts'
import t from 'tap'

const error = (code: string, text: string, more: Readonly<Record<string, string>> = {}): Map<string, string> =>
  new Map(Object.entries({ S: 'ERROR', V: 'ERROR', C: code, M: text, D: 'a secret', H: 'a secret', ...more }))

const saidOf = (code: string, text: string, more?: Readonly<Record<string, string>>): string | undefined =>
  withholdTexts(error(code, text, more)).get('M')

const withheld = ' (text withheld by gate: masked columns are in reach)'

t.test('what the server always says in the same words stays', async t => {
  for (const [code, text] of [
    ['22001', 'value too long for type character varying(15)'],
    ['22001', 'value too long for type character(2)'],
    ['22012', 'division by zero'],
    ['0A000', 'cached plan must not change result type'],
    ['22003', 'integer out of range'],
    ['22003', 'value out of range: overflow'],
    ['23505', 'duplicate key value violates unique constraint "users_email_key"'],
  ] as const)
    t.equal(saidOf(code, text), text)
})

t.test('of everything else the name of its condition does', async t => {
  for (const [code, text, condition] of [
    ['22P02', 'invalid input syntax for type integer: "secret"', 'invalid text representation'],
    ['22003', 'value "4000123412341234" is out of range for type integer', 'numeric value out of range'],
    ['22001', 'value too long for type character varying(15): secret', 'string data right truncation'],
    ['22001', 'value too long for type character varying(4000123412341234)', 'string data right truncation'],
    ['22008', 'date/time field value out of range: "secret"', 'datetime field overflow'],
    ['22032', 'invalid JSON text: secret', 'invalid JSON text'],
    ['22ZZZ', 'secret', 'data exception'],
    ['23ZZZ', 'secret', 'integrity constraint violation'],
    ['P0001', 'secret', 'error raised by a function'],
    ['0A000', 'secret', 'feature not supported'],
    ['2BP01', 'secret', 'dependent objects still exist'],
    ['XX000', 'secret', 'internal error'],
    ['ZZZZZ', 'secret', 'message'],
    ['constructor', 'secret', 'message'],
  ] as const)
    t.equal(saidOf(code, text), `${condition}${withheld}`)
})

t.test('a function can raise any text in any words', async t => {
  const W = 'PL/pgSQL function own.raise(text) line 3 at RAISE'
  t.equal(saidOf('22012', 'division by zero', { W }), `division by zero${withheld}`)
  t.equal(saidOf('23505', 'secret', { W }), `integrity constraint violation${withheld}`)
})

t.test('which objects DROP does not find, or takes along, is no value, unless code of others runs it', t => {
  const said = (R: string, more = {}): string | undefined => saidOf('00000', 'table "a" does not exist', { R, ...more })
  for (const R of ['DropErrorMsgNonExistent', 'does_not_exist_skipping', 'reportDependentObjects']) {
    t.equal(said(R), 'table "a" does not exist')
    t.equal(said(R, { W: 'SQL statement "drop table …"' }), `message${withheld}`)
  }
  t.equal(said('exec_stmt_raise'), `message${withheld}`)
  t.end()
})

t.test('details and hints never stay, names of objects and the position do', async t => {
  const kept = withholdTexts(error('23505', 'duplicate key', { t: 'users', n: 'users_email_key', P: '7', q: 'secret' }))
  t.same([...kept.keys()], ['S', 'V', 'C', 'M', 't', 'n', 'P'], 'in the order in which they came')
})
