// The decision point: pure and synchronous. Deny beats hold beats allow; without a rule the answer is no.
import type {
  AccessRequest,
  Decision,
  Deny,
  FieldMaskObligation,
  Hold,
  MaskObligation,
  Obligation,
  Subject,
  Target,
} from '@gate/shared/model'
import type { Block, CompiledPolicy, HoldTerms, Rule } from './rules.ts'

export interface Policy {
  /** SHA-256 of the canonical form; recorded with every decision. */
  readonly version: string
  /** Whether the subject may open the target at all; undefined means yes. */
  refusesOpening(subject: Subject, target: Target): Deny | undefined
  decide(request: AccessRequest): Decision
  /** Whether the same request can be decided otherwise at another time; if not, a decision may be used again. */
  readonly dependsOnTime: boolean
  /** Whether the subject may read the records of other people's sessions with the target. */
  mayView(subject: Subject, target: Target): boolean
  /** Whether the subject may end other people's sessions with the target, and lock it. */
  mayOperate(subject: Subject, target: Target): boolean
  /** The masks that bind the subject on the target, whatever the command. */
  masks(subject: Subject, target: Target): readonly Obligation[]
  /** The masks that name columns and bind anybody on the target; the same list each time. */
  recordMasks(target: Target): readonly MaskObligation[]
  /** The masks that name fields and bind anybody on the target; the same list each time. */
  recordFields(target: Target): readonly FieldMaskObligation[]
  /** Templates of the target's paths; the same list each time. */
  routes(target: Target): readonly string[]
  /** Headers of requests that rules see. */
  headers(target: Target): readonly string[]
  /** HTTP: whether `%2F` in a path is a part of its segment. */
  keepsEncodedSlashes(target: Target): boolean
  /** HTTP: whether `;name=value` in a path is no part of its segment's name. */
  keepsPathParameters(target: Target): boolean
  /** What of a request's body is needed: rules ask for it, people may have to see it, or nothing. */
  bodyNeed(subject: Subject, target: Target): 'rules' | 'people' | undefined
  /** Whether which tables a command is about matters on the target: to a rule, or to a mask that names columns. */
  asksForTables(target: Target): boolean
  /** Whether all commands on the target are recorded as they were sent, too. */
  recordsInFull(target: Target): boolean
  /** The holds of rules that are about the subject on the target, of a name when one is given. */
  holds(subject: Subject, target: Target, rule?: string): readonly Hold[]
}

const MAX_CACHED_TARGETS = 10_000

export function createPolicy(compiled: CompiledPolicy): Policy {
  const cache = new Map<string, readonly Block[]>()
  const blocksFor = (target: Target): readonly Block[] => {
    const key = JSON.stringify([target.name, target.protocol, target.labels])
    const known = cache.get(key)
    if (known !== undefined) return known
    const blocks = compiled.blocks.filter(block => block.matches(target))
    if (cache.size >= MAX_CACHED_TARGETS) cache.clear()
    cache.set(key, blocks)
    return blocks
  }
  const perTarget = <T>(make: (matching: readonly Block[]) => readonly T[]): ((target: Target) => readonly T[]) => {
    const made = new WeakMap<readonly Block[], readonly T[]>()
    return target => {
      const matching = blocks(target)
      const known = made.get(matching) ?? make(matching)
      made.set(matching, known)
      return known
    }
  }
  const byTarget = new WeakMap<Target, readonly Block[]>()
  const blocks = (target: Target): readonly Block[] => {
    const known = byTarget.get(target)
    if (known !== undefined) return known
    const found = blocksFor(target)
    byTarget.set(target, found)
    return found
  }
  return {
    version: compiled.version,
    dependsOnTime: compiled.blocks.some(block => block.rules.some(rule => rule.dependsOnTime)),
    refusesOpening: (subject, target) => refusesOpening(blocks(target), subject, target),
    decide: request => decide(blocks(request.target), request),
    mayView: (subject, target) =>
      blocks(target).some(block => block.viewers.some(group => subject.groups.includes(group))),
    mayOperate: (subject, target) =>
      blocks(target).some(block => block.operators.some(group => subject.groups.includes(group))),
    masks: (subject, target) => masks(blocks(target), subject),
    asksForTables: target =>
      blocks(target).some(block => block.rules.some(rule => rule.asksForTables) || recordMasksOf([block]).length > 0),
    recordsInFull: target => blocks(target).some(block => block.record === 'full'),
    recordMasks: perTarget(recordMasksOf),
    recordFields: perTarget(recordFieldsOf),
    routes: perTarget(matching => [...new Set(matching.flatMap(block => block.routes))]),
    headers: perTarget(matching => [...new Set(matching.flatMap(block => block.headers))]),
    keepsEncodedSlashes: target => blocks(target).some(block => block.keepsEncodedSlashes),
    keepsPathParameters: target => blocks(target).some(block => block.keepsPathParameters),
    bodyNeed: (subject, target) => bodyNeed(blocks(target), subject),
    holds: (subject, target, rule) =>
      holds(blocks(target), subject).filter(hold => rule === undefined || hold.rule === rule),
  }
}

function masks(blocks: readonly Block[], subject: Subject): Obligation[] {
  return blocks.flatMap(block => block.masks.filter(mask => mask.isFor(subject.groups)).map(mask => mask.obligation))
}

function recordMasksOf(blocks: readonly Block[]): MaskObligation[] {
  return blocks
    .flatMap(block => block.masks.map(({ obligation }) => obligation))
    .filter(obligation => obligation.kind === 'mask')
    .filter(({ columns }) => columns.length > 0)
}

function recordFieldsOf(blocks: readonly Block[]): FieldMaskObligation[] {
  return blocks
    .flatMap(block => block.masks.map(({ obligation }) => obligation))
    .filter(obligation => obligation.kind === 'mask-fields')
}

function bodyNeed(blocks: readonly Block[], subject: Subject): 'rules' | 'people' | undefined {
  const rules = blocks.flatMap(block => block.rules).filter(rule => rule.isFor(subject.groups))
  if (rules.some(rule => rule.asksForBody)) return 'rules'
  return rules.some(rule => rule.effect.effect === 'hold') ? 'people' : undefined
}

function holds(blocks: readonly Block[], subject: Subject): Hold[] {
  return blocks
    .flatMap(block => block.rules)
    .filter(rule => rule.isFor(subject.groups))
    .flatMap(({ name, effect, limit }) => [
      ...(effect.effect === 'hold' ? [holdOf(name, effect, [])] : []),
      ...(limit?.hold === undefined ? [] : [limit.hold]),
    ])
}

function refusesOpening(blocks: readonly Block[], subject: Subject, target: Target): Deny | undefined {
  if (blocks.some(block => block.openers.some(group => subject.groups.includes(group)))) return undefined
  const openers = blocks.flatMap(block => block.openers)
  return {
    effect: 'deny',
    rule: 'default',
    reason: `none of your groups may open ${target.name}`,
    hint: openers.length === 0 ? undefined : `It is open to ${[...new Set(openers)].join(', ')}.`,
  }
}

/** A deny or hold whose condition cannot be computed counts as true, an allow as false: doubt never opens a door. */
function applies(rule: Rule, request: AccessRequest): boolean {
  if (!rule.isFor(request.subject.groups)) return false
  if (rule.condition === undefined) return true
  try {
    return rule.condition(request)
  } catch {
    return rule.effect.effect !== 'allow'
  }
}

function decide(blocks: readonly Block[], request: AccessRequest): Decision {
  const refused = refusesOpening(blocks, request.subject, request.target)
  if (refused !== undefined) return refused
  const rules = blocks.flatMap(block => block.rules).filter(rule => applies(rule, request))
  const decision = effectOf(rules, blocks, request)
  return rules.some(rule => rule.record === 'full') ? { ...decision, record: 'full' } : decision
}

function effectOf(rules: readonly Rule[], blocks: readonly Block[], request: AccessRequest): Decision {
  for (const rule of rules) {
    if (rule.effect.effect === 'deny')
      return { effect: 'deny', rule: rule.name, reason: rule.effect.reason, hint: undefined }
  }
  const limits = rules.flatMap(rule => (rule.limit === undefined ? [] : [rule.limit]))
  const obligations = [...masks(blocks, request.subject), ...limits]
  for (const rule of rules) {
    if (rule.effect.effect === 'hold') return holdOf(rule.name, rule.effect, obligations)
  }
  const allow = rules[0]
  if (allow !== undefined) return { effect: 'allow', rule: allow.name, obligations }
  if (request.operation.routine) return { effect: 'allow', rule: 'routine', obligations }
  return {
    effect: 'deny',
    rule: 'default',
    reason: `no rule lets you ${request.operation.action} on ${request.target.name}`,
    hint: undefined,
  }
}

function holdOf(rule: string, terms: HoldTerms, obligations: Obligation[]): Hold {
  const { approvers, timeoutMs, mode, grants, estimate, breakGlass } = terms
  return { effect: 'hold', rule, approvers, timeoutMs, mode, grants, estimate, breakGlass, obligations }
}
