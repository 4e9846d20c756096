// Rows and COPY data from the server: clear ones pass in runs, those with something masked are rewritten. Pure.
import { GateError } from '@gate/shared/errors'
import { type Field, readCopyOut, readRowDescription } from './bodies.ts'
import { D, d, LARGE } from './codec.ts'
import { copiesAlike, createCopyOut } from './copy-out.ts'
import { changed } from './judged-again.ts'
import { areUnknown, type MaskingContext, type RowMask, rewriteRows, rowMask, unknownTables } from './mask.ts'
import type { Entry, StatementPlan } from './pending.ts'
import { type Receiving, type Running, wrong } from './receiving.ts'
import { Slab } from './slab.ts'

/** A row with a masked column is kept whole, since its length stands before its values. */
const MAX_MASKED_ROW_BYTES = 64 * 1024 * 1024
/** Relations of one transaction that are known to be its own; values of others come as NULL. */
const MAX_OWN_RELATIONS = 1_000

export class TargetRows {
  readonly #receiving: Receiving
  /** OIDs of what the open transaction has made or altered, as far as results of it came. */
  readonly #own = new Set<number>()
  /** Rows of the chunk at hand that were rewritten and are not sent yet. */
  #rewritten: Slab | undefined

  constructor(receiving: Receiving) {
    this.#receiving = receiving
  }

  /** What was made is committed, or was never made. */
  transactionEnded(): void {
    this.#own.clear()
  }

  /** All the rows that are there: which columns are masked is the same for all of them. */
  dataRows(head: Entry | undefined, total: number): boolean {
    const running = this.#receiving.running(head, 'a row')
    const mask = this.#maskOf(running)
    if (mask === 'asked') return true
    if (mask === undefined) {
      this.flush()
      running.bytes += this.#receiving.inbound.passRun(D, LARGE)
      return true
    }
    return this.#rewrite(running, total, (slab, source, from) => rewriteRows(slab, source, from, mask))
  }

  copyData(head: Entry | undefined, total: number): boolean {
    const running = this.#receiving.running(head, 'COPY data')
    const copyOut = running.kind === 'function' ? undefined : running.copyOut
    if (copyOut !== undefined)
      return this.#rewrite(running, total, (slab, source, from) => copyOut.rewrite(slab, source, from))
    this.flush()
    running.bytes += this.#receiving.inbound.passRun(d, LARGE)
    return true
  }

  /** Rewrites all the rows that are there; `rewrite` returns up to where. False when not even the first is. */
  #rewrite(running: Running, total: number, rewrite: (slab: Slab, source: Buffer, from: number) => number): boolean {
    if (total > MAX_MASKED_ROW_BYTES) {
      throw new GateError(
        'ERR_GATE_LIMIT',
        `a row of ${total} bytes with masked columns, limit ${MAX_MASKED_ROW_BYTES}`,
      )
    }
    if (this.#receiving.inbound.available < total) return false
    const { buffer, at } = this.#receiving.inbound
    if (this.#rewritten?.isOf(buffer) !== true) {
      this.flush()
      this.#rewritten = new Slab(buffer, at)
    }
    const bytes = rewrite(this.#rewritten, buffer, at) - at
    running.bytes += bytes
    this.#receiving.inbound.drop(bytes)
    return true
  }

  #maskOf(running: Running): RowMask | undefined | 'asked' {
    const plan = this.#receiving.plan(running)
    // A server that finds more statements in a text than gate's parser did runs what nobody has decided over.
    if (plan === undefined) throw wrong('rows of a statement that was not decided over')
    const { masking } = plan
    if (running.kind === 'function' || masking === undefined) return undefined
    const { rowMask: mask, description } =
      running.kind === 'query' ? running : (running.portal ?? { rowMask: 'unknown', description: undefined })
    if (mask !== 'unknown') return mask
    if (description === undefined) throw wrong('rows without a description')
    checkCurrent(this.#receiving.plan(running))
    const fields = readRowDescription(description)
    const holder = running.kind === 'query' ? running : running.portal
    this.#maskFields(fields, masking, found => {
      if (holder !== undefined) holder.rowMask = found
    })
    return this.#receiving.blocked ? 'asked' : holder?.rowMask === 'unknown' ? undefined : holder?.rowMask
  }

  /** Finds the mask of a result; reads the catalog anew first when it does not know a table or column of it. */
  #maskFields(fields: readonly Field[], masking: MaskingContext, found: (mask: RowMask | undefined) => void): void {
    if (!areUnknown(fields, masking.columns, this.#own)) return found(rowMask(fields, masking, this.#own))
    this.#receiving.ask({ kind: 'catalog', columns: masking.columns }, answer => {
      if (answer.kind !== 'catalog') throw new GateError('ERR_GATE_INTERNAL', 'expected a catalog')
      // What is committed is in a catalog that was read since the server answered, as long as the open transaction holds it.
      const areOwn = answer.areOwn && masking.hasStrangers !== true && this.#receiving.holdsLocks
      for (const oid of areOwn ? unknownTables(fields, answer.columns) : [])
        if (this.#own.size < MAX_OWN_RELATIONS) this.#own.add(oid)
      found(rowMask(fields, { ...masking, columns: answer.columns }, this.#own))
    })
  }

  /** Rewritten rows leave before whatever comes after them. */
  flush(): void {
    if (this.#rewritten === undefined) return
    for (const bytes of this.#rewritten.take()) this.#receiving.inbound.put(bytes)
  }

  /** The chunk is read as far as it can be. */
  end(): void {
    this.flush()
    this.#rewritten = undefined
  }

  /** The server begins to send COPY data. Throws a GateError when they are not those that were decided over. */
  copyOut(head: Entry | undefined, total: number): void {
    const running = this.#receiving.running(head, 'COPY data')
    if (running.kind === 'function') throw wrong('COPY data for a function call')
    running.copyOut = undefined
    const masking = this.#receiving.plan(running)?.masking
    if (masking === undefined) return
    checkCurrent(this.#receiving.plan(running))
    // How its rows are read was decided before.
    if (masking.before !== undefined && !copiesAlike(masking, masking.before)) throw changed()
    if (masking.computed === 'clear' && masking.detecting === undefined) return
    if (masking.copyOut === undefined) throw wrong('COPY data of masked columns')
    const { form, columns: followed } = masking.copyOut
    const { binary, columns } = readCopyOut(this.#receiving.inbound.body(total))
    if (binary !== (form.kind === 'binary')) throw wrong('COPY data in another format than was asked for')
    running.copyOut = createCopyOut(form, columns, followed, masking)
  }
}

/** The server has read the statement by now, and holds what it reads. */
function checkCurrent(plan: StatementPlan | undefined): void {
  if (plan?.isCurrent?.() !== false) return
  throw changed()
}
