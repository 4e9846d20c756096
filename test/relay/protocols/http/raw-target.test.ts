// Addresses with letters beyond ASCII: escaped in the first line of a request, and nothing else is touched.
import { withEscapedTarget } from '@gate/relay/protocols/http/raw-target'
import fc from 'fast-check'
import t from 'tap'

const escaped = (text: string, encoding: 'utf8' | 'latin1' = 'utf8'): string =>
  withEscapedTarget(Buffer.from(text, encoding)).toString(encoding)

t.test('the target of the first line', async t => {
  t.equal(escaped('GET /é?ü=😀 HTTP/1.1\r\nX: é\r\n\r\né'), 'GET /%C3%A9?%C3%BC=%F0%9F%98%80 HTTP/1.1\r\nX: é\r\n\r\né')
  t.equal(escaped('M-SEARCH http://localhost/é HTTP/1.0\n'), 'M-SEARCH http://localhost/%C3%A9 HTTP/1.0\n')
  for (const other of [
    'GET /a HTTP/1.1\r\nX: é\r\n',
    'GET /é HTTP/1.1',
    'GET /é HTTP/2.0\r\n',
    'GET /é b HTTP/1.1\r\n',
    'get /é HTTP/1.1\r\n',
    'GÉT /é HTTP/1.1\r\n',
    '\r\nGET /é HTTP/1.1\r\n',
    'GET /é\x01 HTTP/1.1\r\n',
    '{"a":"é"}\n',
    'é',
    '',
  ])
    t.equal(escaped(other), other, JSON.stringify(other))
  t.equal(escaped('GET /\xe9 HTTP/1.1\r\n', 'latin1'), 'GET /\xe9 HTTP/1.1\r\n', 'what is no UTF-8')
})

t.test('whatever comes, only its first line is another, and says the same', async () => {
  const line = fc
    .tuple(
      fc.constantFrom('GET', 'POST', 'get'),
      fc.string({ unit: 'grapheme', maxLength: 8 }),
      fc.constantFrom('\r\n', '\n', ''),
    )
    .map(([method, path, end]) => `${method} /${path} HTTP/1.1${end}`)
  fc.assert(
    fc.property(line, fc.uint8Array({ maxLength: 12 }), (first, rest) => {
      const bytes = Buffer.concat([Buffer.from(first), rest])
      const given = withEscapedTarget(bytes)
      if (given.equals(bytes)) return true
      const [was, is] = [bytes.indexOf('\n'), given.indexOf('\n')]
      const line = given.subarray(0, is).toString('latin1')
      const undone = line.replace(/%([0-9A-F]{2})/g, (whole, hex: string) => {
        const code = Number.parseInt(hex, 16)
        return code < 0x80 ? whole : String.fromCharCode(code)
      })
      return (
        /^[!-~ ]+\r?$/.test(line) &&
        undone === bytes.subarray(0, was).toString('latin1') &&
        given.subarray(is).equals(bytes.subarray(was)) &&
        withEscapedTarget(given).equals(given)
      )
    }),
  )
})
