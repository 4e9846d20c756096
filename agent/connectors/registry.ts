// Every protocol that this agent can log in to: one line each.
import type { TargetConfig } from '../config.ts'
import type { Connector } from './connector.ts'
import { http } from './http/index.ts'
import { postgres } from './postgres/index.ts'

type Name = TargetConfig['protocol']

const connectors: { readonly [Each in Name]: Connector<Extract<TargetConfig, { protocol: Each }>> } = {
  http,
  postgres,
}

export function connectorFor(config: TargetConfig): Connector {
  return connectors[config.protocol] as Connector
}
