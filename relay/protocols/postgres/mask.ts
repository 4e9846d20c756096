// Rewrites DataRow messages: masked columns get their masked values, everything else its own bytes. Pure.
import { GateError } from '@gate/shared/errors'
import { D, type Field, HEADER_BYTES } from './codec.ts'
import type { Detecting } from './detecting.ts'
import { redacted, type ValueMask, valueMask } from './mask-values.ts'
import type { MaskedColumns } from './masked-columns.ts'

/** Which columns of a result are masked, by position; undefined entries are clear. */
export type RowMask = readonly (ValueMask | undefined)[]

/** Columns of a result that are no table's own: all clear, all masked, or which of all columns are fed by masked ones. */
export type ComputedColumns = 'clear' | 'masked' | readonly boolean[]

export interface MaskingContext {
  readonly columns: MaskedColumns
  readonly computed: ComputedColumns
  /** Searches what is otherwise clear. */
  readonly detecting: Detecting | undefined
  readonly key: Uint8Array
}

/** The mask of a result; undefined when every column is clear. */
export function rowMask(fields: readonly Field[], context: MaskingContext): RowMask | undefined {
  const masks = fields.map(
    (field, index) =>
      fieldMask(field, isFed(context.computed, index, fields.length), context) ?? context.detecting?.(field),
  )
  return masks.some(mask => mask !== undefined) ? masks : undefined
}

/** A result with other columns than were followed is not the one that was followed. */
function isFed(computed: ComputedColumns, index: number, count: number): boolean {
  if (typeof computed === 'string') return computed === 'masked'
  return computed.length !== count || computed[index] === true
}

function fieldMask(field: Field, fed: boolean, { columns, key }: MaskingContext): ValueMask | undefined {
  if (field.tableOid === 0) return fed ? { constant: redacted(field.typeOid, field.format) } : undefined
  const mask = columns.mask(field.tableOid, field.attributeNumber)
  if (mask !== undefined) return valueMask(mask, field.typeOid, field.format, key)
  // A view that cannot be followed, or a table that the catalog does not know: nothing says that the column is clear.
  const clear = columns.knows(field.tableOid) && !columns.isOpaque(field.tableOid)
  return clear ? undefined : { constant: null }
}

/** Tables in a result that the catalog does not know; it has to be read anew before the rows can be shown. */
export function unknownTables(fields: readonly Field[], columns: MaskedColumns): boolean {
  return fields.some(field => field.tableOid !== 0 && !columns.knows(field.tableOid))
}

const broken = (what: string): GateError => new GateError('ERR_GATE_TARGET_PROTOCOL', `malformed DataRow: ${what}`)

/** readInt32BE takes four times as long, and this is called for every value of every row. The caller has checked the bound. */
const int32 = (bytes: Buffer, at: number): number =>
  ((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)

/** The least that is taken from the allocator at a time. */
const SLAB_BYTES = 64 * 1024
/** Up to this length a loop copies faster than a call. */
const SHORT_BYTES = 24

/**
 * Collects the rewritten rows of one chunk in as few buffers as possible. What lies between two masked values is copied at
 * once, from one row into the next: a row costs one copy for each masked value, and no memory of its own.
 */
export class RowWriter {
  #slab: Buffer
  #at = 0
  /** Where the row at hand begins, or will. */
  #head = 0
  readonly #done: Buffer[] = []

  /** `expected` bytes of rows will be written, more or less. */
  constructor(expected: number) {
    this.#slab = Buffer.allocUnsafe(Math.max(1024, expected + (expected >> 3)))
  }

  /** Everything written, in order. */
  take(): Buffer[] {
    if (this.#at > 0) this.#done.push(this.#slab.subarray(0, this.#at))
    this.#slab = this.#slab.subarray(this.#at)
    this.#at = 0
    return this.#done.splice(0)
  }

  /**
   * Writes the DataRows that begin at `from`, up to the first message that is none, is not there as a whole, or has an
   * impossible length. Returns where that is.
   * @throws {GateError} ERR_GATE_TARGET_PROTOCOL when lengths do not add up or a row has other columns than its description.
   */
  rows(source: Buffer, from: number, mask: RowMask): number {
    let copied = from
    let at = from
    while (source.length - at >= HEADER_BYTES && source[at] === D) {
      const length = int32(source, at + 1)
      const end = at + 1 + length
      if (length < 4 || end > source.length) break
      copied = this.#row(source, at, end, mask, copied)
      at = end
    }
    this.#copy(source, copied, at, 0)
    return at
  }

  /** Everything before `copied` is written. Returns up to where it is afterwards: the end of the last masked value. */
  #row(source: Buffer, start: number, end: number, mask: RowMask, copied: number): number {
    if (end - start < HEADER_BYTES + 2) throw broken('no column count')
    if (source.readUInt16BE(start + HEADER_BYTES) !== mask.length) throw broken('not the columns that were described')
    this.#head = this.#at + start - copied
    let written = copied
    let at = start + HEADER_BYTES + 2
    for (let index = 0; index < mask.length; index += 1) {
      if (at + 4 > end) throw broken('a length goes beyond its end')
      const length = int32(source, at)
      const next = length === -1 ? at + 4 : at + 4 + length
      if (length < -1 || next > end) throw broken('a value goes beyond its end')
      const column = mask[index]
      if (column !== undefined && length !== -1) {
        const value = 'constant' in column ? column.constant : column.compute(source.subarray(at + 4, next))
        this.#copy(source, written, at, 4 + (value?.length ?? 0))
        this.#value(value)
        written = next
      }
      at = next
    }
    if (at !== end) throw broken('bytes after the last column')
    // Of a row of which nothing was masked the length is the same; it may not even be copied yet.
    if (written !== copied) this.#slab.writeInt32BE(this.#at + end - written - this.#head - 1, this.#head + 1)
    return written
  }

  /** Copies a part of the source; afterwards there is room for `more` bytes. */
  #copy(source: Buffer, from: number, to: number, more: number): void {
    const bytes = to - from
    if (this.#slab.length - this.#at < bytes + more) this.#grow(bytes + more)
    if (bytes <= SHORT_BYTES) {
      for (let index = 0; index < bytes; index += 1) this.#slab[this.#at + index] = source[from + index] ?? 0
    } else source.copy(this.#slab, this.#at, from, to)
    this.#at += bytes
  }

  #value(value: Buffer | null): void {
    this.#at = this.#slab.writeInt32BE(value === null ? -1 : value.length, this.#at)
    if (value === null) return
    if (value.length <= SHORT_BYTES) {
      for (let index = 0; index < value.length; index += 1) this.#slab[this.#at + index] = value[index] ?? 0
    } else value.copy(this.#slab, this.#at)
    this.#at += value.length
  }

  /** Goes on in a new buffer; of a row that has begun, what there is moves with it, since its length is still to be set. */
  #grow(bytes: number): void {
    const keep = Math.min(this.#head, this.#at)
    const begun = this.#slab.subarray(keep, this.#at)
    if (keep > 0) this.#done.push(this.#slab.subarray(0, keep))
    const needed = begun.length + bytes
    this.#slab = Buffer.allocUnsafe(Math.max(SLAB_BYTES, needed + (needed >> 3)))
    this.#head -= keep
    this.#at = begun.copy(this.#slab)
  }
}
