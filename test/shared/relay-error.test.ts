// What people and agents are told of a relay that cannot be reached: what happened, and what to look at.
import { GateError } from '@gate/shared/errors'
import { relayError, strangeAnswer } from '@gate/shared/relay-error'
import t from 'tap'

const failed = (code: string, message = 'raw text'): Error => Object.assign(new Error(message), { code })
const code = 'ERR_GATE_RELAY_UNREACHABLE'

t.test('each cause has its words and its next step', async t => {
  for (const [url, cause, message, hint] of [
    ['http://r:1', 'ECONNREFUSED', 'nothing listens there', /relay running/],
    ['https://r:1', 'ENOTFOUND', 'there is no address for that name', /name in the relay's URL/],
    ['https://r:1', 'UND_ERR_CONNECT_TIMEOUT', 'nothing answers in time', /firewall/],
    ['https://r:1', 'ERR_SSL_WRONG_VERSION_NUMBER', 'what answers there speaks no TLS', /its URL is http:\/\/r:1\.$/],
    ['https://r:1', 'ERR_SSL_PACKET_LENGTH_TOO_LONG', 'what answers there speaks no TLS', /its URL is http:/],
    ['wss://r:1/v1', 'ERR_SSL_WRONG_VERSION_NUMBER', 'what answers there speaks no TLS', /its URL is http:\/\/r:1\.$/],
    ['http://r:1', 'UND_ERR_SOCKET', 'it hung up before it answered', /its URL is https:\/\/r:1\.$/],
    ['ws://r:1/v1', 'ECONNRESET', 'it hung up before it answered', /its URL is https:\/\/r:1\.$/],
  ] as const) {
    const error = relayError(url, failed(cause))
    t.match(error, { code, message: `cannot reach the relay at r:1: ${message} (${cause})`, hint }, `${url} ${cause}`)
  }
  const ofNode = failed('EPROTO', '80:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:../ssl3.c:350:')
  const early = failed('ECONNRESET', 'Client network socket disconnected before secure TLS connection was established')
  t.match(relayError('https://r:1', early), { message: /hung up before TLS began/, hint: /its URL is http:\/\/r:1\./ })
  t.match(relayError('wss://r:1', ofNode), { message: /speaks no TLS \(EPROTO\)$/, hint: /http:/ })
})

t.test('of what is not known only the code is said', async t => {
  const error = relayError('https://r:1', failed('ECONNRESET'))
  t.equal(error.message, 'cannot reach the relay at r:1 (ECONNRESET)')
  t.equal(error.hint, undefined)
  t.equal(relayError('https://r:1', new Error('secret')).message, 'cannot reach the relay at r:1')
})

t.test('an answer that breaks off says nothing of a wrong address', async t => {
  t.equal(relayError('http://r:1', failed('UND_ERR_SOCKET'), true).hint, undefined)
})

t.test(
  'an error of gate stays what it is, and a certificate that is not believed is no matter of reaching',
  async t => {
    const own = new GateError('ERR_GATE_FORBIDDEN', 'no')
    t.equal(relayError('http://r:1', own), own)
    t.equal(relayError('http://r:1', new Error('wrapped', { cause: own })), own)
    t.match(relayError('https://r:1', failed('DEPTH_ZERO_SELF_SIGNED_CERT')), {
      code: 'ERR_GATE_RELAY_CHANGED',
      hint: /gate login --relay https:\/\/r:1 /,
    })
  },
)

t.test('an answer that no relay gives is said to be one', async t => {
  t.match(strangeAnswer('ws://r:1/v1', 502), {
    code,
    message: /answered 502, and not as gate does/,
    hint: /http:\/\/r:1 /,
  })
})
