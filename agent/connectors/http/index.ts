// Brings HTTP requests to a service: they come in frames, and each is written anew with the credential.
import { systemClock } from '@gate/shared/clock'
import { abortReason, GateError } from '@gate/shared/errors'
import { forHandshake } from '@gate/shared/http-frames'
import type { Port } from '@gate/shared/port'
import type { HttpTarget } from '../../http-target.ts'
import type { Connector } from '../connector.ts'
import { handshakesTo, type OpenHandshake } from './handshake-stream.ts'
import { Service } from './service.ts'
import { openStream } from './stream.ts'

interface Known {
  readonly service: Service
  readonly openHandshake: OpenHandshake
}

/** One for each target of the configuration, so that all its streams share tokens and turns. */
const services = new WeakMap<HttpTarget, Known>()

function knownOf(target: HttpTarget): Known {
  const known = services.get(target)
  if (known !== undefined) return known
  const service = new Service(target, systemClock)
  const made = { service, openHandshake: handshakesTo(service) }
  services.set(target, made)
  return made
}

export const http: Connector<HttpTarget> = {
  announce: ({ name, protocol, labels, require_approval }) => ({
    name,
    protocol,
    labels,
    options: require_approval === undefined ? {} : { commands: 'declared' },
  }),
  /** Reaches nothing yet: whether the service answers is said on each request. */
  connect: async (target, parameters, signal, guard, failed) => {
    const { service, openHandshake } = knownOf(target)
    const options = { guard, failed }
    const port = isForHandshake(parameters) ? openHandshake(options) : openStream(service, options)
    endWith(port, signal)
    return {
      port,
      detail: {},
      // HTTP/1.1 has no message that cancels: the relay ends the stream, and with it the request at the service.
      cancel: async () => {},
    }
  },
}

/** @throws {GateError} ERR_GATE_PROTOCOL for a stream of another kind. */
function isForHandshake(parameters: Readonly<Record<string, string>>): boolean {
  const names = Object.keys(parameters)
  if (names.length === 0) return false
  if (names.length === 1 && parameters['upgrade'] === forHandshake.upgrade) return true
  throw new GateError('ERR_GATE_PROTOCOL', 'the relay asks for a stream that this agent does not know')
}

/** A request is over when whoever asked is gone, however little the service takes of it. */
function endWith(port: Port<Buffer>, signal: AbortSignal): void {
  const end = (): void => port.destroy(abortReason(signal))
  if (signal.aborted) end()
  else signal.addEventListener('abort', end, { once: true })
}
