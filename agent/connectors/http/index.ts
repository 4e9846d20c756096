// Brings HTTP requests to a service: a stream carries HTTP/1.1, and every request on it is written anew with the credential.
import { systemClock } from '@gate/shared/clock'
import type { HttpTarget } from '../../http-target.ts'
import type { Connector } from '../connector.ts'
import { Service } from './service.ts'
import { type OpenStream, streamsTo } from './stream.ts'

/** One for each target of the configuration, so that all its streams share tokens and turns. */
const services = new WeakMap<HttpTarget, OpenStream>()

export const http: Connector<HttpTarget> = {
  announce: ({ name, protocol, labels, require_approval }) => ({
    name,
    protocol,
    labels,
    options: require_approval === undefined ? {} : { commands: 'declared' },
  }),
  /** Reaches nothing yet: whether the service answers is said on each request. */
  connect: async (target, _parameters, _signal, guard, failed) => {
    const open = services.get(target) ?? streamsTo(new Service(target, systemClock))
    services.set(target, open)
    return {
      port: open({ guard, failed }),
      detail: {},
      // HTTP/1.1 has no message that cancels: the relay ends the stream, and with it the request at the service.
      cancel: async () => {},
    }
  },
}
