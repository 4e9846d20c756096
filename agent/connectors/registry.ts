// Every protocol that this agent can log in to: one line each.
import type { TargetConfig } from '../config.ts'
import type { Connector } from './connector.ts'
import { postgres } from './postgres/index.ts'

const connectors: Readonly<Record<TargetConfig['protocol'], Connector>> = {
  postgres,
}

export function connectorFor(config: TargetConfig): Connector {
  return connectors[config.protocol]
}
