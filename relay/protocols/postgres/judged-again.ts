// Answers that were long in coming: what a statement shows is judged once more, since names may mean something else by then.
import { GateError } from '@gate/shared/errors'
import { C, D, d, E, H, N, s, T } from './codec.ts'
import type { Entry, StatementPlan } from './pending.ts'
import type { Receiving } from './receiving.ts'

/** Messages that show what a statement did. By the first of them the server has read it, and holds what it reads. */
const showing: ReadonlySet<number> = new Set([T, D, d, H, s, C])
/** They come at any time. */
const telling: ReadonlySet<number> = new Set([E, N])

/** Whether a message of the answer has to wait until what it answers is judged once more. */
export function asksAgain(receiving: Receiving, type: number, head: Entry | undefined): boolean {
  const plan = receiving.plan(head)
  if (plan?.again === undefined) return false
  if (telling.has(type)) {
    if (plan.again.isDue()) plan.sensitive = true
    return false
  }
  if (!showing.has(type)) return false
  const { again } = plan
  plan.again = undefined
  if (!again.isDue()) return false
  receiving.ask({ kind: 'again', again }, answer => {
    if (answer.kind !== 'carried' || answer.carried === undefined) throw changed()
    carriedOut(plan, answer.carried)
  })
  return true
}

/** What was masked stays masked, and what is by now is as well. */
function carriedOut(
  plan: StatementPlan,
  { masking, sensitive, looksUp }: Pick<StatementPlan, 'masking' | 'sensitive' | 'looksUp'>,
): void {
  plan.sensitive ||= sensitive
  plan.looksUp ||= looksUp === true
  if (masking !== undefined) plan.masking = { ...masking, before: plan.masking }
}

/** Thrown where a statement shows something else than was decided over. */
export function changed(): GateError {
  return new GateError('ERR_GATE_REFUSED', 'a table of this statement was changed while it waited at the server', {
    hint: 'Columns are masked for you, and which ones it shows is not certain any more. Run it again.',
  })
}
