// Members of forms and queries, `name=value&name=value`, and what else servers may take their names for. Pure.

/** Of more members not all are read: rules are told that they cannot know. */
export const MAX_MEMBERS = 1_000

export type Member = readonly [name: string, value: string]

export interface Members {
  readonly list: readonly Member[]
  /** Whether every server reads them so. */
  readonly isPlain: boolean
}

/** Reads members as the URL Standard does. */
export function readMembers(text: string): Members {
  let count = 1
  for (let at = 0; at < text.length && count <= MAX_MEMBERS; at += 1)
    if (text[at] === '&' || text[at] === ';') count += 1
  if (count > MAX_MEMBERS) return { list: [], isPlain: false }
  const list = [...new URLSearchParams(text)]
  const names = list.map(([name]) => name)
  const isPlain =
    !text.includes(';') &&
    new Set(names.map(name => name.toLowerCase())).size === names.length &&
    names.every(name => plainName(name) === name && !name.includes('.'))
  return { list, isPlain }
}

/** Members wherever a server may cut them, at a semicolon as well. */
export function everyMember(text: string): readonly Member[] {
  return text.split(/[&;]/).map((part): Member => {
    const [member] = new URLSearchParams(part)
    return member ?? ['', '']
  })
}

/** PHP cuts names at NUL and `[`, and drops blanks before them. */
export function plainName(name: string): string {
  return (name.split(/[\0[]/, 1)[0] ?? '').trim()
}

/** As PHP names it: with `_` for blanks, dots and a bracket that is not closed. */
export function phpName(name: string): string {
  const whole = (name.split('\0', 1)[0] ?? '').replace(/^ +/, '')
  const open = whole.indexOf('[')
  const isClosed = open > 0 && whole.includes(']', open)
  return (isClosed ? whole.slice(0, open) : whole).replace(/[ .[]/g, '_')
}

/** A name or value of a form as its bytes, one character for each. */
export function decoded(text: string): string {
  return unescaped(text.replaceAll('+', ' '))
}

/** Escapes of bytes undone, one by one: what is no escape stays. */
export function unescaped(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}
