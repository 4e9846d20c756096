// Rewrites DataRow messages: masked columns get their masked values, everything else its own bytes. Pure.
import { GateError } from '@gate/shared/errors'
import { type Field, HEADER_BYTES } from './codec.ts'
import { redacted, type ValueMask, valueMask } from './mask-values.ts'
import type { MaskedColumns } from './masked-columns.ts'

/** Which columns of a result are masked, by position; undefined entries are clear. */
export type RowMask = readonly (ValueMask | undefined)[]

/** Columns of a result that are no table's own: all clear, all masked, or which of all columns are fed by masked ones. */
export type ComputedColumns = 'clear' | 'masked' | readonly boolean[]

export interface MaskingContext {
  readonly columns: MaskedColumns
  readonly computed: ComputedColumns
  readonly key: Uint8Array
}

/** The mask of a result; undefined when every column is clear. */
export function rowMask(fields: readonly Field[], context: MaskingContext): RowMask | undefined {
  const masks = fields.map((field, index) => fieldMask(field, isFed(context.computed, index, fields.length), context))
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

/** Collects the rewritten rows of one chunk in as few buffers as possible. */
export class RowWriter {
  #slab: Buffer
  #at = 0
  readonly #done: Buffer[] = []

  /** `expected` bytes of rows will be written, more or less. */
  constructor(expected: number) {
    this.#slab = Buffer.allocUnsafe(Math.max(1024, expected + (expected >> 3)))
  }

  #reserve(bytes: number): void {
    if (this.#slab.length - this.#at >= bytes) return
    this.#flush()
    this.#slab = Buffer.allocUnsafe(Math.max(64 * 1024, bytes * 2))
  }

  #flush(): void {
    if (this.#at > 0) this.#done.push(this.#slab.subarray(0, this.#at))
    this.#slab = this.#slab.subarray(this.#at)
    this.#at = 0
  }

  /** Everything written, in order. */
  take(): Buffer[] {
    this.#flush()
    return this.#done.splice(0)
  }

  /**
   * Writes one masked DataRow; `source` from `start` to `end` is the message with its header.
   * @throws {GateError} ERR_GATE_TARGET_PROTOCOL when lengths do not add up or the row has other columns than its description.
   */
  row(source: Buffer, start: number, end: number, mask: RowMask): void {
    if (end - start < HEADER_BYTES + 2) throw broken('no column count')
    if (source.readUInt16BE(start + HEADER_BYTES) !== mask.length) throw broken('not the columns that were described')
    const values = this.#values(source, start, end, mask)
    const masked = values.reduce((sum, value) => sum + (value?.length ?? 0), 0)
    this.#reserve(end - start + masked + 4 * mask.length)
    const head = this.#at
    let copied = start
    let at = start + HEADER_BYTES + 2
    for (let index = 0; index < mask.length; index += 1) {
      const length = source.readInt32BE(at)
      const next = at + 4 + Math.max(length, 0)
      if (mask[index] !== undefined && length !== -1) {
        this.#at += source.copy(this.#slab, this.#at, copied, at)
        this.#value(values[index] ?? null)
        copied = next
      }
      at = next
    }
    this.#at += source.copy(this.#slab, this.#at, copied, end)
    this.#slab.writeInt32BE(this.#at - head - 1, head + 1)
  }

  #value(value: Buffer | null): void {
    this.#at = this.#slab.writeInt32BE(value === null ? -1 : value.length, this.#at)
    if (value !== null) this.#at += value.copy(this.#slab, this.#at)
  }

  /** Checks the row's layout and computes the masked values, before anything is written. */
  #values(source: Buffer, start: number, end: number, mask: RowMask): (Buffer | null)[] {
    const values: (Buffer | null)[] = []
    let at = start + HEADER_BYTES + 2
    for (let index = 0; index < mask.length; index += 1) {
      if (at + 4 > end) throw broken('a length goes beyond its end')
      const length = source.readInt32BE(at)
      at += 4
      if (length < -1 || at + Math.max(length, 0) > end) throw broken('a value goes beyond its end')
      const column = mask[index]
      if (column !== undefined && length !== -1) {
        values[index] = 'constant' in column ? column.constant : column.compute(source.subarray(at, at + length))
      }
      at += Math.max(length, 0)
    }
    if (at !== end) throw broken('bytes after the last column')
    return values
  }
}
