// One request and its answer: read, decided, recorded, sent on, answered.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { asGateError, errorCodes, GateError } from '@gate/shared/errors'
import { Waiting } from '@gate/shared/waiting'
import type { Command, Verdict } from '../protocol.ts'
import { Answer } from './answer.ts'
import { withSources } from './copy-source.ts'
import { withDestination } from './destination.ts'
import { forwardedFields, prefersAsync } from './fields.ts'
import { Following } from './following.ts'
import { targetOf } from './location.ts'
import { type FormKind, formOf, overrideScan } from './overrides.ts'
import { type Masking, maskedRequestFields } from './plan.ts'
import { acceptedOf, type Problem, problemMessage, problemOf, refusalOf } from './problem.ts'
import { bytesToRead, lengthOf, readStart } from './reading.ts'
import { askedOf, commandOf, type Decidable, type ReadContent, type ReadHead, readHead } from './request.ts'
import { RequestBody } from './request-body.ts'
import type { Shared } from './room.ts'
import { spellingOf } from './spelling.ts'
import type { SentRequest } from './way.ts'

/** A request is held when people are asked and the decision is not there within this time: some are refused for now instead. */
const HELD_MS = 500

export class Exchange {
  readonly #connection: Shared
  /** Its place among the requests of the connection. */
  readonly #number: number
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  /** Whoever waits for the answer. */
  readonly #asker = new Waiting()
  #proceed: (() => void) | undefined
  /** People are asked. */
  #isAsked = false
  readonly #closed: Promise<void>

  constructor(
    connection: Shared,
    number: number,
    request: IncomingMessage,
    response: ServerResponse,
    proceed: (() => void) | undefined,
  ) {
    this.#connection = connection
    this.#number = number
    this.#request = request
    this.#response = response
    this.#proceed = proceed
    // What breaks is told by the answer that breaks with it.
    request.on('error', () => {})
    response.on('error', () => {})
    this.#closed = new Promise(resolve => response.once('close', resolve))
    response.once('close', () => {
      if (!response.writableFinished) this.#asker.leave(new GateError('ERR_GATE_CANCELLED', 'the client went away'))
    })
  }

  /** All of the request has come. */
  get isWhole(): boolean {
    return this.#request.complete
  }

  /** Ends it with an error, which the client is told if it has no answer yet: then true is given. */
  stop(cause: GateError): boolean {
    this.#asker.leave(cause)
    if (this.#response.headersSent || this.#response.destroyed) return false
    this.#tell(problemOf(cause, this.#connection.session.id))
    return true
  }

  /** Nobody should decide about what a client asked that may be gone: one that has ended its side cannot be told from it. */
  withdrawIfHeld(): void {
    if (!this.#isAsked) return
    setTimeout(() => {
      if (!this.#isAsked) return
      const hint = 'Keep the connection open until it is decided, or send Prefer: respond-async and come again.'
      this.stop(new GateError('ERR_GATE_CANCELLED', 'the client ended its side while its request was held', { hint }))
    }, HELD_MS).unref()
  }

  #asked(request: string): void {
    const { session, log, isHalfClosed } = this.#connection
    log.info('http.held', { session: session.id, request })
    this.#isAsked = true
    if (isHalfClosed) this.withdrawIfHeld()
  }

  /** @throws nothing that the client is not told of. */
  async run(): Promise<void> {
    try {
      if (this.#asker.gone !== undefined) throw this.#asker.gone
      await this.#begin()
      const head = this.#head()
      const content = await this.#read(head).catch((thrown: unknown) => late(head, lengthOf(this.#request), thrown))
      await this.#decide(content.head, content)
    } catch (thrown) {
      this.stop(asGateError(thrown))
    }
    await this.#closed
  }

  /** A person who may not open the target has no further request answered on this connection. */
  async #begin(): Promise<void> {
    try {
      await this.#connection.begin(this.#request.headers['user-agent'] ?? '')
    } catch (thrown) {
      this.#connection.end(asGateError(thrown))
      throw thrown
    }
  }

  #head(): ReadHead {
    const { method = '', url = '', rawHeaders, httpVersion } = this.#request
    const { target, gate } = this.#connection.session
    const head = { method, target: url, raw: rawHeaders, isUpgrade: false, version: httpVersion }
    return readHead(head, target.name, gate)
  }

  async #read(head: ReadHead): Promise<Read> {
    const length = lengthOf(this.#request)
    if (length === 0) return { head, start: undefined, isWhole: true, length }
    const { gate } = this.#connection.session
    // A form can ask for another method, and GraphQL for what is masked under other names. JSON is looked through on its way.
    const kind = formOf(head.method, head.fields.one('content-type'))
    const isPlain = kind === 'json' && head.fields.one('content-encoding') === undefined
    const isAsked = gate.masked || (kind !== undefined && !isPlain)
    const limit = head.fault === undefined ? bytesToRead(length, isAsked ? 'rules' : gate.bodyNeed) : 0
    if (limit === 0) return { head, start: undefined, isWhole: false, length }
    this.#continue()
    const { bytes, isWhole } = await readStart(
      this.#request,
      limit,
      this.#connection.limits.bodyMs,
      this.#asker.signal(),
    )
    // A body of no chunk is none: there is nothing in it that anybody could ask for.
    if (isWhole && bytes.length === 0) return { head, start: undefined, isWhole, length: 0 }
    return { head, start: bytes, isWhole, length }
  }

  /** Tells a client that waits to be told that its body is wanted. */
  #continue(): void {
    this.#proceed?.()
    this.#proceed = undefined
  }

  async #decide(head: ReadHead, content: ReadContent): Promise<void> {
    const { session, keys } = this.#connection
    const { standing } = session.gate
    let decidable = commandOf(head, content, session.gate, keys.recordKey)
    const readAgain = (): Decidable => commandOf(this.#head(), content, session.gate, keys.recordKey)
    const again = (): Command => {
      decidable = readAgain()
      return decidable.command
    }
    const verdict = await this.#verdict(head, decidable, again)
    const { settled } = verdict
    if (settled.effect === 'deny') {
      const { fault } = head
      const refusal = decidable.command.refusal
      // RFC 7240 section 4.1: the client asked for it to be done later.
      if (refusal === undefined && verdict.isPending && prefersAsync(head.fields))
        return this.#tell(acceptedOf(settled, verdict.request, session.id))
      const status = refusal === undefined ? 403 : errorCodes[fault?.code ?? 'ERR_GATE_PROTOCOL'].status
      return this.#tell(refusalOf(settled, verdict.request, session.id, status))
    }
    if (verdict.recorded !== undefined) await verdict.recorded
    const following = new Following(session.gate, standing, decidable, readAgain, verdict, keys.maskKey)
    this.#send(head, content, decidable, verdict, following)
  }

  async #verdict(head: ReadHead, decidable: Decidable, again: () => Command): Promise<Verdict> {
    try {
      return await this.#connection.session.gate.decide(
        [{ ...decidable.command, again }],
        () => askedOf(decidable, prefersAsync(head.fields)),
        ({ request }) => this.#asked(request),
        this.#asker.signal,
      )
    } finally {
      this.#isAsked = false
    }
  }

  #send(head: ReadHead, content: ReadContent, { command }: Decidable, verdict: Verdict, following: Following): void {
    const { session, upstream } = this.#connection
    const [number = 0] = verdict.commands
    const observe = (status: string, bytes: number, firstByteAtMs: number | undefined): void => {
      try {
        session.gate.observe({ command: number, rows: undefined, bytes, firstByteAtMs, status })
      } catch (thrown) {
        // Of a disk that takes nothing any more; in the middle of an answer nobody else is there to be told.
        this.#connection.end(asGateError(thrown))
      }
    }
    if (this.#asker.gone !== undefined) {
      observe('cancelled', 0, undefined)
      throw this.#asker.gone
    }
    const answer = new Answer(this.#response, head.method, following, {
      problem: problem => this.#tell(problem),
      observe,
      now: () => session.gate.now(),
      session: session.id,
      acceptEncoding: head.fields.one('accept-encoding'),
      rule: verdict.settled.rule,
    })
    this.#asker.onGone = cause => answer.stop(cause)
    this.#continue()
    const declaration = { actions: [command.operation.action], approvals: verdict.approvals }
    const sent = this.#sent(head, content, following.masking)
    if (sent.body instanceof RequestBody) this.#watch(sent.body)
    this.#response.once(
      'close',
      following.watch(cause => this.stop(cause)),
    )
    answer.abort = upstream.send(sent, declaration, answer)
  }

  #watch(body: RequestBody): void {
    const { limits } = this.#connection
    const received = (): number => this.#connection.receivedBytes
    body.watch(this.#response, received, limits.idleMs, cause => this.stop(cause))
  }

  #sent(
    { method, location, fields, destination, sources }: ReadHead,
    content: ReadContent,
    masking: Masking | undefined,
  ): SentRequest {
    const passed = withDestination(forwardedFields(fields, this.#connection.session.id), destination)
    const forwarded = withSources(passed, sources)
    const sent = masking === undefined ? forwarded : maskedRequestFields(forwarded, masking)
    const kind = formOf(method, fields.one('content-type'))
    const spelling = spellingOf(this.#request.rawHeaders)
    return {
      method,
      path: targetOf(location),
      fields: sent,
      spelling,
      body: this.#body(content, kind),
    }
  }

  #body({ start, isWhole, length }: ReadContent, kind: FormKind | undefined): SentRequest['body'] {
    if (length === 0) return undefined
    if (isWhole && start !== undefined) return start
    if (start !== undefined) this.#request.unshift(start)
    // What is encoded was looked through as a whole.
    const isScanned = kind !== undefined && this.#request.headers['content-encoding'] === undefined
    return new RequestBody(this.#request, isScanned ? overrideScan(kind) : undefined)
  }

  /** Answers in the target's place. The rest of a body that nobody wants is not waited for. */
  #tell(problem: Problem): void {
    const { body, fields } = problemMessage(problem)
    const response = this.#response
    if (response.headersSent || response.destroyed) return
    // Node, too, ends the connection of a client that was not told to send what it may send nevertheless.
    const isRead = this.#request.complete && this.#asker.gone === undefined && this.#proceed === undefined
    if (!isRead) this.#connection.endAfter(this.#number)
    response.writeHead(problem.status, { ...fields, ...(isRead ? {} : { connection: 'close' }) })
    response.end(body)
  }
}

/** What was read of a request. */
interface Read extends ReadContent {
  readonly head: ReadHead
}

/** A client that is too slow is refused and recorded like one that sends what cannot be read. */
function late(head: ReadHead, length: number | undefined, thrown: unknown): Read {
  const fault = asGateError(thrown)
  if (fault.code !== 'ERR_GATE_CLIENT_TIMEOUT') throw fault
  return { head: { ...head, fault }, start: undefined, isWhole: false, length }
}
