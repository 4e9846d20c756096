// Answers that no honest service gives, byte for byte: broken HTTP, and bodies in which masks are not found by their names.
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'

export const clear = '{"email":"ann@secret.example"}'
export const answerHead = (...fields: string[]): string =>
  `HTTP/1.1 200 OK\r\n${fields.map(each => `${each}\r\n`).join('')}\r\n`
const json = 'Content-Type: application/json'
export const zipped = gzipSync(clear)
export const wholeAnswer = (fields: readonly string[], body: Buffer | string): Buffer =>
  Buffer.concat([Buffer.from(answerHead(`Content-Length: ${Buffer.from(body).length}`, ...fields)), Buffer.from(body)])

/** Numbers, of which most leaves before the end that is missing. */
const long = Buffer.from(JSON.stringify(Array.from({ length: 20_000 }, (_, at) => Math.sin(at))))
/** Bodies that say how long they are and end within their coding. */
export const cut: Readonly<Record<string, Buffer>> = {
  gzip: gzipSync(long).subarray(0, -5),
  deflate: deflateSync(long).subarray(0, -5),
  br: brotliCompressSync(long).subarray(0, -5),
}

/** What the hostile service says by path; it closes then. */
export const hostileAnswers: Readonly<Record<string, string | Buffer>> = {
  '/garbage': 'this is no HTTP\r\n\r\n',
  '/long-head': answerHead(json, `X-Long: ${'a'.repeat(200_000)}`),
  '/phrase': 'HTTP/1.1 499 Client Closed Request\r\nContent-Length: 2\r\n\r\nok',
  '/short': `${answerHead('Content-Length: 1000')}beginning`,
  '/more': `${answerHead('Content-Length: 2')}okHTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nsecond!`,
  '/both': `${answerHead('Content-Length: 3', 'Transfer-Encoding: chunked')}0\r\n\r\n`,
  '/twice': `${answerHead('Content-Length: 3', 'Content-Length: 5')}abcde`,
  ...Object.fromEntries(
    [
      ...['Location: /a', 'Content-Type: text/plain', 'Content-Encoding: gzip', 'Content-Disposition: inline'],
      'ETag: "a"',
    ].map(field => [`/two/${field.split(':')[0]}`, wholeAnswer([field, field], 'ok')]),
  ),
  '/many-fields': wholeAnswer(
    Array.from({ length: 250 }, (_, index) => `X-${index}: 1`),
    'ok',
  ),
  '/bad-chunk': `${answerHead('Transfer-Encoding: chunked')}3\r\nabc\r\nzz\r\n`,
  '/half-chunk': `${answerHead('Transfer-Encoding: chunked')}5\r\nab`,
  '/until-close': `${answerHead('Content-Type: text/plain')}until the end`,
  ...Object.fromEntries(
    ['\x01', '\x0b', '\x7f', '\0'].map((sign, at) => [`/odd/${at}`, wholeAnswer([`X-Odd: a${sign}b`], 'ok')]),
  ),
  ...Object.fromEntries(
    ['099', '000', '1000', '20', '2OO'].map(status => [
      `/odd/${status}`,
      `HTTP/1.1 ${status} OK\r\nContent-Length: 2\r\n\r\nok`,
    ]),
  ),
  '/latin': Buffer.from(`${answerHead('X-Odd: \xe9 \t\xff', 'Content-Length: 2')}ok`, 'latin1'),
  '/split': `${answerHead('X-Evil: a\rSet-Cookie: b=c', 'Content-Length: 2')}ok`,
  '/folded': `${answerHead('X-Evil: a\r\n Gate-Error: ERR_GATE_TIMEOUT', 'Content-Length: 2')}ok`,
  '/gate-error': `${answerHead('Gate-Error: ERR_GATE_TIMEOUT', 'Gate_Error: x', 'Content-Length: 2')}ok`,
  '/hints': `${'HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n'.repeat(2_000)}${wholeAnswer([], 'ok').toString()}`,
  '/switch': 'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n',
  '/masked/plain': wholeAnswer([json], clear),
  '/masked/no-type': wholeAnswer([], clear),
  '/masked/html': wholeAnswer(['Content-Type: text/html'], clear),
  '/masked/jsonp': wholeAnswer(['Content-Type: application/javascript'], `callback(${clear})`),
  '/masked/utf16': wholeAnswer(['Content-Type: application/json; charset=utf-16le'], Buffer.from(clear, 'utf16le')),
  '/masked/latin': wholeAnswer(
    ['Content-Type: application/json; charset=ISO-8859-1'],
    Buffer.from(`{"name":"M\xfcller",${clear.slice(1)}`, 'latin1'),
  ),
  '/masked/latin-lie': wholeAnswer(['Content-Type: application/json; charset=ISO-8859-1'], `{"é":1,${clear.slice(1)}`),
  '/masked/utf16-silent': wholeAnswer([json], Buffer.from(clear, 'utf16le')),
  '/masked/bom': wholeAnswer([json], `\ufeff${clear}`),
  '/masked/ibm': wholeAnswer(['Content-Type: application/json; charset=ibm037'], clear),
  '/masked/two-types': wholeAnswer([json, 'Content-Type: image/png'], clear),
  '/masked/multipart': wholeAnswer(
    ['Content-Type: multipart/mixed; boundary=x'],
    `--x\r\n${json}\r\n\r\n${clear}\r\n--x--`,
  ),
  '/masked/twins': wholeAnswer([json], '{"email":"x","email":"ann@secret.example"}'),
  '/masked/escaped': wholeAnswer([json], '{"\\u0065mail":"ann@secret.example"}'),
  '/masked/lie': wholeAnswer([json, 'Content-Encoding: gzip'], clear),
  '/masked/charset-as-coding': wholeAnswer([json, 'Content-Encoding: UTF-8'], clear),
  '/masked/hidden-in-none': wholeAnswer([json, 'Content-Encoding: none'], zipped),
  '/masked/hidden': wholeAnswer([json], zipped),
  '/masked/double': wholeAnswer([json, 'Content-Encoding: gzip'], gzipSync(zipped)),
  '/masked/members': wholeAnswer([json, 'Content-Encoding: gzip'], Buffer.concat([gzipSync('{"a":1}'), zipped])),
  '/masked/trailing': wholeAnswer(
    [json, 'Content-Encoding: gzip'],
    Buffer.concat([gzipSync('{"a":1}'), Buffer.from(clear)]),
  ),
  '/masked/two-documents': wholeAnswer([json], `{"a":1}${clear}`),
  ...Object.fromEntries(
    Object.entries(cut).map(([coding, bytes]) => [
      `/cut/${coding}`,
      wholeAnswer([json, `Content-Encoding: ${coding}`], bytes),
    ]),
  ),
  '/masked/cut': Buffer.from(`${answerHead(json, 'Content-Length: 1000')}${clear}`),
  '/masked/range': wholeAnswer([json, 'Content-Range: bytes 0-9/100'], clear),
  '/masked/error': Buffer.from(`HTTP/1.1 500 Oops\r\n${json}\r\nContent-Length: ${clear.length}\r\n\r\n${clear}`),
  '/masked/reason': `HTTP/1.1 200 ann@secret.example\r\n${json}\r\nContent-Length: 2\r\n\r\n{}`,
  '/masked/not-modified': `HTTP/1.1 304 Not Modified\r\nX-Owner: ann@secret.example\r\n\r\n`,
  '/masked/trailer': `${answerHead(json, 'Transfer-Encoding: chunked', 'Trailer: X-Owner')}2\r\n{}\r\n0\r\nX-Owner: ann@secret.example\r\n\r\n`,
  '/masked/hint': `HTTP/1.1 103 Early Hints\r\nX-Owner: ann@secret.example\r\n\r\n${wholeAnswer([json], '{}').toString()}`,
  '/masked/owner': wholeAnswer([json, 'X-Owner: ann@secret.example'], '{}'),
}
