// Rewrites the rows of COPY TO STDOUT: masked columns get their masked values, everything else its own bytes. Pure.
//
// The server sends each row in a CopyData message of its own, in binary with the header before the first and the end mark
// after the last. In text and CSV it ends them with a newline on every platform: CopySendEndOfRow in
// src/backend/commands/copyto.c.
import { GateError } from '@gate/shared/errors'
import type { CopyForm } from './analysis/copy.ts'
import { d, HEADER_BYTES } from './codec.ts'
import { csvForm, type FieldForm, plainEnd, textForm } from './copy-fields.ts'
import { UNKNOWN_TYPE } from './detecting.ts'
import { type Column, keepsNull, maskOf } from './lineage/scope.ts'
import { int32, type MaskingContext, type RowMask, rewriteValues } from './mask.ts'
import { type ValueMask, valueMask } from './mask-values.ts'
import type { Slab } from './slab.ts'

/** BINARY_SIGNATURE, flags, length of the header's extension. */
const BINARY_SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1')
const BINARY_HEADER_BYTES = BINARY_SIGNATURE.length + 8
const NEWLINE = 0x0a

const broken = (what: string): GateError => new GateError('ERR_GATE_TARGET_PROTOCOL', `malformed COPY data: ${what}`)

/**
 * What rewrites COPY data of so many columns; undefined when all of them are clear.
 * @throws {GateError} ERR_GATE_TARGET_PROTOCOL when masked columns flow in and these are not the columns that were followed.
 */
export function createCopyOut(
  form: CopyForm,
  count: number,
  followed: readonly Column[] | undefined,
  { computed, detecting, key }: MaskingContext,
): CopyOut | undefined {
  const format = form.kind === 'binary' ? 1 : 0
  const columns = followed?.length === count ? followed : undefined
  if (columns === undefined && computed !== 'clear')
    throw new GateError('ERR_GATE_TARGET_PROTOCOL', 'the server copies other columns than were followed')
  const masks = Array.from({ length: count }, (_, index): ValueMask | undefined => {
    const column = columns?.[index]
    if (column !== undefined && column.flows.size > 0) return columnMask(column, format, key)
    return detecting?.({ typeOid: column?.type ?? UNKNOWN_TYPE, format })
  })
  if (masks.every(mask => mask === undefined)) return undefined
  return new CopyOut(form, masks, columns?.map(({ name }) => name) ?? [])
}

/** Whether two judgements of one COPY mask the same columns in the same way. */
export function copiesAlike(one: MaskingContext, other: MaskingContext): boolean {
  const masks = ({ computed, copyOut }: MaskingContext): string =>
    JSON.stringify([
      computed === 'clear'
        ? computed
        : copyOut?.columns?.map(column => [maskOf(column), keepsNull(column), column.type]),
    ])
  return masks(one) === masks(other)
}

function columnMask(column: Column, format: number, key: Uint8Array): ValueMask {
  const mask = maskOf(column)
  if (mask === undefined || !keepsNull(column) || column.type === undefined) return { constant: null }
  return valueMask(mask, column.type, format, key)
}

/** The rows of one COPY. */
export class CopyOut {
  readonly #form: CopyForm
  readonly #fieldForm: FieldForm
  readonly #mask: RowMask
  readonly #names: readonly (string | undefined)[]
  #begun = false
  /** The chunk that was looked through, and whether every delimiter in it ends a field: most have nothing to be escaped. */
  #chunk: Buffer | undefined
  #isPlain = false

  constructor(form: CopyForm, mask: RowMask, names: readonly (string | undefined)[]) {
    this.#form = form
    this.#names = names
    this.#fieldForm = form.kind === 'csv' ? csvForm(form) : textForm(form)
    this.#mask = mask
  }

  /**
   * Rewrites the CopyData messages that begin at `from`, up to the first message that is none, is not there as a whole, or
   * has an impossible length. Returns where that is.
   * @throws {GateError} ERR_GATE_TARGET_PROTOCOL when a row is not of the form or has other columns than it should.
   */
  rewrite(slab: Slab, source: Buffer, from: number): number {
    let copied = from
    let at = from
    if (source !== this.#chunk) {
      this.#chunk = source
      this.#isPlain = !source.includes(this.#fieldForm.specialByte, from)
    }
    while (source.length - at >= HEADER_BYTES && source[at] === d) {
      const length = int32(source, at + 1)
      const end = at + 1 + length
      if (length < 4 || end > source.length) break
      slab.begin(at - copied)
      const written = this.#message(slab, source, at + HEADER_BYTES, end, copied)
      if (written !== copied) slab.finish(end - written)
      copied = written
      at = end
    }
    slab.copy(source, copied, at, 0)
    return at
  }

  #message(slab: Slab, source: Buffer, from: number, end: number, copied: number): number {
    const first = !this.#begun
    this.#begun = true
    switch (this.#form.kind) {
      case 'binary':
        return this.#binary(slab, source, from, end, copied, first)
      case 'text':
      case 'csv':
        if (source[end - 1] !== NEWLINE || end === from) throw broken('a row without an end')
        // Names of columns.
        if (first && this.#form.header) return copied
        return this.#fields(slab, source, from, end - 1, copied, this.#fieldForm)
    }
  }

  /** A header before the first row; after the last one a count of -1. */
  #binary(slab: Slab, source: Buffer, from: number, end: number, copied: number, first: boolean): number {
    let at = from
    if (first) {
      const signature = source.subarray(at, at + BINARY_SIGNATURE.length)
      if (end - at < BINARY_HEADER_BYTES || !signature.equals(BINARY_SIGNATURE)) throw broken('no binary header')
      const extension = source.readInt32BE(at + BINARY_HEADER_BYTES - 4)
      if (extension < 0 || extension > end - at - BINARY_HEADER_BYTES) throw broken('a header beyond its end')
      at += BINARY_HEADER_BYTES + extension
      if (at === end) return copied
    }
    if (end - at < 2) throw broken('a row without a count')
    const count = source.readInt16BE(at)
    at += 2
    if (count === -1 && at === end) return copied
    if (count !== this.#mask.length) throw broken('not the columns that were followed')
    return rewriteValues(slab, source, at, end, this.#mask, copied)
  }

  #fields(slab: Slab, source: Buffer, from: number, end: number, copied: number, form: FieldForm): number {
    let written = copied
    let begin = from
    for (let index = 0; ; index += 1) {
      if (index >= this.#mask.length) throw broken('not the columns that were followed')
      const at = this.#isPlain ? plainEnd(source, begin, end, form.delimiterByte) : form.end(source, begin, end)
      if (at === undefined) throw broken('a value without an end')
      const mask = this.#mask[index]
      const instead = mask === undefined ? undefined : form.instead(source, begin, at, mask, this.#names[index])
      if (instead !== undefined) {
        slab.copy(source, written, begin, instead.length)
        slab.copy(instead, 0, instead.length, 0)
        written = at
      }
      if (at === end) {
        if (index + 1 !== this.#mask.length) throw broken('not the columns that were followed')
        return written
      }
      begin = at + 1
    }
  }
}
