// A statement as the commands that the gate judges, and its verdict as the plan by which the machine carries it out. Pure.
import type { Deny, Obligation, Operation, Parameter } from '@gate/shared/model'
import type { Command, Recorded, Verdict } from '../protocol.ts'
import type { StatementFacts } from './analysis/facts.ts'
import type { Catalog } from './catalog.ts'
import { unknownOperation } from './operation.ts'
import type { StatementPlan } from './pending.ts'
import type { Resolved } from './resolving.ts'
import { isCounted, limitRefusal } from './row-limits.ts'
import type { StatementMasks } from './statement-masks.ts'
import { withParameters, workOut } from './worked-out.ts'

/** What the record and people get to see of a statement. */
export interface Shown {
  readonly recorded: Recorded
  readonly parameters: readonly Parameter[]
}

/** One command for each operation of a statement; `message` has all statements that came with it. */
export function commandsOf(
  statement: Resolved,
  { recorded, parameters }: Shown,
  catalog: Catalog,
  message: readonly Resolved[],
  masks: StatementMasks,
): Command[] {
  const { effective, text } = statement
  const people = peopleFor(statement)
  const refusal = faultOf(effective)
  const { operations } = workOut(effective, text, catalog)
  // Of what has no operation nobody decides: EXECUTE of EXECUTE, for example.
  if (operations.length === 0)
    return [{ operation: unknownOperation('unknown', text), recorded, refusal: refusal ?? undecided, people }]
  let mainLimits: readonly string[] = []
  return operations.map((each, index) => {
    const operation = withParameters(each, parameters)
    // The UPDATE of ON CONFLICT is counted with the INSERT, by the limit that both have.
    const isCountedWithMain = (limits: readonly string[]): boolean =>
      index === 0 || (effective.parts[index]?.tagged === true && limits.every(rule => mainLimits.includes(rule)))
    return {
      operation,
      recorded,
      refusal,
      perform: obligations => {
        const limits = obligations.flatMap(obligation => (obligation.kind === 'row-limit' ? [obligation.rule] : []))
        if (index === 0) mainLimits = limits
        return (
          masks.refusal(statement, obligations, catalog) ??
          performsLimit(statement, operation, isCountedWithMain(limits), limits, message)
        )
      },
      people,
    }
  })
}

const undecided: Deny = {
  effect: 'deny',
  rule: 'protocol',
  reason: 'gate does not know what this statement does',
  hint: undefined,
}

function faultOf({ fault }: StatementFacts): Deny | undefined {
  return fault === undefined ? undefined : { effect: 'deny', rule: 'protocol', reason: fault, hint: undefined }
}

/** How each of the statements is carried out; `commands` are those that the verdict allowed, statement by statement. */
export function plansOf(
  statements: readonly Resolved[],
  commands: readonly (readonly Command[])[],
  verdict: Verdict,
  catalog: Catalog,
  masks: StatementMasks,
  basis: unknown,
): readonly StatementPlan[] {
  let next = 0
  return statements.map((statement, index): StatementPlan => {
    const count = commands[index]?.length ?? 0
    const numbers = verdict.commands.slice(next, next + count)
    const obligations = verdict.obligations[next] ?? []
    const { masking, sensitive, looksUp } = masks.of(statement, obligations, catalog)
    const { held } = statement
    const counted = countsRows(statement, obligations) ? numbers[0] : undefined
    next += count
    return {
      basis,
      commands: numbers,
      masking: held === undefined ? masking : masking && { ...masking, held },
      sensitive,
      looksUp,
      ...changesOf(statement, commands[index] ?? []),
      naming: statement.facts.naming,
      defines: statement.defines,
      endsTransaction: endsTransaction(statement.facts.transaction),
      counted,
      declaration: {
        actions: (commands[index] ?? []).map(({ operation }) => operation.action),
        approvals: verdict.approvals,
      },
    }
  })
}

const code = new Set(['call', 'do', 'set_role', 'execute', 'fetch', 'unknown'])

/** What it can change of how the texts after it are read. PREPARE runs nothing yet. */
function changesOf(
  { facts, effective }: Resolved,
  commands: readonly Command[],
): Pick<StatementPlan, 'changesReading' | 'runsCode'> {
  if (facts.naming?.kind === 'prepare') return {}
  const writesSettings = commands.some(
    ({ operation: { action, facts: said } }) => action === 'set_role' && said['nested'] === true,
  )
  return {
    changesReading: effective.changesReading ?? (writesSettings ? 'encoding' : undefined),
    runsCode: commands.some(({ operation }) => code.has(operation.action)),
  }
}

/** ROLLBACK TO and COMMIT PREPARED end no transaction that is open here. */
function endsTransaction(transaction: string | undefined): boolean {
  return transaction !== undefined && /^TRANS_STMT_(ROLLBACK|COMMIT|PREPARE)$/.test(transaction)
}

/** Whether the rows that the statement's main part writes are counted before they are committed. */
function countsRows({ facts, effective }: Resolved, obligations: readonly Obligation[]): boolean {
  if (!obligations.some(({ kind }) => kind === 'row-limit')) return false
  return facts.naming?.kind !== 'prepare' && isCounted(effective)
}

function performsLimit(
  { facts, effective }: Resolved,
  operation: Operation,
  isMain: boolean,
  [rule]: readonly string[],
  message: readonly Resolved[],
): Deny | undefined {
  if (rule === undefined) return undefined
  if (facts.naming?.kind === 'fetch' && operation.writes && !operation.routine) {
    const reason = 'a row limit applies, and FETCH does not say how many rows were written'
    return { effect: 'deny', rule, reason, hint: undefined }
  }
  // PREPARE writes nothing: what it prepared is counted when it runs. It is refused now if it could not be.
  const together = facts.naming?.kind === 'prepare' ? [effective] : message.map(each => each.effective)
  const reason = limitRefusal(effective, operation, isMain, together)
  return reason === undefined ? undefined : { effect: 'deny', rule, reason, hint: undefined }
}

/** PREPARE runs nothing yet; FETCH goes on with what was decided at DECLARE, if gate saw that. */
function peopleFor({ facts, unknown }: Resolved): Command['people'] {
  if (facts.naming?.kind === 'prepare') return 'later'
  return facts.naming?.kind === 'fetch' && unknown === undefined ? 'asked' : 'now'
}
