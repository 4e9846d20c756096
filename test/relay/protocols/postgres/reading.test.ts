// How texts are read under other encodings and without standard strings: what gate can tell, and when.

import { decode } from '@gate/relay/protocols/postgres/encodings'
import type { Entry, StatementPlan } from '@gate/relay/protocols/postgres/pending'
import { Reading, type ReadingNow, readText } from '@gate/relay/protocols/postgres/reading'
import t from 'tap'

const now = (values: Partial<ReadingNow>): ReadingNow => ({
  certain: 'yes',
  encoding: 'UTF8',
  conforming: true,
  otherEncoding: false,
  ...values,
})

t.test('texts under the encodings that gate reads', t => {
  t.same(readText(Buffer.from('é', 'latin1'), now({ encoding: 'LATIN1' })), { text: 'é' })
  t.same(readText(Buffer.from([0x80]), now({ encoding: 'WIN1252' })), { text: '€' })
  t.same(readText(Buffer.from([0xa4]), now({ encoding: 'LATIN9' })), { text: '€' })
  t.same(readText(Buffer.from('☃'), now({})), { text: '☃' })
  t.match(readText(Buffer.from([0x81]), now({ encoding: 'WIN1252' })), { fault: /cannot read/ })
  // A lead byte that takes the backslash or quote after it.
  t.match(readText(Buffer.from([0x95, 0x5c]), now({ encoding: 'SJIS' })), { fault: /cannot read/ })
  t.same(readText(Buffer.from("select 'a'"), now({ encoding: 'SJIS' })), { text: "select 'a'" })
  t.equal(decode(Buffer.from([0xe9]), 'EUC_JP'), undefined)
  t.equal(decode(Buffer.from('plain'), 'MULE_INTERNAL'), 'plain')
  t.throws(() => readText(Buffer.from([0xe9]), now({})), TypeError)
  t.throws(() => readText(Buffer.from([0xe9]), undefined), TypeError)
  t.end()
})

t.test('literals with a backslash where the standard is off', t => {
  const off = now({ conforming: false })
  for (const text of [
    "select 'a'",
    "select E'\\\\'",
    'select $$\\$$',
    'select "\\"',
    'select 1 -- \\',
    "select /* \\ */ e'\\'' or true --'",
  ])
    t.same(readText(Buffer.from(text), off), { text }, text)
  for (const [text, expected] of [
    ["select '\\\\'", "select  E'\\\\'"],
    ["select'a\\n'", "select E'a\\n'"],
    ["select 'a'\n'\\''", "select  E'a'\n'\\''"],
    ["select n'\\\\'", "select n E'\\\\'"],
    ["delete from t where a = '\\' and b <> ' or true --'", "delete from t where a =  E'\\' and b <> ' or true --'"],
    ["select E'\\'', 'a', 'é\\\\' -- '\\'", "select E'\\'', 'a',  E'é\\\\' -- '\\'"],
    ["select '\\", "select  E'\\"],
  ] as const)
    t.same(readText(Buffer.from(text), off), { text: expected }, text)
  t.end()
})

t.test('what depends on settings that are on their way', t => {
  const backslash = Buffer.from("select '\\'")
  t.equal(readText(backslash, now({ certain: 'later' })), 'later')
  t.match(readText(backslash, now({ certain: 'no' })), { hint: /Sync/ })
  t.same(readText(Buffer.from('select 1'), now({ certain: 'no' })), { text: 'select 1' })
  t.match(readText(Buffer.from('☃'), now({ certain: 'no' })), { hint: /Sync/ })
  t.end()
})

const execute = (changesReading: StatementPlan['changesReading']): Entry =>
  ({ kind: 'execute', plan: { changesReading } }) as unknown as Entry

t.test('from a command that may change them until no transaction is open', t => {
  const reading = new Reading()
  const set = execute('literals')
  t.equal(reading.now(3, true), undefined)
  reading.sent(execute(undefined))
  t.equal(reading.now(3, true), undefined)
  reading.sent(set)
  t.match(reading.now(1, true), { certain: 'later', otherEncoding: false })
  t.match(reading.now(0, true), { certain: 'no' })
  reading.idle()
  t.not(reading.now(0, false), undefined, 'it is still under way')
  t.equal(reading.reported('standard_conforming_strings', 'off', false), true)
  reading.settled(set)
  reading.idle()
  t.match(reading.now(0, false), { certain: 'yes', conforming: false })
  t.equal(reading.reported('standard_conforming_strings', 'on', false), true)
  t.not(reading.now(0, false), undefined, 'a rollback may bring it back')
  reading.idle()
  t.equal(reading.now(0, false), undefined)
  t.equal(reading.reported('standard_conforming_strings', 'off', false), false, 'nobody did that')
  t.end()
})

t.test('values that a session began with come back by RESET', t => {
  const reading = new Reading()
  t.equal(reading.reported('client_encoding', 'LATIN1', true), true)
  t.match(reading.now(0, false), { encoding: 'LATIN1', otherEncoding: true })
  t.equal(reading.reported('client_encoding', 'UTF8', false), true)
  reading.idle()
  t.match(reading.now(0, false), { encoding: 'UTF8', otherEncoding: true })
  t.equal(reading.reported('client_encoding', 'LATIN1', false), true)
  t.equal(reading.reported('TimeZone', 'UTC', false), true)
  t.end()
})
