// What the names of a message stand for: EXECUTE is what was prepared, FETCH what was declared. Pure.
import { noFacts, type Part, type StatementFacts, unfollowedFacts, widest } from './analysis/facts.ts'
import type { Lineage } from './analysis/lineage.ts'
import type { RelationName } from './analysis/objects.ts'
import { identityPartsOf } from './analysis/parts.ts'
import { plainText } from './analysis/recordable.ts'
import type { HeldMasks } from './mask.ts'
import { isAscii } from './names.ts'
import type { Prepared } from './pending.ts'
import type { NameLookup } from './questions.ts'
import { bindsOtherEncoding, encodingRefusal } from './settings.ts'

/** A statement of a message, with what its names stand for. */
export interface Resolved {
  readonly facts: StatementFacts
  /** The facts that decide: of EXECUTE and FETCH, those of what was prepared or declared. */
  readonly effective: StatementFacts
  readonly text: string
  readonly defines: Prepared | undefined
  /** A name that gate did not see being defined. */
  readonly unknown: { readonly kind: 'statement' | 'portal'; readonly name: string } | undefined
  /** A relation that there is not, which is why it must not run. */
  readonly absent?: RelationName | undefined
  /** It goes on with a cursor WITH HOLD: what was masked of its rows when it was declared. */
  readonly held?: HeldMasks | undefined
  /** What a name stands for that an earlier message defined: nothing in this one says it. */
  readonly meaning?: { readonly name: string; readonly prepared: Prepared }
}

/** What is alone in its text and has to do with no name: it stays the same as long as somebody has its facts. */
const resolvedAlone = new WeakMap<StatementFacts, { readonly source: string; readonly resolved: readonly Resolved[] }>()

/** Gives names their meaning, in order: a statement sees what the ones before it in the same message define. `unsure`: what one stands for depends on answers that
 * have not come yet. */
export function resolve(
  statements: readonly StatementFacts[],
  text: string,
  names: NameLookup,
  masked: boolean,
): readonly Resolved[] | 'unsure' {
  const [only, second] = statements
  if (only !== undefined && second === undefined) {
    const before = resolvedAlone.get(only)
    if (before?.source === text) return before.resolved
  }
  const bytes = Buffer.from(text, 'utf8')
  const overlay = new Map<string, Prepared>()
  const resolved: Resolved[] = []
  for (const facts of statements) {
    const own = bytes.toString('utf8', facts.start, facts.start + facts.length)
    const { naming } = facts
    const plain: Resolved = { facts, effective: facts, text: own.trim(), defines: undefined, unknown: undefined }
    if (naming?.kind === 'prepare' || naming?.kind === 'declare') {
      const inner: StatementFacts = { ...facts, naming: undefined, parts: facts.parts.map(whenItRuns) }
      const defines: Prepared = {
        text: plain.text,
        facts: inner,
        parameterTypes: [],
        sensitive: masked,
        guard: undefined,
        // PREPARE plans nothing.
        stands: () => false,
      }
      overlay.set(`${naming.kind === 'prepare' ? 'statement' : 'portal'} ${naming.name}`, defines)
      resolved.push({ ...plain, defines })
    } else if (naming?.kind === 'execute' || naming?.kind === 'fetch') {
      const kind = naming.kind === 'execute' ? 'statement' : 'portal'
      const key = `${kind} ${naming.name}`
      const here = overlay.get(key)
      // Beyond ASCII, what is one name here can be two in the database: then it is one that cannot be used.
      const known = here === undefined || !isAscii(naming.name) ? names(kind, naming.name) : 'missing'
      if (known === 'unsure') return 'unsure'
      const found = known === 'missing' ? undefined : known.found
      const prepared = found?.facts?.fault === undefined ? (here ?? found) : found
      if (prepared?.facts === undefined) resolved.push({ ...unknownName(kind, naming.name), text: plain.text, facts })
      else {
        const effective = combine(facts, meaningOf(prepared.facts))
        const { held } = prepared
        const meant = here === undefined && { held, meaning: { name: naming.name, prepared } }
        resolved.push({ ...plain, effective, ...meant })
      }
    } else resolved.push(plain)
  }
  if (only !== undefined && second === undefined && only.naming === undefined)
    resolvedAlone.set(only, { source: text, resolved })
  return resolved
}

/** What is prepared is not while it runs: rules that let PREPARE be must not let EXECUTE be. */
const whenItRuns = (part: Part): Part => ({ ...part, facts: { ...part.facts, prepared: false } })

/**
 * Over the protocol any command can be prepared, and EXECUTE runs it: one that defines or drops names, or runs what another
 * name stands for, whose meaning by then nobody has looked up.
 */
function meaningOf(facts: StatementFacts): StatementFacts {
  if (facts.naming === undefined && facts.transaction === undefined) return facts
  const fault = 'what this runs by a name uses or changes names itself, or ends a transaction: run that as it is'
  return { ...facts, fault: facts.fault ?? fault }
}

/**
 * EXPLAIN EXECUTE and CREATE TABLE AS EXECUTE do what was prepared and something of their own. The arguments of EXECUTE are
 * expressions: which values they give to settings is not known.
 */
function combine(own: StatementFacts, meaning: StatementFacts): StatementFacts {
  const both: StatementFacts = {
    ...meaning,
    fault: own.fault ?? meaning.fault,
    changesReading: widest(own.changesReading, meaning.changesReading),
    otherEncoding: own.otherEncoding || meaning.otherEncoding || bindsOtherEncoding(meaning.boundSettings, []),
    boundSettings: own.boundSettings,
    functions: [...own.functions, ...meaning.functions],
    newer: [...own.newer, ...meaning.newer],
    operators: [...own.operators, ...meaning.operators],
    fields: [...own.fields, ...meaning.fields],
    types: [...own.types, ...meaning.types],
    settings: [...own.settings, ...meaning.settings],
    isReadOtherwise: own.isReadOtherwise || meaning.isReadOtherwise,
  }
  return own.parts.length === 0
    ? both
    : {
        ...both,
        node: own.node,
        makes: own.makes ?? meaning.makes,
        lineage: lineageOf(own, meaning),
        parts: [...own.parts, ...meaning.parts],
      }
}

/** What becomes of the columns of what was prepared, where its result goes to. */
function lineageOf({ lineage: own }: StatementFacts, { lineage }: StatementFacts): Lineage {
  const runs = own.kind === 'unknown' ? own.runs : undefined
  return runs !== undefined && lineage.kind === 'query' ? { ...lineage, sink: runs } : own
}

/**
 * Where values are masked they have to be UTF-8; `parameters` undefined before they are bound. The parameters of PREPARE are
 * those of EXECUTE.
 */
export function inUtf8(
  statements: readonly Resolved[],
  parameters: readonly { readonly value: Buffer | null }[] | undefined,
): readonly Resolved[] {
  const leaves = ({ effective: { otherEncoding, boundSettings, naming } }: Resolved): boolean =>
    otherEncoding ||
    (parameters !== undefined && naming?.kind !== 'prepare' && bindsOtherEncoding(boundSettings, parameters))
  if (!statements.some(leaves)) return statements
  return statements.map(statement => (leaves(statement) ? withFault(statement, `it ${encodingRefusal}`) : statement))
}

/** The statement as one that is refused for this, unless it is for something else already. */
export function withFault(statement: Resolved, fault: string | undefined): Resolved {
  const { effective } = statement
  return fault === undefined
    ? statement
    : { ...statement, effective: { ...effective, fault: effective.fault ?? fault } }
}

/** What a name that gate did not see being defined stands for: anything. */
export function unknownName(kind: 'statement' | 'portal', name: string): Resolved {
  const text = kind === 'portal' ? `FETCH FROM ${name}` : `EXECUTE ${name}`
  const action = kind === 'portal' ? 'fetch' : 'execute'
  const node = kind === 'portal' ? 'FetchStmt' : 'ExecuteStmt'
  const facts: StatementFacts = {
    ...unfollowedFacts(node, 0, Buffer.byteLength(text), 'gate did not see what it runs'),
    parts: [{ action, writes: true, routine: false, reads: [], written: [], others: [], facts: noFacts }],
    recordable: plainText,
  }
  return { facts, effective: facts, text, defines: undefined, unknown: { kind, name } }
}

/** The facts of a call of a function by its OID; what it reads only its name says. `setting` is its first argument, if it is known. */
export function callOf(name: string, setting: string | undefined): StatementFacts {
  const { facts } = unknownName('statement', '')
  const call = { action: 'call', writes: true, routine: false, reads: [], written: [], others: [] }
  const settings = name === 'pg_catalog.set_config' ? [{ name: setting }] : []
  const parts = [{ ...call, facts: { ...noFacts, functions: [name] } }, ...identityPartsOf(settings)]
  return { ...facts, node: 'FunctionCall', parts }
}
