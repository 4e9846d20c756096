// What is recorded of requests: placeholders in the place of what is masked for anybody, wherever it stands.
import { placeholderOf } from '@gate/relay/mask/placeholder'
import { recordedBody as bodyOf, recordedHeader, recordedQuery } from '@gate/relay/protocols/http/masking/recorded'
import t from 'tap'
import { fields, maskKey } from '#support/masking'

const masked = [fields(['customers.email'], 'partial'), { ...fields(['**.ssn', 'billing.*']), routes: ['other'] }]
const hidden = (clear: string): string => placeholderOf(maskKey, clear)
const JSON_TYPE = 'application/json'
const recordedBody = (...of: Parameters<typeof bodyOf>): string => bodyOf(...of).text

t.test('fields of JSON, also without what is around them in answers', async t => {
  t.equal(
    recordedBody(
      JSON_TYPE,
      Buffer.from(
        '{"email":"x","a":{"customers":[{"email":"\\u0079","n":1}]}, "ssn": 1.0, "billing":{"pan":"z"},"email":null}',
      ),
      masked,
      maskKey,
    ),
    `{"email":"${hidden('x')}","a":{"customers":[{"email":"${hidden('y')}","n":1}]}, "ssn": "${hidden('1')}", "billing":{"pan":"${hidden('z')}"},"email":null}`,
  )
  t.equal(
    recordedBody(JSON_TYPE, Buffer.from('{"ssn":{"a":[1]}}'), masked, maskKey),
    `{"ssn":"${hidden('{"a":[1]}')}"}`,
  )
})

t.test('forms, lines and queries', async t => {
  t.equal(
    recordedBody('application/x-www-form-urlencoded', Buffer.from('customer%5Bemail%5D=x%20y&n=%31'), masked, maskKey),
    `customer%5Bemail%5D=${hidden('x y')}&n=%31`,
  )
  t.equal(
    recordedBody('application/x-ndjson', Buffer.from('{"ssn":"a"}\n{"b":1}\n'), masked, maskKey),
    `{"ssn":"${hidden('a')}"}\n{"b":1}\n`,
  )
  t.equal(recordedQuery('email=x&page=2&q=%7E', masked, maskKey), `email=${hidden('x')}&page=2&q=%7E`)
  t.equal(recordedQuery('x=1;email=y;z&a', masked, maskKey), `x=1;email=${hidden('y')};z&a`)
  t.equal(recordedQuery('', masked, maskKey), '')
  t.equal(recordedQuery('EMail=x', masked, maskKey), `EMail=${hidden('x')}`, 'some servers read names in any case')
  t.equal(recordedQuery('a=%zz&email=x', masked, maskKey), hidden('a=%zz&email=x'))
})

t.test('fields in any case, in names with dots, and in documents that stand in texts', async t => {
  const body = (text: string): string => recordedBody(JSON_TYPE, Buffer.from(text), masked, maskKey)
  t.equal(body('{"SSN":"x","person.ssn":"y"}'), `{"SSN":"${hidden('x')}","person.ssn":"${hidden('y')}"}`)
  t.equal(
    body(JSON.stringify({ payload: '{"ssn":"x","a":"b"}' })),
    JSON.stringify({ payload: `{"ssn":"${hidden('x')}","a":"b"}` }),
  )
  const query = new URLSearchParams({ query: '{ a }', variables: '{"ssn":"x","a":"b&c"}' }).toString()
  t.equal(recordedQuery(query, masked, maskKey), `query=%7B+a+%7D&variables={"ssn":"${hidden('x')}","a":"b%26c"}`)
})

t.test('values in texts of GraphQL', async t => {
  const text =
    'mutation M($a: String = "c", $ssn: Int = 5) { put(of: {Ssn: "zebra", n: "d"}, ssn: $ssn, ids: ["e"]) { ssn } }'
  const shown = text.replace('"zebra"', `"${hidden('zebra')}"`).replace('= 5', `= "${hidden('5')}"`)
  const body = (type: string, of: string): string => recordedBody(type, Buffer.from(of), masked, maskKey)
  t.equal(body(JSON_TYPE, JSON.stringify({ query: text })), JSON.stringify({ query: shown }))
  t.equal(
    body(JSON_TYPE, JSON.stringify({ query: '{ a(b: "c") { d } }', e: '(f' })),
    JSON.stringify({ query: '{ a(b: "c") { d } }', e: '(f' }),
  )
  for (const of of [
    recordedQuery(`query=${encodeURIComponent(text)}`, masked, maskKey),
    body('application/x-www-form-urlencoded', `query=${encodeURIComponent(text)}`),
  ])
    t.equal(of, `query=${shown}`)
  t.equal(body('application/graphql', text), placeholderOf(maskKey, Buffer.from(text)))
})

t.test('headers that masks name, as headers or as fields, and those that log in', async t => {
  const recorded = (name: string, value: string): string =>
    recordedHeader(
      name,
      value,
      [{ ...fields(['customers.Email', 'Ssn.**', 'cards.*', 'patient_id']), headers: ['x-owner'] }],
      maskKey,
    )
  for (const name of [
    'x-owner',
    'email',
    'ssn',
    'cards',
    'authorization',
    'cookie',
    'x-api-key',
    'x-vault-token',
    'patient-id',
    'x-patientid',
  ])
    t.equal(recorded(name, 'zebra'), hidden('zebra'), name)
  t.equal(recorded('x-owner', '\xc3\xa9'), hidden('é'), 'bytes are read as UTF-8')
  t.not(recorded('x-owner', '\xfe'), recorded('x-owner', '\xff'))
  t.equal(recorded('x-tenant', '7'), '7')
  t.equal(recorded('x-user', 'to ada@example.com'), `to ${hidden('ada@example.com')}`)
  t.equal(recorded('referer', 'http://localhost/a?Email=x&b=1'), `http://localhost/a?Email=${hidden('x')}&b=1`)
})

t.test('what detectors find is replaced, escaped or not, masked fields or none', async t => {
  t.equal(
    recordedBody(JSON_TYPE, Buffer.from('{"to":"ada\\u0040example.com"}'), [], maskKey),
    `{"to":"${hidden('ada@example.com')}"}`,
  )
  t.equal(recordedBody('text/plain', Buffer.from('to ada@example.com'), [], maskKey), `to ${hidden('ada@example.com')}`)
  t.equal(recordedQuery('to=ada%40example.com', [], maskKey), `to=${hidden('ada@example.com')}`)
})

t.test('what cannot be read is replaced whole where fields are masked', async t => {
  const whole = (type: string | undefined, body: Buffer): void => {
    t.equal(recordedBody(type, body, masked, maskKey), placeholderOf(maskKey, body))
  }
  whole(JSON_TYPE, Buffer.from('{"email":"x"'))
  for (const text of ['{"ssn":"zebra-one"}', '{"ssn":"zebra-two",}', 'x=1;ssn=zebra-four'])
    whole('application/x-www-form-urlencoded', Buffer.from(text))
  t.equal(recordedQuery('{"ssn":"zebra"}', masked, maskKey), hidden('{"ssn":"zebra"}'))
  whole('text/plain', Buffer.from('email: x'))
  whole(undefined, Buffer.from('{"email":"x"}'))
  whole('application/octet-stream', Buffer.from([0xff, 0x00]))
  t.equal(recordedBody(JSON_TYPE, Buffer.alloc(0), masked, maskKey), '')
  t.equal(
    recordedBody('application/octet-stream', Buffer.from([0xff]), [], maskKey),
    placeholderOf(maskKey, Buffer.from([0xff])),
  )
  t.equal(recordedBody(JSON_TYPE, Buffer.from('{"a\\u0040"'), [], maskKey), hidden('{"a\\u0040"'))
  t.equal(recordedBody('image/x', Buffer.from('to ada@example.com'), [], maskKey), `to ${hidden('ada@example.com')}`)
})

t.test('of a long body the beginning, and nothing further on is looked through', async t => {
  const forms = 'application/x-www-form-urlencoded'
  for (const [type, member] of [
    [forms, '&'],
    [forms, 'email=%7b&'],
    ['text/csv', 'email,n\r\n'],
    ['application/x-ndjson', '{"email":"zebra","a":"{\\"ssn\\":\\"zebra\\"}"}\n'],
    [JSON_TYPE, '{"a":"{\\"ssn\\":\\"zebra\\"","b":1}'],
  ] as const) {
    const members = member.repeat(2 ** 20 / member.length)
    const long = Buffer.from(type === JSON_TYPE ? `[${members.replaceAll('}{', '},{')}]` : members)
    const { text, isCut } = bodyOf(type, long, masked, maskKey)
    t.equal(isCut, true, member)
    t.ok(text.length > 32 * 1024 && text.length < 256 * 1024, `${text.length}`)
    t.notMatch(text, 'zebra')
  }
  const value = JSON.stringify({ n: 'x'.repeat(2 ** 19), ssn: 'zebra' })
  t.same(bodyOf(JSON_TYPE, Buffer.from(value), masked, maskKey), {
    text: value.replace('zebra', hidden('zebra')),
    isCut: false,
  })
  const query = `${'email=1&'.repeat(900)}n=2`
  t.match(recordedQuery(query, masked, maskKey), /&n=2$/)
})

t.test('documents in texts of each other are looked through up to a depth', async t => {
  const nested = (depth: number): string => {
    let text = '{"n":1}'
    // A form of escapes that does not double with each text.
    for (let at = 0; at < depth; at += 1)
      text = `["${text.replace(/["\\]/g, sign => (sign === '"' ? '\\u0022' : '\\u005c'))}"]`
    return text
  }
  const text = nested(15)
  t.equal(recordedBody(JSON_TYPE, Buffer.from(text), masked, maskKey), text)
  t.match(recordedBody(JSON_TYPE, Buffer.from(nested(20)), masked, maskKey), /\*\*\*\*/)
})
