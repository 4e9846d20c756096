// `when:` expressions in CEL: typed at load, bounded, and with regular expressions of linear time only.

import { GateError } from '@gate/shared/errors'
import type { AccessRequest, Fact, FactType, Vocabulary } from '@gate/shared/model'
import { Environment } from '@marcbachmann/cel-js'
import { RE2JS } from 're2js'
import { type Named, namedIn } from './named.ts'

/** True when the rule is about the request. @throws when a map has no such key; the caller fails closed. */
export type Condition = (request: AccessRequest) => boolean

/**
 * Whether what a condition says of a request may change with time alone: time comes from `now` and from nowhere else. The
 * word is looked for in the whole text, so that one too many is found rather than one too few.
 */
export function dependsOnTime(expression: string): boolean {
  return /\bnow\b/.test(expression)
}

/** Whether a condition asks for what only the body of a request says; looked for like that. */
export function asksForBody(expression: string): boolean {
  return /\b(?:text|body\w*|graphql\w*)\b/.test(expression)
}

/** Whether what a condition says of a request may depend on which tables it is about, or on what it calls; looked for like that. */
export function asksForTables(expression: string): boolean {
  return /\b(?:read|written|call|functions|nested)\b/.test(expression)
}

const zero: Readonly<Record<FactType, Fact | bigint>> = { string: '', bool: false, int: 0n, 'list<string>': [] }

/** Compiled patterns of `re2()`; policies have few, and they come from the policy itself, never from requests. */
const patterns = new Map<string, RE2JS>()
const MAX_PATTERNS = 1000

function pattern(text: string): RE2JS {
  const known = patterns.get(text)
  if (known !== undefined) return known
  const compiled = RE2JS.compile(text)
  if (patterns.size < MAX_PATTERNS) patterns.set(text, compiled)
  return compiled
}

interface Node {
  readonly op: string
  readonly args: unknown
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'op' in value && 'args' in value
}

/**
 * CEL's own `matches` runs on a backtracking engine: `(a+)+$` took 8.9 s. It is refused, `re2` stands in for it.
 * @throws what is wrong with a call, also with the pattern of an `re2`: at a request it would be too late to say so.
 */
function checkCalls(value: unknown): void {
  if (Array.isArray(value)) value.forEach(checkCalls)
  if (!isNode(value)) return
  const [called, , given] = value.op === 'rcall' || value.op === 'call' ? (value.args as unknown[]) : []
  if (called === 'matches') throw new Error('matches() is not available, write text.re2("pattern")')
  if (called === 're2') checkPattern(Array.isArray(given) ? given[0] : undefined)
  checkCalls(value.args)
}

function checkPattern(given: unknown): void {
  if (!isNode(given) || given.op !== 'value' || typeof given.args !== 'string')
    throw new Error('re2() takes a pattern in quotes')
  pattern(given.args)
}

export class Conditions {
  readonly #environment: Environment
  readonly #facts: readonly [string, FactType][]
  /** What expressions see of a request; every rule looks at the same. */
  #seen: { readonly request: AccessRequest; readonly context: Record<string, unknown> } | undefined

  constructor(vocabulary: Vocabulary) {
    this.#facts = Object.entries(vocabulary)
    this.#environment = new Environment({ limits: { maxAstNodes: 2000, maxDepth: 64 } })
      .registerVariable({
        name: 'op',
        schema: {
          protocol: 'string',
          action: 'string',
          text: 'string',
          writes: 'bool',
          read: 'list<string>',
          written: 'list<string>',
          body: 'dyn',
          ...vocabulary,
        },
      })
      .registerVariable({
        name: 'subject',
        schema: { id: 'string', email: 'string', name: 'string', groups: 'list<string>' },
      })
      .registerVariable({
        name: 'target',
        schema: { name: 'string', protocol: 'string', labels: 'map<string, string>' },
      })
      .registerVariable({ name: 'context', schema: { task: 'string', reason: 'string' } })
      .registerVariable('now', 'google.protobuf.Timestamp')
      .registerFunction('string.re2(string): bool', (text: string, expression: string) =>
        pattern(expression).test(text),
      )
  }

  /** @throws {GateError} ERR_GATE_CONFIG when the expression has an unknown name, a wrong type or is no condition. */
  compile(expression: string): Condition {
    try {
      const evaluate = this.#environment.parse(expression)
      checkCalls(evaluate.ast)
      const checked = evaluate.check()
      if (!checked.valid) throw checked.error ?? new Error('not valid')
      if (checked.type !== 'bool') throw new Error(`expected a condition, got a value of type ${checked.type}`)
      return request => evaluate(this.#contextOf(request)) === true
    } catch (cause) {
      const text = cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : ''
      throw new GateError('ERR_GATE_CONFIG', `${text} in: ${expression}`, { cause })
    }
  }

  /** Routes and headers that a condition names. @throws what is wrong with its syntax. */
  namedIn(expression: string): Named {
    return namedIn(this.#environment.parse(expression).ast)
  }

  #contextOf(request: AccessRequest): Record<string, unknown> {
    if (this.#seen?.request !== request) this.#seen = { request, context: this.#context(request) }
    return this.#seen.context
  }

  #context(request: AccessRequest): Record<string, unknown> {
    const { operation, subject, target, context } = request
    const op: Record<string, unknown> = {
      protocol: operation.protocol,
      action: operation.action,
      text: operation.text,
      writes: operation.writes,
      body: operation.unknown?.includes('body') === true ? null : tellable(operation.document ?? null),
      read: operation.resources.filter(resource => resource.mode === 'read').map(resource => resource.name),
      written: operation.resources.filter(resource => resource.mode === 'write').map(resource => resource.name),
    }
    for (const name of operation.unknown ?? []) delete op[name]
    for (const [name, type] of this.#facts) {
      if (operation.unknown?.includes(name) === true) continue

      const fact = operation.facts[name]
      op[name] =
        fact === undefined || fact === null ? zero[type] : typeof fact === 'number' ? BigInt(Math.trunc(fact)) : fact
    }
    return {
      op,
      subject: { id: subject.id, email: subject.email ?? '', name: subject.name ?? '', groups: subject.groups },
      target: { name: target.name, protocol: target.protocol, labels: target.labels },
      context: { task: context.task ?? '', reason: context.reason ?? '' },
      now: new Date(context.timeMs),
    }
  }
}

/**
 * The evaluator tells types by `constructor`, which members of documents are called as well (of Formula 1, say): conditions about
 * such an object could not be computed. As a map it says the same. Most documents have none, and need no copy.
 */
const tellable = (document: unknown): unknown => (isTellable(document) ? document : withMaps(document))

function isTellable(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return true
  return !Object.hasOwn(value, 'constructor') && Object.values(value).every(isTellable)
}

function withMaps(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(withMaps)
  const members = Object.entries(value).map(([name, each]) => [name, withMaps(each)] as const)
  return Object.hasOwn(value, 'constructor') ? new Map(members) : Object.fromEntries(members)
}
