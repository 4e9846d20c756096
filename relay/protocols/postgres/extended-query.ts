// The extended query protocol: Parse, Bind, Describe and Execute. Pure.
import { GateError } from '@gate/shared/errors'
import { serialize } from 'pg-protocol'
import { type BindMessage, readBind, readBindNames, readExecute, readNamed, readParse } from './bodies.ts'
import { D, type ErrorFields, message, P } from './codec.ts'
import { countedOf } from './counting.ts'
import type { Entry, ExecuteEntry, Portal, Prepared, StatementPlan } from './pending.ts'
import { flushMessage, INSPECTED_BIND_BYTES, type Sending, unexpected } from './sending.ts'
import { type Failing, NO_SQL } from './unreadable.ts'

const NUL = Buffer.alloc(1)
const NO_PARAMETER_TYPES = Buffer.alloc(2)
const nothingYet = { bytes: 0, firstByteAtMs: undefined, copyIn: false, copyOut: undefined }

type Bound = Pick<BindMessage, 'portal' | 'statement' | 'parameters'>

export class ExtendedQueries {
  readonly #sending: Sending
  readonly #failingExecute: Buffer

  /** `unguessable` names a portal that no client can have. */
  constructor(sending: Sending, unguessable: string) {
    this.#sending = sending
    this.#failingExecute = serialize.execute({ portal: unguessable, rows: 0 })
  }

  /** Throws a GateError when the session has too many names. */
  parse(body: Buffer, total: number): void {
    const { name, text, parameterTypes } = readParse(body)
    this.#sending.checkName(name)
    if (this.#sending.shared.names.full)
      throw new GateError('ERR_GATE_LIMIT', 'too many prepared statements or portals in one session')
    const { reading, literals, lookup } = this.#sending
    this.#sending.question({ kind: 'parse', text, reading, literals, parameterTypes, names: lookup }, answer => {
      if (answer.kind === 'refuse') this.parseRefused(name, total, answer.error, answer.failing)
      else if (answer.kind === 'go') {
        const { prepared } = answer
        this.#sending.pass(
          { kind: 'parse', name, prepared, refusal: undefined, segment: this.#sending.shared.segment },
          total,
        )
      } else throw unexpected(answer)
    })
  }

  /** The server gets one that fails in its place. */
  parseRefused(name: string, total: number, refusal: ErrorFields, failing?: Failing): void {
    const text = failing?.text ?? Buffer.from(NO_SQL)
    const sent = message(P, Buffer.concat([Buffer.from(`${name}\0`, 'latin1'), text, NUL, NO_PARAMETER_TYPES]))
    const { segment } = this.#sending.shared
    this.#sending.replace({ kind: 'parse', name, prepared: undefined, refusal, failing, segment }, total, sent)
    this.#sending.skipping = true
  }

  /** False when more of the message has to come first; throws a GateError when its names are too long. */
  bind(total: number): boolean {
    const whole = total <= INSPECTED_BIND_BYTES
    if (whole && this.#sending.inbound.available < total) return false
    const names = whole ? undefined : readBindNames(this.#sending.inbound.partialBody)
    if (!whole && names === undefined) {
      if (this.#sending.inbound.available > INSPECTED_BIND_BYTES)
        throw new GateError('ERR_GATE_LIMIT', 'names in Bind are too long')
      return false
    }
    const bind = names === undefined ? readBind(this.#sending.inbound.body(total)) : { ...names, parameters: [] }
    this.#sending.checkName(bind.statement)
    this.#sending.checkName(bind.portal)
    const { segment } = this.#sending.shared
    const prepared = this.#sending.shared.names.statement(bind.statement, segment)
    if (prepared === 'unsure') {
      this.#sending.drain()
      return true
    }
    const found = prepared === 'missing' ? undefined : prepared.found
    if (found?.stands?.() === false) this.#bindJudged(bind, found, whole, total)
    else this.#bindAllowed(bind, found, whole, total)
    return true
  }

  /** To plan it may call what it would not have called when it was parsed. */
  #bindJudged(bind: Bound, prepared: Prepared, whole: boolean, total: number): void {
    this.#sending.question({ kind: 'bind', prepared, names: this.#sending.lookup }, answer => {
      if (answer.kind === 'refuse') {
        this.executeRefused(undefined, answer.error, 0)
        this.#sending.inbound.stream(total, false)
      } else if (answer.kind === 'go') {
        prepared.stands = answer.prepared?.stands
        this.#bindAllowed(bind, prepared, whole, total)
      } else throw unexpected(answer)
    })
  }

  #bindAllowed(bind: Bound, prepared: Prepared | undefined, whole: boolean, total: number): void {
    const { segment } = this.#sending.shared
    const portal: Portal = {
      prepared,
      declared: false,
      holdable: false,
      rowMask: 'unknown',
      description: undefined,
      described: false,
      plan: undefined,
      suspended: false,
      executed: false,
      parameters: bind.parameters,
      uninspectedBytes: whole ? 0 : total,
    }
    this.#sending.push({ kind: 'bind', name: bind.portal, portal, segment })
    this.#sending.inbound.stream(total, true)
  }

  describe(body: Buffer, total: number): void {
    const { what, name } = readNamed(body)
    this.#sending.checkName(name)
    const { segment } = this.#sending.shared
    const portal = what === 'portal' ? this.#sending.shared.names.portal(name, segment) : 'missing'
    if (portal === 'unsure') return this.#sending.drain()
    const found = portal === 'missing' ? undefined : portal.found
    if (found !== undefined) found.described = true
    this.#sending.pass({ kind: 'describe', portal: found, injected: false, segment }, total)
  }

  execute(body: Buffer, total: number): void {
    const { portal: name } = readExecute(body)
    this.#sending.checkName(name)
    const lookup = this.#sending.shared.names.portal(name, this.#sending.shared.segment)
    if (lookup === 'unsure') return this.#sending.drain()
    const portal = lookup === 'missing' ? undefined : lookup.found
    // What it calls may have become something else in its transaction: then it is decided over again.
    const goesOn = portal?.suspended === true && !this.#sending.shared.changesNames ? portal.plan : undefined
    const { prepared, parameters = [], uninspectedBytes = 0 } = portal ?? { prepared: undefined }
    this.#sending.question(
      {
        kind: 'execute',
        prepared,
        portal: name,
        goesOn,
        reading: this.#sending.reading,
        parameters,
        uninspectedBytes,
        names: this.#sending.lookup,
        searchPath: this.#sending.shared.searchPath,
      },
      answer => {
        if (answer.kind === 'refuse') {
          this.executeRefused(portal, answer.error, total)
        } else if (answer.kind === 'go') {
          this.#executeAllowed(name, portal, answer.plans[0], total)
        } else throw unexpected(answer)
      },
    )
  }

  executeRefused(portal: Portal | undefined, refusal: ErrorFields, total: number): void {
    const { segment } = this.#sending.shared
    const entry: Entry = { kind: 'execute', portal, plan: undefined, refusal, ...nothingYet, segment }
    this.#sending.replace(entry, total, this.#failingExecute)
    this.#sending.skipping = true
  }

  #executeAllowed(name: string, portal: Portal | undefined, plan: StatementPlan | undefined, total: number): void {
    const { segment } = this.#sending.shared
    if (portal !== undefined) {
      // Which columns are masked may be others by another decision.
      if (portal.plan !== plan && portal.description !== undefined) portal.rowMask = 'unknown'
      portal.plan = plan
      portal.suspended = false
    }
    if (plan?.masking !== undefined && (portal?.described !== true || isByName(plan))) {
      // Without a description nobody knows which columns the rows hold. What a name stood for when the client asked for one
      // may be something else by now.
      if (portal !== undefined) portal.described = true
      this.#sending.push({ kind: 'describe', portal, injected: true, segment })
      this.#sending.inbound.put(message(D, Buffer.from(`P${name}\0`, 'latin1')))
    }
    const entry: ExecuteEntry = { kind: 'execute', portal, plan, refusal: undefined, ...nothingYet, segment }
    this.#sending.pass(entry, total)
    if (plan?.counted === undefined) return
    this.#sending.shared.counted = countedOf(entry, false)
    // The client's Sync would commit it: it waits until the rows are counted, and Flush makes the server say their number.
    this.#sending.inbound.put(flushMessage)
  }
}

/** Whether it runs what a name in SQL stands for. */
function isByName({ naming }: StatementPlan): boolean {
  return naming?.kind === 'fetch' || naming?.kind === 'execute'
}
