// Requests that no honest client sends, byte for byte.
import { gzipSync } from 'node:zlib'

export const host = 'Host: localhost\r\n'
export const request = (line: string, fields = '', body = ''): string =>
  `${line} HTTP/1.1\r\n${host}${fields === '' ? '' : `${fields}\r\n`}\r\n${body}`
export const sized = (line: string, type: string, body: string | Buffer, more = ''): string => {
  const bytes = Buffer.from(body)
  const fields = `${type === '' ? '' : `Content-Type: ${type}\r\n`}${more}Content-Length: ${bytes.length}`
  return request(line, fields, bytes.toString('latin1'))
}
export const chunked = (body: string, fields = ''): string =>
  request('POST /a', `${fields}Transfer-Encoding: chunked`, body)
export const upgrade = (fields: string, line = 'GET /a', body = ''): string =>
  request(line, `Connection: upgrade\r\n${fields}`, body)
export const handshake =
  'Upgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13'

/** A form with one part, whose head says this. */
export const multipart = (name: string, value = 'DELETE'): string =>
  `--x\r\nContent-Disposition: form-data; ${name}\r\n\r\n${value}\r\n--x--\r\n`

/** Each is refused, and nothing of it reaches the service. The policy denies `/admin` and `x-tenant: 7`. */
export const malformedRequests: Readonly<Record<string, string>> = {
  'both lengths': request(
    'POST /a',
    'Content-Length: 4\r\nTransfer-Encoding: chunked',
    `0\r\n\r\n${request('GET /b')}`,
  ),
  'both, the other way': request('POST /a', 'Transfer-Encoding: chunked\r\nContent-Length: 4', '0\r\n\r\n'),
  'two lengths': request('POST /a', 'Content-Length: 4\r\nContent-Length: 0', 'abcd'),
  'the same length twice': request('POST /a', 'Content-Length: 4\r\nContent-Length: 4', 'abcd'),
  ...Object.fromEntries(
    ['4, 4', '+4', '-4', '0x4', '4 4', '', '\x0b4', '99999999999999999999999', '4;a', '"4"', '4.0', '4e0'].map(
      value => [`Content-Length: ${value}`, request('POST /a', `Content-Length: ${value}`, 'abcd')],
    ),
  ),
  ...Object.fromEntries(
    [
      'xchunked',
      'chunked, identity',
      'identity',
      'gzip, chunked',
      '"chunked"',
      'chunked\x0b',
      ',chunked',
      'chunked\0',
      'x',
    ].map(value => [`Transfer-Encoding: ${value}`, request('POST /a', `Transfer-Encoding: ${value}`, '0\r\n\r\n')]),
  ),
  'coding twice': request('POST /a', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked', '0\r\n\r\n'),
  'coding of HTTP/1.0': `POST /a HTTP/1.0\r\n${host}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`,
  'space before the colon': request('POST /a', 'Content-Length : 4', 'abcd'),
  'space before the other colon': request('POST /a', 'Transfer-Encoding : chunked', '0\r\n\r\n'),
  'folded line': request('POST /a', 'Content-Length:\r\n 4', 'abcd'),
  'hidden length': request('POST /a', 'Connection: Content-Length\r\nContent-Length: 3', 'abc'),
  'hidden header': request('GET /a', 'Connection: X-Tenant\r\nX-Tenant: 8'),
  'hidden host': request('GET /a', 'Connection: Host'),
  'disguised coding': request('POST /a', 'Transfer_Encoding: chunked\r\nContent-Length: 3', 'abc'),
  'disguised tenant': request('GET /a', 'X_Tenant: 7'),
  'other disguise': request('GET /a', 'X.Tenant: 7'),
  'disguised override': request('POST /a', 'X_HTTP_Method_Override: DELETE\r\nContent-Length: 0'),
  'disguised method': request('POST /a', 'X_Method: DELETE\r\nContent-Length: 0'),
  'another disguised method': request('POST /a', 'Http_Method-Override: DELETE\r\nContent-Length: 0'),
  override: request('POST /a', 'X-HTTP-Method-Override: DELETE\r\nContent-Length: 0'),
  'override by another name': request('POST /a', 'X-Tunneled-Method: DELETE\r\nContent-Length: 0'),
  'name with a space': request('GET /a', 'X Tenant: 7'),
  'override in a form': sized('POST /a', 'application/x-www-form-urlencoded', '_method=DELETE'),
  'override in a chunked form': chunked(
    'e\r\n_method=DELETE\r\n0\r\n\r\n',
    'Content-Type: application/x-www-form-urlencoded\r\n',
  ),
  ...Object.fromEntries(
    ['x-tunneled-method=DELETE', 'a=1;_method=DELETE', '+.method=DELETE', '_method%00=DELETE'].flatMap(form => [
      [`form of ${form}`, sized('POST /a', 'application/x-www-form-urlencoded', form)],
      [`form without a type of ${form}`, sized('POST /a', '', form)],
      [`query of ${form}`, request(`GET /a?${form}`)],
    ]),
  ),
  'override in a form with an odd type': sized('POST /a', 'application/x-www-form-urlencoded,x', '_method=DELETE'),
  'override in a form with a blank': sized('POST /a', 'application/x-www-form-urlencoded x', '_method=DELETE'),
  ...Object.fromEntries(
    ['name="_method"', "NAME = '%5Fmethod'", 'filename="a\\"; name="_method"', 'name*0=_met; name*1=hod'].map(name => [
      `part with ${name}`,
      sized('POST /a', 'multipart/form-data; boundary=x', multipart(name)),
    ]),
  ),
  'mixed part': sized('POST /a', 'multipart/mixed; boundary=x', multipart('name="_method"')),
  'override in a later part': sized(
    'POST /a',
    'multipart/form-data; boundary=x',
    `--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n${multipart('name="_method"')}`,
  ),
  'override in an encoded form of parts': sized(
    'POST /a',
    'multipart/form-data; boundary=x',
    gzipSync(multipart('name="_method"')),
    'Content-Encoding: gzip\r\n',
  ),
  'override in JSON': sized('POST /a', 'application/json', '{"_method":"DELETE"}'),
  'override in the query': request('GET /a?_method=DELETE'),
  'chunk with LF': chunked('3\nabc\n0\n\n'),
  'chunk with CR': chunked('3\rabc\r0\r\r'),
  'extension with LF': chunked('3;a\nabc\r\n0\r\n\r\n'),
  'open quote in an extension': chunked('3;a="b\r\nabc\r\n0\r\n\r\n'),
  ...Object.fromEntries(
    ['-3', '0x3', '3 ', ' 3', '0_3', 'FFFFFFFFFFFFFFFFF', '+3', ''].map(size => [
      `chunk of ${size}`,
      chunked(`${size}\r\nabc\r\n0\r\n\r\n`),
    ]),
  ),
  'chunk without its end': chunked('3\r\nabcXX0\r\n\r\n'),
  'chunk that is too long': chunked('3\r\nabcd\r\n0\r\n\r\n'),
  'length among the trailers': chunked('3\r\nabc\r\n0\r\nContent-Length: 9\r\n\r\n'),
  'trailer with LF': chunked('3\r\nabc\r\n0\r\nx: 1\n\r\n'),
  'lines with LF': `GET /a HTTP/1.1\n${host.replace('\r', '')}\n`,
  'one line with LF': request('GET /a', 'x: 1\ny: 2'),
  'CR in a header': request('GET /a', 'x: 1\ry: 2'),
  ...Object.fromEntries(
    ['\x01', '\x0b', '\x1b', '\x7f', '\n x'].map(sign => [
      `${JSON.stringify(sign)} in a header`,
      request('GET /a', `x: 1${sign}`),
    ]),
  ),
  'NUL in a header': request('GET /a', 'x: 1\0'),
  'space before the method': ` ${request('GET /a')}`,
  'space before a header': `GET /a HTTP/1.1\r\n Host: localhost\r\n\r\n`,
  'HTTP/0.9': 'GET /a\r\n\r\n',
  'HTTP/1.0 without Host': 'GET /a HTTP/1.0\r\n\r\n',
  'HTTP/1.2': `GET /a HTTP/1.2\r\n${host}\r\n`,
  'HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'two targets': `GET /a /admin HTTP/1.1\r\n${host}\r\n`,
  'method that is none': request('G(T /a'),
  'method without a version': request('FOO /a').replace(' HTTP/1.1', ''),
  TRACE: request('TRACE /a'),
  CONNECT: request('CONNECT localhost:80'),
  'no Host': 'GET /a HTTP/1.1\r\n\r\n',
  'two Hosts': request('GET /a', 'Host: localhost'),
  ...Object.fromEntries(
    ['evil.example', 'localhost@evil.example', 'localhost, evil', 'localhost.', 'localhost:x', ''].map(name => [
      `Host: ${name}`,
      `GET /a HTTP/1.1\r\nHost: ${name}\r\n\r\n`,
    ]),
  ),
  ...Object.fromEntries(
    [
      ...[
        'http://evil.example/a',
        'http://localhost@evil.example/a',
        'http://me@localhost/a',
        'ftp://localhost/a',
        '*',
      ],
      ...['//evil.example/a', '/a//b', '/a//'],
      ...['/admin', '/%61dmin', '/./admin', '/x/../admin', '/x/%2e%2e/admin', '/admin;x', '/x/..;/admin'],
      ...['/x\\..\\admin', '/%2561dmin', '/%00admin', '/%c0%af/admin', '/a#/admin', '/%3f/../admin', '/a%2f..%2fadmin'],
    ].map(target => [`GET ${target}`, request(`GET ${target}`)]),
  ),
  'another expectation': sized('POST /a', '', 'abc', 'Expect: something\r\n'),
  'two expectations': sized('POST /a', '', 'abc', 'Expect: 100-continue\r\nExpect: 100-continue\r\n'),
  'list of expectations': sized('POST /a', '', 'abc', 'Expect: 100-continue, x\r\n'),
  'offer to go on in two protocols': upgrade('Upgrade: websocket, h2c'),
  'offer in two fields': upgrade('Upgrade: h2c\r\nUpgrade: foo'),
  'offer with both lengths': upgrade(
    'Upgrade: h2c\r\nContent-Length: 4\r\nTransfer-Encoding: chunked',
    'POST /a',
    `0\r\n\r\n${request('GET /b')}`,
  ),
  'offer with an odd length': upgrade('Upgrade: h2c\r\nContent-Length: +4', 'POST /a', 'abcd'),
  'offer with another coding': upgrade('Upgrade: h2c\r\nTransfer-Encoding: gzip, chunked', 'POST /a', '0\r\n\r\n'),
  'offer with a hidden length': request(
    'POST /a',
    'Connection: Upgrade, Content-Length\r\nUpgrade: h2c\r\nContent-Length: 3',
    'abc',
  ),
  'offer with a folded line': upgrade('X: 1\r\n Transfer-Encoding: chunked\r\nUpgrade: h2c', 'POST /a', '0\r\n\r\n'),
  'offer by CONNECT': upgrade('Upgrade: h2c', 'CONNECT localhost:80'),
  'offer by TRACE': upgrade('Upgrade: h2c', 'TRACE /a'),
  'WebSocket by POST': upgrade(handshake, 'POST /a'),
  'WebSocket without a key': upgrade('Upgrade: websocket'),
  'WebSocket with a body': upgrade(`${handshake}\r\nContent-Length: 3`, 'GET /a', 'abc'),
  'WebSocket with chunks': upgrade(`${handshake}\r\nTransfer-Encoding: chunked`, 'GET /a', '3\r\nabc\r\n0\r\n\r\n'),
  'WebSocket with odd subprotocols': upgrade(`${handshake}\r\nSec-WebSocket-Protocol: a, a, (`),
  'too many headers': request('GET /a', 'x: 1\r\n'.repeat(1_500).trimEnd()),
  'long header': request('GET /a', `x: ${'a'.repeat(100_000)}`),
  'long path': request(`GET /${'a'.repeat(40_000)}`),
}
