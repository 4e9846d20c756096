// What the masks of a session come to for its statements: whether one may run, and how it is carried out.
import type { Deny, Obligation } from '@gate/shared/model'
import type { StatementFacts } from './analysis/facts.ts'
import type { Catalog } from './catalog.ts'
import { compileDetecting, type Detecting } from './detecting.ts'
import type { MaskingContext } from './mask.ts'
import { type MaskedColumns, resolveMasks } from './masked-columns.ts'
import {
  canLookUp,
  canQuoteValues,
  computedColumns,
  copyOutMasking,
  maskingHint,
  maskingRefusal,
  masksColumns,
  systemMasks,
} from './masking-rules.ts'
import type { Resolved } from './resolving.ts'
import { type TextGuard, textGuard } from './texts.ts'

/** Sets of obligations whose masks are remembered for a catalog. */
const MAX_CACHED_MASKS = 8
/** Statements of a session for which is remembered what they come to in a catalog; beyond them all are forgotten. */
const MAX_MASKED_STATEMENTS = 128
/** Of longer statements none is: their facts would be kept in memory. */
const MAX_REMEMBERED_STATEMENT_BYTES = 2048

/** How a statement that is allowed is carried out where something is masked. */
export interface StatementMasking {
  readonly masking: MaskingContext | undefined
  readonly sensitive: boolean
  readonly looksUp: boolean
}

const nothingMasked: StatementMasking = { masking: undefined, sensitive: false, looksUp: false }

/** What masks come to for one statement. */
interface MaskedStatement {
  readonly obligations: readonly Obligation[]
  /** Why the masks do not let it run. */
  readonly reason: string | undefined
  /** Worked out when it is carried out. */
  masking: StatementMasking | undefined
}

/** What the masks of one set of obligations come to in one catalog. */
interface Masks {
  readonly key: string
  readonly masked: MaskedColumns
  readonly detecting: Detecting | undefined
  readonly guard: TextGuard
}

/** What a session remembers of one catalog. */
interface InCatalog {
  readonly masks: Masks[]
  readonly statements: Map<StatementFacts, MaskedStatement>
}

/** The masks of one session, resolved once for each set of obligations and each catalog. */
export class StatementMasks {
  readonly #maskKey: Uint8Array
  /** Nothing here keeps a catalog alive: each change of the schema makes another, and a session can be open for weeks. */
  readonly #inCatalog = new WeakMap<Catalog, InCatalog>()

  /** `maskKey` is the key of `hash` masks. */
  constructor(maskKey: Uint8Array) {
    this.#maskKey = maskKey
  }

  /** Why the masks do not let a statement run; undefined when they do. */
  refusal(statement: Resolved, obligations: readonly Obligation[], catalog: Catalog): Deny | undefined {
    if (!obligations.some(obligation => obligation.kind === 'mask')) return undefined
    const deny = (reason: string): Deny => ({ effect: 'deny', rule: 'mask', reason, hint: maskingHint })
    if (statement.unknown !== undefined)
      return deny('columns are masked for you, and gate did not see what this name stands for')
    const { reason } = this.#maskedStatement(statement.effective, obligations, catalog)
    return reason === undefined ? undefined : deny(reason)
  }

  /** How a statement that may run is carried out. */
  of(statement: Resolved, obligations: readonly Obligation[], catalog: Catalog): StatementMasking {
    if (!obligations.some(obligation => obligation.kind === 'mask')) return nothingMasked
    const masked = this.#maskedStatement(statement.effective, obligations, catalog)
    masked.masking ??= this.#newMasking(statement.effective, obligations, catalog)
    return masked.masking
  }

  #newMasking(effective: StatementFacts, obligations: readonly Obligation[], catalog: Catalog): StatementMasking {
    const { masked: columns, detecting, guard } = this.resolve(obligations, catalog)
    // Where no column is masked by name, texts are searched like results.
    const sensitive = masksColumns(obligations) && canQuoteValues(effective, columns)
    const looksUp = sensitive && canLookUp(effective, columns)
    const computed = computedColumns(effective, columns)
    const copyOut = copyOutMasking(effective, columns)
    const hasStrangers = effective.hasStrangers === true
    const masking = { columns, computed, detecting, copyOut, guard, key: this.#maskKey, hasStrangers }
    return { masking, sensitive, looksUp }
  }

  /** Decisions that are used again oblige to the very same; what is merely equal is looked at anew. */
  #maskedStatement(facts: StatementFacts, obligations: readonly Obligation[], catalog: Catalog): MaskedStatement {
    const { statements } = this.#of(catalog)
    const known = statements.get(facts)
    if (known?.obligations === obligations) return known
    const reason = maskingRefusal(facts, this.resolve(obligations, catalog).masked)
    const made = { obligations, reason, masking: undefined }
    if (facts.length > MAX_REMEMBERED_STATEMENT_BYTES) return made
    if (statements.size >= MAX_MASKED_STATEMENTS) statements.clear()
    statements.set(facts, made)
    return made
  }

  /** Which columns are masked, and what is searched for, in one catalog. */
  resolve(obligations: readonly Obligation[], catalog: Catalog): Masks {
    const key = JSON.stringify(obligations)
    const { masks } = this.#of(catalog)
    const known = masks.find(entry => entry.key === key)
    if (known !== undefined) return known
    const always = masksColumns(obligations) ? systemMasks : []
    const masked = resolveMasks(obligations, catalog, always)
    const detecting = compileDetecting(obligations, this.#maskKey)
    const made = { key, masked, detecting, guard: textGuard(detecting, masksColumns(obligations)) }
    masks.unshift(made)
    masks.length = Math.min(masks.length, MAX_CACHED_MASKS)
    return made
  }

  #of(catalog: Catalog): InCatalog {
    const known = this.#inCatalog.get(catalog) ?? { masks: [], statements: new Map() }
    this.#inCatalog.set(catalog, known)
    return known
  }
}
