// gate-agent: joins a relay, and serves its targets from beside them.
import { readFile } from 'node:fs/promises'
import { systemClock } from '@gate/shared/clock'
import { counted } from '@gate/shared/counted'
import { asGateError, errorCodes, GateError } from '@gate/shared/errors'
import { letHeapGrow } from '@gate/shared/heap'
import { createLog } from '@gate/shared/log'
import { Command } from 'commander'
import { Checkpoints } from './checkpoints.ts'
import { type AgentConfig, readAgentConfig } from './config.ts'
import { connectorFor } from './connectors/registry.ts'
import { enrol } from './enrol.ts'
import { readKey } from './identity.ts'
import { Streams } from './serve.ts'
import { uplink } from './uplink.ts'

const DEFAULT_CONFIG = 'agent.yaml'
const MAX_TOKEN_LENGTH = 4096
const SIGNALS = ['SIGINT', 'SIGTERM'] as const

const print = (text: string): void => void process.stdout.write(`${text}\n`)
const note = (text: string): void => void process.stderr.write(`gate-agent: ${text}\n`)

const program = new Command('gate-agent')
  .description('Stands beside private systems, dials out to the relay, and logs in to them')
  .version('0.1.0')
  // What the parser says looks like what the program says, and ends as that does.
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : errorCodes.ERR_GATE_USAGE.exit))
  .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'gate-agent: ')) })
  .showHelpAfterError('  gate-agent --help shows what there is.')
  .option('-c, --config <file>', 'configuration file', DEFAULT_CONFIG)

const config = (): Promise<AgentConfig> => readAgentConfig(program.opts<{ config: string }>().config)

async function tlsOf({ ca }: AgentConfig): Promise<{ ca: Buffer } | undefined> {
  return ca === undefined ? undefined : { ca: await readFile(ca) }
}

program
  .command('start', { isDefault: true })
  .description('serve the targets until SIGINT or SIGTERM (default)')
  .option('--insecure', 'allow a relay beyond loopback without TLS')
  .allowExcessArguments()
  .action(async ({ insecure }: { insecure?: boolean }, command: Command) => {
    refuseWords(command)
    const settings = await config()
    checkTransport(settings, insecure === true)
    const log = createLog('agent', settings.log)
    const key = await readKey(settings.state)
    const tls = await tlsOf(settings)
    letHeapGrow()
    const streams = new Streams(settings, systemClock, log)
    const checkpoints = await Checkpoints.open(settings.state, log)
    const targets = settings.targets.map(target => connectorFor(target).announce(target))
    const stop = new AbortController()
    for (const name of SIGNALS) {
      process.once(name, () => {
        log.info('agent.stopping', { signal: name })
        streams.stop(
          new GateError('ERR_GATE_AGENT_LOST', 'the agent is going down', { hint: 'Connect again in a moment.' }),
        )
        stop.abort(new GateError('ERR_GATE_SHUTDOWN', 'the agent is going down'))
        process.once(name, () => process.exit(1))
      })
    }
    await Promise.all(
      settings.relays.map(relay =>
        uplink(
          { relay, name: settings.name, key, targets, tls, streams, checkpoints, clock: systemClock, log },
          stop.signal,
        ),
      ),
    )
    log.info('agent.stopped')
    process.exit(0)
  })

program
  .command('enroll')
  .description('join the relay with a one-time token; makes the key pair of this agent')
  .option('--token <token>', 'the token, or - to read it from standard input', '-')
  .option('--insecure', 'allow a relay beyond loopback without TLS')
  .action(async ({ token, insecure }: { token: string; insecure?: boolean }) => {
    const settings = await config()
    checkTransport(settings, insecure === true)
    if (token === '-' && process.stdin.isTTY) note('waits for the token on standard input; Ctrl-D ends it')
    const secret = token === '-' ? (await readInput()).trim() : token
    // Relays that belong together share what they know of agents: one is enough.
    const [relay = ''] = settings.relays
    const targets = await enrol(relay, settings.name, settings.state, secret, await tlsOf(settings))
    print(`${settings.name} joined ${relay} and may announce ${targets.join(', ')}`)
    note('an agent of that name that runs already takes this up by itself, but reads agent.yaml only when it starts')
  })

program
  .command('check')
  .description('read the configuration, and say what is wrong with it')
  .action(async () => {
    const { targets } = await config()
    print(`configuration is valid; ${counted(targets.length, 'target')}`)
  })

/** With a default command, a word that is no command is taken for an argument of that one. */
function refuseWords(command: Command): void {
  const [word] = command.args
  if (word !== undefined) command.error(`error: unknown command '${word}'`)
}

/** Standard input as text; opening it by name fails where it is a socket. */
async function readInput(): Promise<string> {
  let text = ''
  for await (const chunk of process.stdin.setEncoding('utf8')) {
    text += String(chunk)
    if (text.length > MAX_TOKEN_LENGTH) throw new GateError('ERR_GATE_USAGE', 'standard input holds no token')
  }
  return text
}

/** @throws {GateError} ERR_GATE_CONFIG when the tunnel would be in clear beyond this machine. */
function checkTransport({ relays }: AgentConfig, insecure: boolean): void {
  for (const relay of relays) {
    const { protocol, hostname } = new URL(relay)
    const loopback = hostname === 'localhost' || hostname === '[::1]' || /^127\./.test(hostname)
    if (protocol === 'https:' || loopback || insecure) continue
    throw new GateError('ERR_GATE_CONFIG', `${relay} is neither https nor on this machine`, {
      hint: 'Use https, or say --insecure.',
    })
  }
}

try {
  await program.parseAsync()
} catch (thrown) {
  const error = asGateError(thrown)
  process.stderr.write(`gate-agent: ${error.message}\n`)
  if (error.hint !== undefined) process.stderr.write(`  ${error.hint}\n`)
  // What OpenSSL and the like say of a relay that is not reached is in the message already, in words.
  const isSaid = ['ERR_GATE_CONFIG', 'ERR_GATE_RELAY_UNREACHABLE', 'ERR_GATE_RELAY_CHANGED'].includes(error.code)
  if (error.cause instanceof Error && !isSaid) process.stderr.write(`  caused by: ${error.cause.message}\n`)
  process.exitCode = errorCodes[error.code].exit
}
