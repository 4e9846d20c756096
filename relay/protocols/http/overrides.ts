// Requests that ask for another method than their own in a form: frameworks take it from a member of a POST. Pure.
import { asGateError, GateError } from '@gate/shared/errors'
import { overrideMembers } from '@gate/shared/http-command'
import { JsonNames, NamesAnywhere } from './json-overrides.ts'
import { JsonMasker } from './masking/json-masker.ts'
import { GuardedMasker } from './masking/masker.ts'
import { decoded, plainName, unescaped } from './members.ts'

/** Of a member's name so much is kept: none that asks for a method is longer, however it is escaped. */
const MAX_NAME_LENGTH = 1024
/** The head of a part of a form is kept so far, and looked into in pieces beyond. */
const MAX_PART_HEAD_LENGTH = 64 * 1024
/** Pieces overlap by this much, so that no name is cut. */
const OVERLAP_LENGTH = 1024

const overrideNames: ReadonlySet<string> = new Set(overrideMembers)

/** How a target could read the members of a body. */
export type FormKind = 'urlencoded' | 'multipart' | 'json' | 'urlencoded or json' | 'multipart or json'

/** A body as it comes; what it holds is told by throwing. */
export interface OverrideScan {
  /** @throws {GateError} ERR_GATE_PROTOCOL before the bytes that complete such a name go on. */
  push(bytes: Buffer): void
  end(): void
}

/**
 * Whether targets could take the body for a form. They cut a type at a comma or a blank as well, and some take a POST
 * without a type for a form. To some anything is JSON whose type says so anywhere, in a parameter as well.
 */
export function formKind(contentType: string | undefined): FormKind | undefined {
  const type = /^[^;,\s]*/.exec((contentType ?? '').trim())?.[0].toLowerCase() ?? ''
  const isJson = /[/+](?:x-)?json/i.test(contentType ?? '')
  if (type === '' || type === 'application/x-www-form-urlencoded') return isJson ? 'urlencoded or json' : 'urlencoded'
  if (type.startsWith('multipart/')) return isJson ? 'multipart or json' : 'multipart'
  return isJson ? 'json' : undefined
}

/** The same for a request: frameworks take the method of a POST alone from its body. */
export function formOf(method: string, contentType: string | undefined): FormKind | undefined {
  return method === 'POST' ? formKind(contentType) : undefined
}

/** Whether a member of this name could be taken for a method. PHP cuts names at NUL and `[`, and writes `_` for blanks and dots. */
export function isOverride(name: string): boolean {
  const plain = plainName(name).toLowerCase().replace(/[ .]/g, '_')
  return overrideNames.has(plain) || overrideNames.has(plain.replaceAll('_', '-'))
}

export function overrideScan(kind: FormKind): OverrideScan {
  switch (kind) {
    case 'json':
      return new JsonScan()
    case 'urlencoded':
      return new UrlencodedScan()
    case 'multipart':
      return new MultipartScan()
    case 'urlencoded or json':
      return new AllScans([new UrlencodedScan(), new JsonScan()])
    case 'multipart or json':
      return new AllScans([new MultipartScan(), new JsonScan()])
  }
}

/** What a look into a body throws; undefined when it throws nothing. */
export function thrownBy(look: () => void): GateError | undefined {
  try {
    look()
    return undefined
  } catch (thrown) {
    return asGateError(thrown)
  }
}

/** Whether a query or a form holds such a name, wherever a target may cut it. */
export function holdsOverride(text: string): boolean {
  return text.split(/[&;]/).some(member => isOverride(decoded(member.split('=', 1)[0] ?? '')))
}

function refusal(): GateError {
  return new GateError('ERR_GATE_PROTOCOL', 'the body has _method, or a name that is taken for it', {
    hint: 'Send the method itself.',
  })
}

class AllScans implements OverrideScan {
  readonly #scans: readonly OverrideScan[]

  constructor(scans: readonly OverrideScan[]) {
    this.#scans = scans
  }

  push(bytes: Buffer): void {
    for (const scan of this.#scans) scan.push(bytes)
  }

  end(): void {
    for (const scan of this.#scans) scan.end()
  }
}

/** What is valid all read alike; what is not may have no such name anywhere, since nobody knows what a name is to its reader. */
class JsonScan implements OverrideScan {
  readonly #names = new JsonNames(name => {
    if (isOverride(name)) throw refusal()
  })
  readonly #anywhere = new NamesAnywhere()
  readonly #reader = new GuardedMasker(new JsonMasker(undefined, 'many', undefined))
  #isValid = true

  push(bytes: Buffer): void {
    this.#names.push(bytes)
    this.#anywhere.push(bytes)
    this.#check(() => this.#reader.push(bytes))
  }

  end(): void {
    this.#check(() => this.#reader.end())
  }

  #check(read: () => void): void {
    this.#isValid &&= thrownBy(read) === undefined
    if (!this.#isValid && this.#anywhere.isFound) throw refusal()
  }
}

class UrlencodedScan implements OverrideScan {
  #name = ''
  #isName = true

  push(bytes: Buffer): void {
    const text = bytes.toString('latin1')
    const separator = /[&;]/g
    const endOfName = /[=&;]/g
    for (let at = 0; at < text.length; ) {
      const sign = this.#isName ? endOfName : separator
      sign.lastIndex = at
      const found = sign.exec(text)
      const end = found?.index ?? text.length
      if (this.#isName && this.#name.length < MAX_NAME_LENGTH) this.#name += text.slice(at, end)
      if (found === null) return
      if (this.#isName) this.#check()
      this.#isName = found[0] !== '='
      at = end + 1
    }
  }

  end(): void {
    if (this.#isName) this.#check()
  }

  #check(): void {
    if (isOverride(decoded(this.#name.slice(0, MAX_NAME_LENGTH)))) throw refusal()
    this.#name = ''
  }
}

/**
 * Looks into the heads of parts wherever a line begins as one, whatever the boundary is: parsers do not agree where a
 * boundary is, and all of them need this line to find a name.
 */
class MultipartScan implements OverrideScan {
  #kept = ''
  /** Of what is kept, so much was looked into. */
  #checked = 0
  /** And so much was searched for the end of a head. */
  #searched = 0
  #isHead = false

  push(bytes: Buffer): void {
    this.#kept += bytes.toString('latin1')
    while (this.#isHead ? this.#leaveHead() : this.#findHead()) {}
  }

  end(): void {
    if (this.#isHead) this.#check(this.#kept.length)
  }

  #findHead(): boolean {
    const found = /(?:^|[\r\n])[\t ]*(?=content-disposition)/i.exec(this.#kept)
    if (found === null) {
      this.#kept = this.#kept.slice(-OVERLAP_LENGTH)
      return false
    }
    this.#kept = this.#kept.slice(found.index + found[0].length)
    this.#checked = 0
    this.#searched = 0
    this.#isHead = true
    return true
  }

  #leaveHead(): boolean {
    const from = Math.max(0, Math.max(this.#checked, this.#searched) - 3)
    const end = this.#kept.indexOf('\r\n\r\n', from)
    if (end !== -1) {
      this.#check(end)
      this.#kept = this.#kept.slice(end + 2)
      this.#isHead = false
      return true
    }
    // Some take other blank lines for the end, and what follows for the member's value.
    const isLong = this.#kept.length > MAX_PART_HEAD_LENGTH
    if (isLong || /\n\n|\r\r|\n\r/.test(this.#kept.slice(from))) this.#check(this.#kept.length)
    if (isLong) {
      this.#kept = this.#kept.slice(-OVERLAP_LENGTH)
      this.#checked = this.#kept.length
    }
    this.#searched = this.#kept.length
    return false
  }

  #check(end: number): void {
    const head = unescaped(this.#kept.slice(Math.max(0, this.#checked - OVERLAP_LENGTH), end).replaceAll('\\', ''))
    this.#checked = end
    const names = head.matchAll(/(?<![a-z])name\s*=\s*["']?([^"';\r\n]*)/gi)
    // RFC 7578 section 4.2: names are not encoded (name*=), nor cut in pieces (name*0=).
    const endOfLine = head.search(/[\r\n]\S/)
    const isEncoded = /(?<![a-z])name\s*\*/i.test(endOfLine === -1 ? head : head.slice(0, endOfLine))
    if (isEncoded || [...names].some(([, name = '']) => isOverride(name))) throw refusal()
  }
}
