// Rewrites DataRow messages: masked columns get their masked values, everything else its own bytes. Pure.
import { GateError } from '@gate/shared/errors'
import type { CopyForm } from './analysis/copy.ts'
import type { Field } from './bodies.ts'
import { D, HEADER_BYTES } from './codec.ts'
import type { Detecting } from './detecting.ts'
import type { Column } from './lineage/scope.ts'
import { redacted, type ValueMask, valueMask } from './mask-values.ts'
import type { ColumnMask, MaskedColumns } from './masked-columns.ts'
import type { Slab } from './slab.ts'
import type { TextGuard } from './texts.ts'

/** Which columns of a result are masked, by position; undefined entries are clear. */
export type RowMask = readonly (ValueMask | undefined)[]

/** The mask of a column of a result that masked ones flow into. */
export type FedMask = ColumnMask

/** Columns of a result that are no table's own: all clear, all masked, or the mask of each that is fed by masked ones. */
export type ComputedColumns = 'clear' | 'masked' | readonly (FedMask | undefined)[]

/** Columns and form of what leaves by COPY; columns whose number or order is not certain are undefined. */
export interface CopyOutMasking {
  readonly form: CopyForm
  readonly columns: readonly Column[] | undefined
}

export interface MaskingContext {
  readonly columns: MaskedColumns
  readonly computed: ComputedColumns
  /** Searches what is otherwise clear. */
  readonly detecting: Detecting | undefined
  /** What leaves by COPY TO STDOUT; undefined for every other statement. */
  readonly copyOut: CopyOutMasking | undefined
  /** What becomes of texts beside the rows. */
  readonly guard: TextGuard
  readonly key: Uint8Array
  /** The statement names relations that nobody knows: none of them is the session's own. */
  readonly hasStrangers?: boolean
  /** What was decided before the statement was judged once more: what is masked by it stays masked. */
  readonly before?: MaskingContext | undefined
  /** The rows are those of a cursor WITH HOLD: what was masked of them when it was declared stays masked. */
  readonly held?: HeldMasks | undefined
}

/** What says which columns of a result are masked. */
export interface ShownMasks extends Pick<MaskingContext, 'computed' | 'key'> {
  readonly columns: Pick<MaskedColumns, 'mask' | 'knows' | 'isMasked' | 'isOpaque'>
}

export type HeldMasks = readonly ShownMasks[]

const none: ReadonlySet<number> = new Set()

/** The mask of a result; undefined when every column is clear. `own`: OIDs of what the open transaction has made or altered. */
export function rowMask(
  fields: readonly Field[],
  context: MaskingContext,
  own: ReadonlySet<number> = none,
): RowMask | undefined {
  const all = shownIn(context)
  const masks = fields.map(
    (field, index) =>
      all.map(each => maskIn(field, index, fields.length, each, own)).reduce(stricter) ?? context.detecting?.(field),
  )
  return masks.some(mask => mask !== undefined) ? masks : undefined
}

/** Everything by which it was decided over. */
const shownIn = (context: MaskingContext): readonly ShownMasks[] => [
  context,
  ...(context.held ?? []),
  ...(context.before === undefined ? [] : shownIn(context.before)),
]

const maskIn = (
  field: Field,
  index: number,
  count: number,
  shown: ShownMasks,
  own: ReadonlySet<number>,
): ValueMask | undefined => fieldMask(field, fedMask(shown.computed, index, count), shown, own)

/** Of two masks one that shows nothing of a value, if either does. */
const stricter = (one: ValueMask | undefined, other: ValueMask | undefined): ValueMask | undefined =>
  other !== undefined && (one === undefined || 'constant' in other) ? other : one

/** A result with other columns than were followed is not the one that was followed. */
function fedMask(computed: ComputedColumns, index: number, count: number): FedMask | 'redact' | undefined {
  if (typeof computed === 'string') return computed === 'masked' ? 'redact' : undefined
  return computed.length === count ? computed[index] : 'redact'
}

function fieldMask(
  field: Field,
  fed: FedMask | 'redact' | undefined,
  { columns, key }: ShownMasks,
  own: ReadonlySet<number>,
): ValueMask | undefined {
  // A whole row is described as column 0 of its table.
  if (field.tableOid === 0 || field.attributeNumber === 0) {
    if (fed === undefined)
      return field.tableOid === 0 || isClearRow(field.tableOid, columns, own) ? undefined : { constant: null }
    return valueMasked(fed === 'redact' ? undefined : fed, field, key)
  }
  const mask = columns.mask(field.tableOid, field.attributeNumber)
  if (mask !== undefined) return valueMasked(mask, field, key)
  // A view that cannot be followed, or a table or column that the catalog does not know: nothing says that it is clear.
  const isKnown = own.has(field.tableOid) || columns.knows(field.tableOid, field.attributeNumber)
  return isKnown && !columns.isOpaque(field.tableOid) ? undefined : { constant: null }
}

function valueMasked(mask: ColumnMask | undefined, { typeOid, format }: Field, key: Uint8Array): ValueMask {
  if (mask?.keepsNull !== true) return { constant: redacted(typeOid, format), hidesNull: true }
  return valueMask(mask.mask, typeOid, format, key)
}

function isClearRow(tableOid: number, columns: ShownMasks['columns'], own: ReadonlySet<number>): boolean {
  return (own.has(tableOid) || columns.knows(tableOid)) && !columns.isMasked(tableOid)
}

const isHiddenNull = (mask: ValueMask): boolean =>
  'constant' in mask && mask.hidesNull === true && mask.constant !== null

/** Tables or columns in a result that the catalog does not know; it has to be read anew before the rows can be shown. */
export function areUnknown(fields: readonly Field[], columns: MaskedColumns, own: ReadonlySet<number>): boolean {
  return fields.some(
    ({ tableOid, attributeNumber }) =>
      tableOid !== 0 && !own.has(tableOid) && !columns.knows(tableOid, attributeNumber),
  )
}

/** Of tables in a result those that, or columns of which, the catalog does not know, and of which nothing is masked. */
export function unknownTables(fields: readonly Field[], columns: MaskedColumns): readonly number[] {
  return fields.flatMap(({ tableOid, attributeNumber }) =>
    tableOid === 0 || columns.knows(tableOid, attributeNumber) || columns.isMasked(tableOid) ? [] : [tableOid],
  )
}

const broken = (what: string): GateError => new GateError('ERR_GATE_TARGET_PROTOCOL', `malformed DataRow: ${what}`)

/** readInt32BE takes four times as long, and this is called for every value of every row. The caller has checked the bound. */
export const int32 = (bytes: Buffer, at: number): number =>
  ((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)

/**
 * Rewrites the DataRows that begin at `from`, up to the first message that is none, is not there as a whole, or has an
 * impossible length. Returns where that is. What lies between two masked values is copied at once, from one row into the
 * next: a row costs one copy for each masked value, and no memory of its own.
 * @throws {GateError} ERR_GATE_TARGET_PROTOCOL when lengths do not add up or a row has other columns than its description.
 */
export function rewriteRows(slab: Slab, source: Buffer, from: number, mask: RowMask): number {
  let copied = from
  let at = from
  while (source.length - at >= HEADER_BYTES && source[at] === D) {
    const length = int32(source, at + 1)
    const end = at + 1 + length
    if (length < 4 || end > source.length) break
    copied = rewriteRow(slab, source, at, end, mask, copied)
    at = end
  }
  slab.copy(source, copied, at, 0)
  return at
}

/** Everything before `copied` is written. Returns up to where it is afterwards: the end of the last masked value. */
function rewriteRow(slab: Slab, source: Buffer, start: number, end: number, mask: RowMask, copied: number): number {
  if (end - start < HEADER_BYTES + 2) throw broken('no column count')
  if (source.readUInt16BE(start + HEADER_BYTES) !== mask.length) throw broken('not the columns that were described')
  slab.begin(start - copied)
  const written = rewriteValues(slab, source, start + HEADER_BYTES + 2, end, mask, copied)
  // Of a row of which nothing was masked the length is the same; it may not even be copied yet.
  if (written !== copied) slab.finish(end - written)
  return written
}

/**
 * Rewrites values that stand one after the other, each behind its length, up to `end`: those of a DataRow, or of a row of a
 * binary COPY. Everything before `copied` is written; returns up to where it is afterwards.
 */
export function rewriteValues(
  slab: Slab,
  source: Buffer,
  from: number,
  end: number,
  mask: RowMask,
  copied: number,
): number {
  let written = copied
  let at = from
  for (let index = 0; index < mask.length; index += 1) {
    if (at + 4 > end) throw broken('a length goes beyond its end')
    const length = int32(source, at)
    const next = length === -1 ? at + 4 : at + 4 + length
    if (length < -1 || next > end) throw broken('a value goes beyond its end')
    const column = mask[index]
    if (column !== undefined && (length !== -1 || isHiddenNull(column))) {
      const value = 'constant' in column ? column.constant : column.compute(source.subarray(at + 4, next))
      slab.copy(source, written, at, 4 + (value?.length ?? 0))
      slab.value(value)
      written = next
    }
    at = next
  }
  if (at !== end) throw broken('bytes after the last column')
  return written
}
