// Methods that hide in forms, however a form is cut into pieces.
import { type FormKind, formKind, isOverride, overrideScan } from '@gate/relay/protocols/http/overrides'
import type { GateError } from '@gate/shared/errors'
import fc from 'fast-check'
import t from 'tap'
import { multipart } from '../../../support/raw-requests.ts'

function isFound(kind: FormKind, pieces: readonly Buffer[]): boolean {
  const scan = overrideScan(kind)
  try {
    for (const piece of pieces) scan.push(piece)
    scan.end()
    return false
  } catch (thrown) {
    return (thrown as GateError).code === 'ERR_GATE_PROTOCOL'
  }
}

function cut(text: string, at: readonly number[]): Buffer[] {
  const bytes = Buffer.from(text, 'latin1')
  const ends = [...at.map(each => each % (bytes.length + 1)), bytes.length].sort((a, b) => a - b)
  return ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end))
}

const page = `--x\r\nContent-Disposition: form-data; name="f"; filename="pay_method.html"\r\n\r\n<input name="_method">\r\n`
const long = ` ${'a'.repeat(70_000)};`
const forms: readonly [FormKind, string, boolean][] = [
  ['urlencoded', 'a=1&_method=DELETE', true],
  ['urlencoded', '_method', true],
  ['urlencoded', `${'a'.repeat(5_000)}&%5F%6dethod=PUT`, true],
  ['urlencoded', 'a=_method&method=1&x_method=2&a=b=_method', false],
  ['urlencoded', '', false],
  ['json', `{"pad":"${'"{'.replace('"', '\\"')}${'a'.repeat(70_000)}","_method" : "DELETE"}`, true],
  ['json', '{"a":[{"b":1}],"\\u005fmethod":"DELETE"}', true],
  ['json', '\ufeff{"X-HTTP-Method-Override":"DELETE"}', true],
  ['json', '{"a":{"_method":1},"b":"_method","c":["_method"],"method":1}', false],
  ['json', `{"${'a'.repeat(1_000)}_method":1,"a\\\\":"_method"}`, false],
  ...[
    ...['{/*"*/"_method":"DELETE"}', '{"a":1,//"\n"_method":"DELETE"}', "{'_method':'DELETE'}", '{_METHOD:1}'],
    ...['{"a":NaN,"\\x5fmethod":1}', '{"a":1,\'_met\\\nhod\':1}', '{"a":{"_method":1}', '{\'a\':1,"\\137method":1}'],
    ...['{\0"\0_\0m\0e\0t\0h\0o\0d\0"\0:\x001\0}\0', "{x-http-method-override:'DELETE'}", '{"a":01,"b":"_method"}'],
  ].map((body): [FormKind, string, boolean] => ['json', body, true]),
  ['json', `{"a":NaN,"b":"${'x'.repeat(2_000)}","method":"payment method"}`, false],
  ['json', '{"index":{}}\n{"a":{"_method":1}}\n', false],
  ['urlencoded or json', '{"_method":"DELETE"}', true],
  ['urlencoded or json', 'a=1&_method=DELETE', true],
  ['urlencoded or json', 'a=1', false],
  ['multipart or json', '{"_method":"DELETE"}', true],
  ['multipart or json', multipart('name="_method"'), true],
  ['multipart or json', multipart('name="a"'), false],
  ['multipart', multipart('name="_method"'), true],
  ['multipart', `${page}${multipart('name="_method"')}`, true],
  ['multipart', `${page}${multipart('name="a"', '_method')}`, false],
  ['multipart', `${multipart(`${long} name="_method"`)}`, true],
  ['multipart', 'content-disposition: form-data; name="_method"\n\nDELETE', true],
  ['multipart', '\rContent-Disposition: form-data; name="_method"\r\rDELETE', true],
  ['multipart', multipart('name="a"; filename*=utf-8\'\'_method'), false],
  ['multipart', multipart("name*=utf-8''a"), true],
  ['multipart', 'Content-Disposition: form-data; name="a"\r\nContent-Type: a/b; name*0=c\r\n\r\n', false],
  ...[
    ...['name=_method', "name='_method'", 'NAME = "_method"', 'name="\\_method"', 'name="%5Fmethod"', 'name=".method"'],
    ...['filename="a"; name="_method"', "name*=utf-8''_method", '\r\n name="_method"', 'name="_method\0"'],
    ...['name="x-http-method-override"', 'name="_METHOD[]"'],
  ].map((name): [FormKind, string, boolean] => ['multipart', multipart(name), true]),
  ...['_METHOD=a', '+_method=a', '_method[]=a', 'X-HTTP-Method-Override=a'].map((form): [FormKind, string, boolean] => [
    'urlencoded',
    form,
    true,
  ]),
  ['multipart', 'var x = "Content-Disposition"; y = { name: "_method" }', false],
]

t.test('what is a method to somebody is found in any pieces, and nothing else', async t => {
  for (const [kind, text, expected] of forms) t.equal(isFound(kind, cut(text, [])), expected, text.slice(-100))
  fc.assert(
    fc.property(fc.constantFrom(...forms), fc.array(fc.nat(), { maxLength: 20 }), ([kind, text, expected], at) => {
      return isFound(kind, cut(text, at)) === expected
    }),
    { numRuns: 300 },
  )
})

t.test('byte by byte', async t => {
  for (const [kind, text, expected] of forms.filter(([, text]) => text.length < 1_000))
    t.equal(
      isFound(
        kind,
        cut(
          text,
          Array.from({ length: text.length }, (_, at) => at),
        ),
      ),
      expected,
      text.slice(-100),
    )
})

t.test('types and names', async t => {
  t.equal(formKind(undefined), 'urlencoded')
  t.equal(formKind('Application/X-WWW-Form-Urlencoded ; charset=utf-8'), 'urlencoded')
  t.equal(formKind('application/x-www-form-urlencoded,text/plain'), 'urlencoded')
  t.equal(formKind('Multipart/Related; boundary=x'), 'multipart')
  t.equal(formKind('application/json; charset=utf-8'), 'json')
  t.equal(formKind('application/vnd.api+json'), 'json')
  t.equal(formKind('application/x-ndjson'), undefined)
  for (const type of [
    'application/json5',
    'text/x-json',
    'application/jsonrequest',
    'a/b+jsonx',
    'text/plain; a=/json',
  ])
    t.equal(formKind(type), 'json', type)
  t.equal(formKind('application/x-www-form-urlencoded; a="/json"'), 'urlencoded or json')
  t.equal(formKind('multipart/related; type="application/json"; boundary=x'), 'multipart or json')
  for (const name of [
    '_method',
    ' _METHOD',
    '.method',
    '_method[x]',
    '_method\0x',
    'X-Http-Method',
    'x_method_override',
  ])
    t.ok(isOverride(name), name)
  for (const name of ['method', '__method', 'payment_method', 'a._method', '']) t.notOk(isOverride(name), name)
})
