// Under which masks a cursor WITH HOLD was declared: its rows are those of then, whatever the names in its text mean by now. Pure.
import type { StatementFacts } from './analysis/facts.ts'
import type { HeldMasks, MaskingContext, ShownMasks } from './mask.ts'
import type { ColumnMask } from './masked-columns.ts'
import { relationsOf } from './masking-rules.ts'
import type { StatementPlan } from './pending.ts'

/** What has to be known of a cursor's rows once nothing locks what they come from; undefined where nothing of them is masked. */
export function heldMasks({ masking, naming, defines }: StatementPlan): HeldMasks | undefined {
  if (naming?.kind !== 'declare' || !naming.holdable || defines?.facts === undefined) return undefined
  const { facts } = defines
  return masking && [masking, masking.before].flatMap(each => (each === undefined ? [] : [shownOf(each, facts)]))
}

/** The masks of what a statement names, without the catalog that they are from: a cursor can be open for weeks. */
function shownOf({ columns, computed, key }: MaskingContext, facts: StatementFacts): ShownMasks {
  const relations = relationsOf(facts, columns)
  const oidsOf = (has: (oid: number) => boolean): ReadonlySet<number> =>
    new Set(relations.map(({ oid }) => oid).filter(has))
  const masked = oidsOf(oid => columns.isMasked(oid))
  const opaque = oidsOf(oid => columns.isOpaque(oid))
  const masks = new Map<string, ColumnMask | undefined>()
  for (const { oid, columns: own } of relations)
    if (masked.has(oid)) for (const number of own.keys()) masks.set(`${oid} ${number}`, columns.mask(oid, number))
  return {
    key,
    computed,
    columns: {
      mask: (oid, number) => masks.get(`${oid} ${number}`),
      isMasked: oid => masked.has(oid),
      isOpaque: oid => opaque.has(oid),
      // Whether there is such a column, the catalog of now says.
      knows: () => true,
    },
  }
}
