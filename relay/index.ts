// gate-relay: starts a relay, checks its files, enrols agents.
import { text } from 'node:stream/consumers'
import { systemClock } from '@gate/shared/clock'
import { asGateError, errorCodes, GateError } from '@gate/shared/errors'
import { letHeapGrow } from '@gate/shared/heap'
import { createLog } from '@gate/shared/log'
import { Command } from 'commander'
import { askForEnrolment } from './admin/socket.ts'
import { checkTransport, type RelayConfig, readRelayConfig } from './config.ts'

const DEFAULT_CONFIG = 'relay.yaml'
/** A relay that is told twice to stop stops at once. */
const SIGNALS = ['SIGINT', 'SIGTERM'] as const
const DEFAULT_ENROLMENT_MINUTES = '60'
/** Each waits a second for the state of a relay that starts, or goes down. */
const ENROLMENT_ATTEMPTS = 30

const print = (text: string): void => void process.stdout.write(`${text}\n`)

const program = new Command('gate-relay')
  .description('The centre of gate: parses, decides, masks, holds and records every command')
  .version('0.1.0')
  // What the parser says looks like what the program says, and ends as that does.
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : errorCodes.ERR_GATE_USAGE.exit))
  .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'gate-relay: ')) })
  .showHelpAfterError('  gate-relay --help shows what there is.')
  .option('-c, --config <file>', 'configuration file', DEFAULT_CONFIG)

program
  .command('start', { isDefault: true })
  .description('run the relay until SIGINT or SIGTERM (default)')
  .option('--insecure', 'allow listening beyond loopback without TLS, behind a proxy that ends it')
  .allowExcessArguments()
  .action(async ({ insecure }: { insecure?: boolean }, command: Command) => {
    // With a default command, a word that is no command is taken for an argument of that one.
    const [word] = command.args
    if (word !== undefined) command.error(`error: unknown command '${word}'`)
    const config = await readRelayConfig(program.opts<{ config: string }>().config)
    checkTransport(config, insecure === true)
    const log = createLog('relay', config.log)
    // A file that may not grow any more (RLIMIT_FSIZE) would end the process; so it is an error like that of a full disk.
    process.on('SIGXFSZ', () => {})
    letHeapGrow()
    // Loaded here: the other commands would wait a second for what they do not need.
    const { startRelay } = await import('./relay.ts')
    const relay = await startRelay(config, systemClock, log)
    const signal = await new Promise<string>(resolve => {
      for (const name of SIGNALS) process.once(name, () => resolve(name))
    })
    for (const name of SIGNALS) process.once(name, () => process.exit(1))
    log.info('relay.stopping', { signal })
    await relay[Symbol.asyncDispose]()
    log.info('relay.stopped')
  })

program
  .command('check')
  .description('read the configuration and the policy, and say what is wrong with them')
  .action(async () => {
    const config = await readRelayConfig(program.opts<{ config: string }>().config)
    const { checkPolicy } = await import('./offline.ts')
    const policy = await checkPolicy(config)
    print(`configuration and policy are valid; policy version ${policy.version}`)
  })

program
  .command('hash')
  .description('print what stands in the record for a value that is masked, to search for it')
  .argument('<value>', 'the value as text; - reads it from standard input, so that no shell keeps it')
  .action(async (value: string) => {
    const config = await readRelayConfig(program.opts<{ config: string }>().config)
    const { placeholderIn } = await import('./offline.ts')
    print(await placeholderIn(config, value === '-' ? (await text(process.stdin)).replace(/\r?\n$/, '') : value))
  })

program
  .command('enroll')
  .description('make a one-time token with which an agent joins')
  .requiredOption('--agent <name>', 'name of the agent')
  .requiredOption('--targets <pattern...>', "targets it may announce, for example 'prod-*'")
  .option('--valid <minutes>', 'how long the token can be used', DEFAULT_ENROLMENT_MINUTES)
  .action(async ({ agent, targets, valid }: { agent: string; targets: string[]; valid: string }) => {
    const minutes = Number(valid)
    if (!Number.isInteger(minutes) || minutes < 1 || minutes > 10_080) {
      throw new GateError('ERR_GATE_USAGE', `--valid: expected minutes from 1 to 10080, got "${valid}"`)
    }
    const config = await readRelayConfig(program.opts<{ config: string }>().config)
    const validMs = minutes * 60_000
    print(await enrolmentToken(config, { agent, targets, validMs }))
  })

/** Of the relay that runs, or of its store where none does. One that starts has its state before it answers. */
async function enrolmentToken(config: RelayConfig, asked: Parameters<typeof askForEnrolment>[1]): Promise<string> {
  for (let attempt = 1; ; attempt += 1) {
    const running = await askForEnrolment(config.state, asked)
    if (running !== undefined) return running
    // The store is not read where the relay answers.
    const { enrolInStore } = await import('./offline.ts')
    try {
      return await enrolInStore(config, asked.agent, asked.targets, asked.validMs)
    } catch (cause) {
      if (asGateError(cause).code !== 'ERR_GATE_CONFLICT') throw cause
      if (attempt === 1) process.stderr.write('gate-relay: waiting for the relay that works there to answer\n')
      if (attempt === ENROLMENT_ATTEMPTS)
        throw new GateError('ERR_GATE_CONFLICT', `a relay works in ${config.state}, and does not answer`, {
          cause,
          hint: 'Try again when it says relay.listening.',
        })
    }
  }
}

try {
  await program.parseAsync()
} catch (thrown) {
  const error = asGateError(thrown)
  process.stderr.write(`gate-relay: ${error.message}\n`)
  if (error.hint !== undefined) process.stderr.write(`  ${error.hint}\n`)
  if (error.cause instanceof Error && error.code !== 'ERR_GATE_CONFIG')
    process.stderr.write(`  caused by: ${error.cause.message}\n`)
  process.exitCode = errorCodes[error.code].exit
}
