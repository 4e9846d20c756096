// The lexer against PostgreSQL's own, which libpg-query brings: the same constants at the same places, and what they stand for.
import { constantValue } from '@gate/relay/protocols/postgres/analysis/constants'
import { readTokens, type Token } from '@gate/relay/protocols/postgres/analysis/lexer'
import fc from 'fast-check'
import { loadModule, parseSync, scanSync } from 'libpg-query'
import t from 'tap'

await loadModule()

/** Names of PostgreSQL's tokens that are what ours are called. */
const kinds: Readonly<Record<string, Token['kind']>> = {
  SCONST: 'string',
  ICONST: 'number',
  FCONST: 'number',
  PARAM: 'parameter',
  SQL_COMMENT: 'comment',
  C_COMMENT: 'comment',
}

/** Tokens that libpg-query has no names for, by their numbers in the grammar: USCONST, BCONST, XCONST. */
const unnamed: Readonly<Record<number, Token['kind']>> = { 262: 'string', 263: 'bits', 264: 'bits' }

interface Scanned {
  readonly tokens: readonly {
    readonly start: number
    readonly end: number
    readonly tokenName: string
    readonly tokenType: number
  }[]
}

/** Kinds, places and ends as PostgreSQL says; undefined when it does not read the text. */
function scanned(text: string): string[] | undefined {
  try {
    const { tokens } = scanSync(text) as unknown as Scanned
    return tokens.flatMap(({ start, end, tokenName, tokenType }) => {
      const kind = kinds[tokenName] ?? unnamed[tokenType]
      return kind === undefined ? [] : [`${kind} ${start}-${end}`]
    })
  } catch {
    return undefined
  }
}

const read = (text: string): string[] =>
  readTokens(Buffer.from(text))
    .tokens.filter(({ kind }) => kind !== 'word' && kind !== 'name')
    .map(({ kind, start, end }) => `${kind} ${start}-${end}`)

const texts = [
  `select 'a', 'it''s', '', E'\\'', e'a''b\\\\', U&'\\0061', u&'d!0061' uescape '!', N'x', n'y'`,
  `select $$a$$, $t$ $$ $t$, $t1$;$t1$, $é$ü$é$, a$b$c, $1, $22 + 1`,
  `select b'01', B'', x'1F', X'ff', 0x1F, 0o17, 0b11, 1_000, 1.5, .5, 5., 1e10, 1.5e-3, 1_0.0_1`,
  `select 'a'\n'b', 'a'\n\n \t'b', E'a'\n'\\'b', b'0'\n'1', x'a'\n'b'`,
  `select 'a' 'b'`,
  `select 'a' /* no */ \n 'b'`,
  `select 1 -- ' not a constant\n, 2 /* ' /* nested ' */ ' */ , 3`,
  `select "a'b", "c""d'", U&"x'\\0061", "é"`,
  `select a--b\n, c/*d*/-1, 1-1, 1--1\n, @-1, 5 !=-1`,
  `select 'ü😀', 'x'::text, interval '1 day', date'2024-01-01', 'a'||'b', x, ex, bx, e, b, u, u & 1`,
  `select a[1:2], a.b.c, t.*, 1.a, 1..2`,
  `select 'a'`,
  `select $a$ b`,
  '',
  ` \t\n\f\v`,
]

t.test('constants, parameters and comments are where PostgreSQL says', async t => {
  for (const text of texts) {
    const expected = scanned(text)
    if (expected !== undefined) t.same(read(text), expected, text)
    else t.ok(true, `PostgreSQL does not read ${text}`)
  }
  t.ok(texts.filter(text => scanned(text) !== undefined).length > 10)
})

const fragment = fc.constantFrom(
  ...[
    "'",
    "''",
    '"',
    '$$',
    '$a$',
    '$',
    'E',
    'e',
    'U&',
    'N',
    'b',
    'x',
    '\\',
    '--',
    '/*',
    '*/',
    '\n',
    ' ',
    '\t',
    '1',
    '.',
    '5',
  ],
  ...['_', 'ab', 'é', '😀', ';', '-', '+', '@', '(', ',', 'select', '$1', '0x', 'e1', '\r', '\f'],
)

t.test('whatever is put together, what PostgreSQL reads is read alike, and nothing is left out', async t => {
  let compared = 0
  fc.assert(
    fc.property(fc.array(fragment, { maxLength: 14 }), fragments => {
      const text = fragments.join('')
      const { tokens, unterminated } = readTokens(Buffer.from(text))
      let end = 0
      for (const token of tokens) {
        if (token.start < end || token.end <= token.start) throw new Error('tokens overlap')
        end = token.end
      }
      // libpg-query makes comments tokens, so that they no longer stand inside of a continued constant, as they may for the server.
      const expected = text === '' || /'\s*--/.test(text) ? undefined : scanned(text)
      if (expected === undefined) return
      compared += 1
      if (unterminated !== undefined) throw new Error('PostgreSQL finds it whole')
      const own = read(text)
      if (JSON.stringify(own) !== JSON.stringify(expected)) throw new Error(`${own} instead of ${expected}`)
    }),
    { numRuns: 8_000 },
  )
  t.ok(compared > 1_500, `${compared} texts compared`)
})

const valueOfFirst = (text: string): string => {
  const bytes = Buffer.from(text)
  const [, first, , mark] = readTokens(bytes).tokens
  if (first === undefined) throw new Error('no constant')
  return constantValue(bytes, first, mark === undefined ? undefined : constantValue(bytes, mark))
}

/** What PostgreSQL's parser makes of a constant. */
function parsedValue(text: string): string {
  const { stmts } = parseSync(text) as unknown as {
    stmts: {
      stmt: { SelectStmt: { targetList: { ResTarget: { val: { A_Const: { sval: { sval?: string } } } } }[] } }
    }[]
  }
  return stmts[0]?.stmt.SelectStmt.targetList[0]?.ResTarget.val.A_Const.sval.sval ?? ''
}

t.test('a string constant stands for what PostgreSQL makes of it', async t => {
  const constants = [
    `'it''s'`,
    `''`,
    `'a'\n'b''c'`,
    `E'\\x41\\102\\u0043\\U00000044\\n\\'\\\\u0041'`,
    `E'\\xc3\\xbc \\303\\274 ü'`,
    `E'\\ud83d\\ude00'`,
    `E'a\\\nb'`,
    `E'a\\'b'\n'\\x41'`,
    `U&'\\0061\\+01F600 \\\\ x'`,
    `U&'d!0061!!' uescape '!'`,
    `U&'d!0061' UESCAPE  '!'`,
    `$$it's$$`,
    `$tag$a $$ b$tag$`,
    `'ü😀'`,
  ]
  for (const constant of constants)
    t.equal(valueOfFirst(`select ${constant}`), parsedValue(`select ${constant}`), constant)
})

t.test('a constant goes on behind a comment at the end of its line', async t => {
  t.same(read(`select 'a' -- it's\n'b'`), ['string 7-22'])
  t.same(read(`select 'a'\n -- x\n -- y\n'b'`), ['string 7-26'])
  t.same(read(`select 'a' /* x */\n'b'`), ['string 7-10', 'comment 11-18', 'string 19-22'])
  t.equal(valueOfFirst(`select 'a' -- it's\n'b'`), 'ab')
})

t.test('a number has one form', async t => {
  for (const [source, value] of [
    ['0x1F', '31'],
    ['1_000', '1000'],
    ['007', '7'],
    ['1.50', '1.5'],
    ['.5', '0.5'],
    ['5.', '5'],
    ['0b101', '5'],
    ['0o17', '15'],
    ['98765432109876543210', '98765432109876543210'],
  ])
    t.equal(valueOfFirst(`select ${source}`), value)
  t.equal(valueOfFirst(`select x'1F'`), 'x1f')
  t.equal(valueOfFirst(`select b'01'`), '01')
})
