// What people are asked about: the message as it was sent, where it would run, and what the server expects it to do.
import { type BoundParameter, parametersSha256 } from '@gate/shared/approval'
import { GateError } from '@gate/shared/errors'
import type { Estimate } from '@gate/shared/model'
import type { Asked } from '../protocol.ts'
import type { Catalog } from './catalog.ts'
import type { CatalogStream } from './catalog-stream.ts'
import { calledBefore } from './operation.ts'
import type { BoundValue } from './questions.ts'
import type { Resolved } from './resolving.ts'

/** The server does not plan longer for an estimate. */
const PLAN_TIMEOUT_MS = 2_000
const TEXT = 0

/** A message from the client that runs something. */
export interface Sent {
  readonly command: string
  readonly parameters: readonly BoundValue[]
  readonly types: readonly number[]
  /** Bytes of parameters that were too many to be kept. */
  readonly uninspectedBytes: number
  /** Where unqualified names are looked for, if the server says so. */
  readonly searchPath: string | undefined
}

/** A simple query, which has no parameters. */
export function sentAlone(command: string, searchPath: string | undefined): Sent {
  return { command, parameters: [], types: [], uninspectedBytes: 0, searchPath }
}

export interface EstimateSource {
  /** Where commands run: the database, the role that runs them. */
  readonly context: Readonly<Record<string, string>>
  /** A stream of the room's own, logged in as the person's is. */
  openStream(signal: AbortSignal): Promise<CatalogStream>
}

export function askedOf(sent: Sent, statements: readonly Resolved[], source: EstimateSource, catalog: Catalog): Asked {
  const unknown = statements.find(each => each.unknown !== undefined)?.unknown
  const tooLarge = [sent, ...statements.flatMap(({ meaning }) => meaning?.prepared.bound ?? [])].some(
    ({ uninspectedBytes }) => uninspectedBytes > 0,
  )
  return {
    command: [sent.command, ...meaningsOf(statements)].join('\n\n'),
    parameters: tooLarge || unknown !== undefined ? undefined : typed(sent.parameters, sent.types),
    ...(unknown !== undefined && { unshown: `gate did not see what ${unknown.name} stands for` }),
    context: { ...source.context, ...(sent.searchPath === undefined ? {} : { search_path: sent.searchPath }) },
    estimate: async signal => (isPlannable(statements, catalog) ? estimate(sent, source, signal) : undefined),
  }
}

/** To plan what calls functions then would run them before anybody has approved it. */
function isPlannable([only, second]: readonly Resolved[], catalog: Catalog): boolean {
  return only !== undefined && second === undefined && calledBefore(only.effective, catalog).length === 0
}

function typed(values: readonly BoundValue[], types: readonly number[]): BoundParameter[] {
  return values.map((value, index) => ({ ...value, type: types[index] ?? 0 }))
}

/**
 * What stands behind EXECUTE and FETCH, since the same text can mean something else a moment later. `gate:` is no SQL wherever
 * a statement is over: no statement can end in a part that looks like this, and a relay that sent all of it to a server would
 * run nothing.
 */
function meaningsOf(statements: readonly Resolved[]): string[] {
  const said = statements.flatMap(({ meaning }) => (meaning === undefined ? [] : [meaningOf(meaning)]))
  return [...new Set(said)]
}

function meaningOf({ name, prepared }: NonNullable<Resolved['meaning']>): string {
  const { text, parameterTypes, bound } = prepared
  const types =
    parameterTypes.length === 0 ? '' : `, its parameters of the types with OIDs ${parameterTypes.join(', ')}`
  const values =
    bound === undefined || bound.parameters.length === 0
      ? ''
      : `, with values of SHA-256 ${parametersSha256(typed(bound.parameters, parameterTypes))}`
  return `gate: ${JSON.stringify(name)} stands for this${types}${values}:\n${text}`
}

/**
 * Asks the server's planner, in a read-only transaction that is rolled back. Undefined when it does not plan the command, or
 * when its parameters have no text.
 * @throws {GateError} when the stream breaks or `signal` is aborted.
 * @see https://www.postgresql.org/docs/current/sql-explain.html
 */
async function estimate(sent: Sent, source: EstimateSource, signal: AbortSignal): Promise<Estimate | undefined> {
  const explain = explainOf(sent)
  if (explain === undefined) return undefined
  const stream = await source.openStream(signal)
  try {
    const answers = await stream.ask(
      ['begin read only', `set local statement_timeout = ${PLAN_TIMEOUT_MS}`, ...explain, 'rollback'],
      signal,
    )
    const plan = answers.at(-2)
    return plan === undefined || plan instanceof GateError
      ? undefined
      : readPlan(plan.map(([line]) => line ?? '').join('\n'))
  } finally {
    stream.close()
  }
}

/** The queries that explain the command; parameters stand as literals, which the server reads as it would read the values. */
function explainOf({ command, parameters }: Sent): string[] | undefined {
  if (parameters.length === 0) return [`explain (format json) ${command}`]
  if (parameters.some(({ format, value }) => value !== null && format !== TEXT)) return undefined
  const literals = parameters.map(({ value }) =>
    value === null ? 'null' : `'${value.toString('utf8').replaceAll("'", "''")}'`,
  )
  return [`prepare gate_estimate as ${command}`, `explain (format json) execute gate_estimate(${literals.join(', ')})`]
}

interface PlanNode {
  readonly 'Node Type'?: unknown
  readonly Operation?: unknown
  readonly 'Plan Rows'?: unknown
  readonly 'Total Cost'?: unknown
  readonly Plans?: readonly PlanNode[]
}

/** Rows and cost of a plan. What a write returns says nothing: what counts is what goes into it. */
function readPlan(json: string): Estimate | undefined {
  const [first] = JSON.parse(json) as readonly { readonly Plan?: PlanNode }[]
  const plan = first?.Plan
  if (plan === undefined) return undefined
  const counted = plan['Node Type'] === 'ModifyTable' ? (plan.Plans?.[0] ?? plan) : plan
  const rows = Number(counted['Plan Rows'])
  if (!Number.isSafeInteger(rows)) return undefined
  const what = typeof plan.Operation === 'string' ? plan.Operation : String(plan['Node Type'])
  return { rows, detail: `${what}, cost ${String(plan['Total Cost'])}, as PostgreSQL plans it` }
}
