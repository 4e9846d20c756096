// A relay whose only room is that of terminal-room.ts, started as the relay's own program is.
import { parseArgs } from 'node:util'
import { readRelayConfig } from '@gate/relay/config'
import { startRelay } from '@gate/relay/relay'
import { systemClock } from '@gate/shared/clock'
import { createLog } from '@gate/shared/log'
import { createTerminalRoom } from './terminal-room.ts'

const { values } = parseArgs({ options: { config: { type: 'string' } }, allowPositionals: true })
const config = await readRelayConfig(values.config ?? '')
const relay = await startRelay(config, systemClock, createLog('relay', config.log), () => [createTerminalRoom()])
process.once('SIGTERM', () => void relay[Symbol.asyncDispose]().then(() => process.exit(0)))
