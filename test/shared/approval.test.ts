// Signed decisions: a signature is over one decision on one request, and over nothing that differs in any field.
import {
  commandSha256,
  type DecidedRequest,
  isSignedBy,
  keyId,
  parameterBytes,
  parametersSha256,
  readPublicKey,
  type SignedStatement,
  signBytes,
  statementBytes,
  statementOf,
} from '@gate/shared/approval'
import fc from 'fast-check'
import t from 'tap'
import { newSigner } from '../support/approver.ts'

const request: DecidedRequest = {
  id: 'r_1',
  subject: { id: 'https://id.example.com|alice' },
  target: 'prod-db',
  session: 's_1',
  task: 'MIG-42/3',
  protocol: 'postgres',
  commandSha256: commandSha256(Buffer.from('delete from t')),
  parametersSha256: parametersSha256([]),
  context: { database: 'app', role: 'gate_service' },
  rule: 'wide-writes',
  policy: 'p',
  rows: undefined,
  expiresMs: 1_700_000_000_000,
  nonce: 'n',
}
const word = { verdict: 'approve', reason: undefined, grantMs: undefined } as const

t.test('what is signed is canonical JSON with every field there is', async t => {
  const statement = statementOf(request, word)
  t.equal(
    statementBytes(statement).toString('utf8'),
    `{"commandSha256":"${request.commandSha256}","context":{"database":"app","role":"gate_service"},"expiresMs":1700000000000,"grantMs":null,"nonce":"n","parametersSha256":"${request.parametersSha256}","policy":"p","protocol":"postgres","reason":null,"request":"r_1","rows":null,"rule":"wide-writes","session":"s_1","subject":"https://id.example.com|alice","target":"prod-db","task":"MIG-42/3","verdict":"approve","version":"gate-decision-2"}`,
  )
})

t.test('a signature fits no statement that differs in any field, and no other key', async t => {
  const { key, publicKey } = newSigner()
  const statement = statementOf(request, word)
  const signature = signBytes(statementBytes(statement), key)
  t.ok(isSignedBy(publicKey, statementBytes(statement), signature))
  t.notOk(isSignedBy(newSigner().publicKey, statementBytes(statement), signature))
  const others: Partial<Record<keyof SignedStatement, unknown>> = {
    version: 'gate-decision-1',
    request: 'r_2',
    subject: 'https://id.example.com|bob',
    target: 'test-db',
    session: 's_2',
    task: null,
    protocol: 'http',
    commandSha256: commandSha256(Buffer.from('delete from u')),
    parametersSha256: parametersSha256([{ type: 0, format: 0, value: null }]),
    context: { database: 'app' },
    rule: 'other',
    policy: 'q',
    rows: 1,
    verdict: 'deny',
    reason: 'x',
    grantMs: 1,
    expiresMs: 1_700_000_000_001,
    nonce: 'm',
  }
  t.same(Object.keys(others).sort(), Object.keys(statement).sort(), 'every field is tried')
  for (const [field, value] of Object.entries(others)) {
    const altered = { ...statement, [field]: value } as SignedStatement
    t.notOk(isSignedBy(publicKey, statementBytes(altered), signature), field)
  }
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 0, maxLength: 80 }), bytes => {
      const other = Buffer.from(bytes).toString('base64url')
      return other === signature || !isSignedBy(publicKey, statementBytes(statement), other)
    }),
  )
})

t.test('parameters that differ in number, type, format, NULL or value have other hashes', async t => {
  const parameter = fc.record({
    type: fc.constantFrom(0, 20, 701, 0xffffffff),
    format: fc.constantFrom(0, 1),
    value: fc.option(fc.uint8Array({ maxLength: 4 }), { nil: null }),
  })
  const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b)
  fc.assert(
    fc.property(fc.array(parameter, { maxLength: 4 }), fc.array(parameter, { maxLength: 4 }), (a, b) => {
      return same(a, b) === (parametersSha256(a) === parametersSha256(b))
    }),
  )
  t.equal(parameterBytes([]).length, 0)
})

t.test('what is no Ed25519 key is refused, and has signed nothing', async t => {
  const rsa =
    'MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAMh1bbYDLFfm3ZKaM3tnR0cJ1WAtCYnGyNxkO9jKz1DZWdk4jNC7oOTy6BkyLCgNe8pSSFCFrCZ3ku8HGyo3JtsCAwEAAQ'
  for (const wrong of ['', 'x', 'AAAA', rsa]) {
    t.throws(() => readPublicKey(wrong), { code: 'ERR_GATE_USAGE' })
    t.notOk(isSignedBy(wrong, Buffer.from('x'), 'x'))
  }
  t.match(keyId(newSigner().publicKey), /^k_[A-Za-z0-9_-]{16}$/)
})
