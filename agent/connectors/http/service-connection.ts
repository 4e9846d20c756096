// One stream's connection to a service, whichever version of HTTP is spoken on it.
import type { Readable } from 'node:stream'
import type { Dispatcher } from 'undici'

/** A request as it goes to the service. */
export interface WrittenRequest {
  readonly method: 'GET'
  /** With the query. */
  readonly path: string
  /** Names and values in turn. */
  readonly headers: string[]
  readonly body: Readable | Buffer | null
  readonly upgrade?: string
}

export type Controller = Pick<
  Dispatcher.DispatchController,
  'abort' | 'pause' | 'resume' | 'rawHeaders' | 'rawTrailers'
>

/** Told of the answer, as undici tells it: of its start, its data and its end, or of one error. */
export interface Handler {
  onRequestStart(controller: Controller): void
  onRequestUpgrade(...told: Parameters<Required<Dispatcher.DispatchHandler>['onRequestUpgrade']>): void
  onResponseStart(controller: Controller, status: number, headers?: unknown, statusMessage?: string): void
  onResponseData(controller: Controller, chunk: Buffer): void
  onResponseEnd(controller: Controller): void
  onResponseError(controller: Controller, error: Error): void
}

export interface ServiceConnection {
  /** Sends a request, once, on a connection that is dialled for it if there is none. */
  dispatch(request: WrittenRequest, handler: Handler): void
  /** Ends it, and what is under way on it. */
  destroy(): Promise<void>
}
