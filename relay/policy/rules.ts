// Policy files → compiled rules; every mistake is reported with its place.
import { createHash } from 'node:crypto'
import { canonicalJson } from '@gate/shared/canonical'
import { GateError } from '@gate/shared/errors'
import type {
  Allow,
  Deny,
  FieldMaskObligation,
  Hold,
  MaskObligation,
  RowLimitObligation,
  Target,
  Vocabulary,
} from '@gate/shared/model'
import { configError, type Located, parseYaml } from '@gate/shared/yaml'
import { asksForBody, asksForTables, type Condition, Conditions, dependsOnTime } from './conditions.ts'
import { unknownNames } from './named.ts'
import { parseQuorum } from './quorum.ts'
import {
  type Audience,
  type HoldText,
  type MaskText,
  type PolicyFile,
  policyFile,
  type RuleText,
  rowHoldMs,
  type TargetBlock,
} from './schema.ts'

export interface Rule {
  readonly name: string
  readonly condition: Condition | undefined
  /** Whether the condition can become another with time alone. */
  readonly dependsOnTime: boolean
  /** Whether the condition asks for what only a request's body says. */
  readonly asksForBody: boolean
  /** Whether it asks for tables, or for what is called. */
  readonly asksForTables: boolean
  readonly isFor: (groups: readonly string[]) => boolean
  readonly effect:
    | { readonly effect: 'allow' }
    | { readonly effect: 'deny'; readonly reason: string }
    | ({ readonly effect: 'hold' } & HoldTerms)
  readonly limit: RowLimitObligation | undefined
  readonly record: 'full' | undefined
}

/** What a hold asks for, whatever it holds. */
export type HoldTerms = Pick<Hold, 'approvers' | 'timeoutMs' | 'mode' | 'grants' | 'estimate' | 'breakGlass'>

export interface Mask {
  readonly isFor: (groups: readonly string[]) => boolean
  readonly obligation: MaskObligation | FieldMaskObligation
}

export interface Block {
  readonly matches: (target: Target) => boolean
  readonly openers: readonly string[]
  readonly viewers: readonly string[]
  readonly operators: readonly string[]
  readonly rules: readonly Rule[]
  readonly masks: readonly Mask[]
  readonly record: 'full' | undefined
  readonly routes: readonly string[]
  readonly headers: readonly string[]
  readonly keepsEncodedSlashes: boolean
  readonly keepsPathParameters: boolean
}

export interface CompiledPolicy {
  readonly version: string
  readonly blocks: readonly Block[]
}

export interface PolicySource {
  readonly file: string
  readonly text: string
  /** Routes of the OpenAPI descriptions that the file names. */
  readonly openapi?: ReadonlyMap<string, readonly string[]> | undefined
}

/** What the relay can do for its policy: `seals` when it has recipients for what `record: full` seals. */
export interface Abilities {
  readonly seals: boolean
}

/**
 * Compiles policy files.
 * @throws {GateError} ERR_GATE_CONFIG with one line per mistake: `file:line:column: path: what`.
 */
export function compilePolicy(
  sources: readonly PolicySource[],
  vocabulary: Vocabulary,
  abilities: Abilities = { seals: false },
): CompiledPolicy {
  const conditions = new Conditions(vocabulary)
  const parsed = sources.map(source => ({
    ...parseYaml<PolicyFile>(source.file, source.text, policyFile),
    openapi: source.openapi,
  }))
  const mistakes: string[] = []
  const blocks = parsed.flatMap(file =>
    file.value.targets.map((block, index) => compileBlock(block, ['targets', index], file, conditions, mistakes)),
  )
  if (!abilities.seals) for (const file of parsed) mistakes.push(...unsealable(file))
  if (mistakes.length === 0)
    for (const file of parsed) mistakes.push(...unknownNames(file, blocks, when => conditions.namedIn(when)))
  if (mistakes.length > 0) throw configError(mistakes)
  const version = createHash('sha256')
    .update(canonicalJson([...parsed.map(file => file.value), ...openapiOf(parsed)]))
    .digest('hex')
  return { version, blocks }
}

/** What descriptions say is part of the policy's version; without them it is that of the files alone. */
function openapiOf(files: readonly Pick<PolicySource, 'openapi'>[]): [string, readonly string[]][] {
  return files.flatMap(({ openapi }) => [...(openapi ?? [])])
}

/** Places where `record: full` asks for what nobody could read. */
function unsealable(file: Located & { readonly value: PolicyFile }): string[] {
  const places = file.value.targets.flatMap((block, index) => [
    ...(block.record === undefined ? [] : [['targets', index, 'record']]),
    ...block.rules.flatMap((rule, at) =>
      rule.record === undefined ? [] : [['targets', index, 'rules', at, 'record']],
    ),
  ])
  const what = 'record: full needs record.recipients in relay.yaml, for whom the texts are encrypted'
  return places.map(place => `${file.locate(place)}: ${place.join('.')}: ${what}`)
}

function compileBlock(
  block: TargetBlock,
  path: readonly PropertyKey[],
  file: Located & Pick<PolicySource, 'openapi'>,
  conditions: Conditions,
  mistakes: string[],
): Block {
  const names = new Set<string>()
  const unconditionalDeny = block.rules.findIndex(
    rule => rule.deny !== undefined && rule.when === undefined && rule.for === undefined,
  )
  const rules = block.rules.flatMap((rule, index) => {
    const at = [...path, 'rules', index]
    const mistake = (key: string, what: string): void => {
      mistakes.push(`${file.locate([...at, key])}: ${[...at, key].join('.')}: ${what}`)
    }
    if (names.has(rule.name)) mistake('name', `a second rule named ${rule.name}`)
    names.add(rule.name)
    if (unconditionalDeny !== -1 && index !== unconditionalDeny) {
      mistake('name', `unreachable: ${block.rules[unconditionalDeny]?.name} denies everything`)
    }
    for (const group of rule.allow ?? []) {
      if (!block.allow.groups.includes(group)) mistake('allow', `unreachable: ${group} may not open these targets`)
    }
    return tryCompile(
      () => [compileRule(rule, conditions)],
      what => mistake(rule.when === undefined ? 'hold' : 'when', what),
    )
  })
  return {
    matches: compileMatch(block.match),
    openers: block.allow.groups,
    viewers: block.viewers ?? [],
    operators: block.operators ?? [],
    rules,
    masks: block.mask.map(compileMask),
    record: block.record,
    routes: [...(block.routes ?? []), ...(block.openapi === undefined ? [] : (file.openapi?.get(block.openapi) ?? []))],
    headers: block.headers ?? [],
    keepsEncodedSlashes: block.encoded_slashes === 'keep',
    keepsPathParameters: block.path_parameters === 'keep',
  }
}

function tryCompile<T>(compile: () => T[], mistake: (what: string) => void): T[] {
  try {
    return compile()
  } catch (thrown) {
    if (!(thrown instanceof GateError)) throw thrown
    mistake(thrown.message)
    return []
  }
}

function compileRule(rule: RuleText, conditions: Conditions): Rule {
  if (rule.when?.trim() === 'false') throw new GateError('ERR_GATE_CONFIG', 'unreachable: the condition is never true')
  const inAudience = compileAudience(rule.for)
  const allow = rule.allow
  return {
    name: rule.name,
    condition: rule.when === undefined ? undefined : conditions.compile(rule.when),
    dependsOnTime: rule.when !== undefined && dependsOnTime(rule.when),
    asksForBody: rule.when !== undefined && asksForBody(rule.when),
    asksForTables: rule.when !== undefined && asksForTables(rule.when),
    isFor: groups => inAudience(groups) && (allow === undefined || allow.some(group => groups.includes(group))),
    effect: compileEffect(rule),
    limit: compileLimit(rule),
    record: rule.record,
  }
}

function compileEffect(rule: RuleText): Rule['effect'] {
  if (rule.deny !== undefined) return { effect: 'deny', reason: rule.deny }
  if (rule.hold === undefined) return { effect: 'allow' }
  return { effect: 'hold', ...holdTerms(rule.hold) }
}

function holdTerms(hold: HoldText): HoldTerms {
  return {
    approvers: parseQuorum(hold.approvers),
    timeoutMs: hold.expires,
    mode: hold.mode,
    grants: hold.grants === undefined ? undefined : { maxMs: hold.grants.max },
    estimate: hold.estimate,
    breakGlass: hold.break_glass ?? [],
  }
}

function compileLimit(rule: RuleText): RowLimitObligation | undefined {
  if (rule.limit === undefined) return undefined
  const { then } = rule.limit
  // Rows stay locked while people think: a hold that was made for commands that have not begun does not say how long.
  const own =
    rule.hold === undefined
      ? undefined
      : { ...rule.hold, mode: 'wait' as const, expires: Math.min(rule.hold.expires, rowHoldMs) }
  const hold = rule.limit.hold ?? own
  return {
    kind: 'row-limit',
    rule: rule.name,
    rows: rule.limit.rows,
    then,
    hold:
      then === 'deny' || hold === undefined
        ? undefined
        : { effect: 'hold', rule: rule.name, ...holdTerms(hold), obligations: [] },
  }
}

function compileMask(mask: MaskText): Mask {
  const isFor = compileAudience(mask.for)
  if (mask.fields !== undefined || mask.headers !== undefined) {
    const { fields = [], headers = [], routes = [], with: kind, value } = mask
    return { isFor, obligation: { kind: 'mask-fields', fields, headers, routes, with: kind, fixed: value } }
  }
  return {
    isFor,
    obligation: {
      kind: 'mask',
      columns: mask.columns ?? [],
      detect: mask.detect ?? [],
      with: mask.with,
      fixed: mask.value,
      computed: mask.computed,
      predicates: mask.predicates,
    },
  }
}

function compileAudience(audience: Audience | undefined): (groups: readonly string[]) => boolean {
  const included = audience?.groups
  const excepted = audience?.except ?? []
  return groups =>
    (included === undefined || included.some(group => groups.includes(group))) &&
    !excepted.some(group => groups.includes(group))
}

/** A target's labels for matching; its name and protocol are facts that no announced label can replace. */
export function labelsOf(target: Target): Record<string, string> {
  return { ...target.labels, protocol: target.protocol, name: target.name }
}

function compileMatch(match: TargetBlock['match']): (target: Target) => boolean {
  const names = match.name === undefined ? undefined : [match.name].flat().map(compileGlob)
  const labels = Object.entries(match.labels ?? {}).map(([key, value]) => [key, [value].flat()] as const)
  return target => {
    const actual = labelsOf(target)
    return (
      (names === undefined || names.some(matches => matches(target.name))) &&
      labels.every(([key, values]) => Object.hasOwn(actual, key) && values.includes(actual[key] ?? ''))
    )
  }
}

/** `*` stands for any run of characters; everything else for itself. Linear in pattern × text. */
export function compileGlob(glob: string): (text: string) => boolean {
  const parts = glob.split('*')
  const [first = ''] = parts
  const last = parts.at(-1) ?? ''
  if (parts.length === 1) return text => text === glob
  return text => {
    if (!text.startsWith(first) || !text.endsWith(last) || text.length < first.length + last.length) return false
    let at = first.length
    for (const part of parts.slice(1, -1)) {
      const found = text.indexOf(part, at)
      if (found === -1) return false
      at = found + part.length
    }
    return at <= text.length - last.length
  }
}

export type Effect = Allow | Deny | Hold
