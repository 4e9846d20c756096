// What every command starts from: configuration, profile, keychain, a client for the relay, and where to print.
import { stripVTControlCharacters } from 'node:util'
import { type Clock, systemClock } from '@gate/shared/clock'
import { GateError } from '@gate/shared/errors'
import { type CliConfig, readCliConfig } from './config.ts'
import { Credentials } from './credentials.ts'
import { type Keychain, openKeychain } from './keychain.ts'
import { pinnedTls } from './pin.ts'
import { type Profile, readProfile } from './profile.ts'
import { RelayClient } from './relay-client.ts'
import { createStyle, type Style } from './text.ts'

export interface App {
  readonly config: CliConfig
  readonly clock: Clock
  readonly style: Style
  /** Results, on standard output. */
  print(text: string): void
  /** Everything that is not a result, on standard error. */
  note(text: string): void
}

export interface Connected extends AsyncDisposable {
  readonly app: App
  readonly profile: Profile
  readonly keychain: Keychain
  readonly client: RelayClient
  readonly credentials: Credentials
}

export function createApp(): App {
  const config = readCliConfig(process.env)
  return {
    config,
    clock: systemClock,
    style: createStyle(config),
    print: text => void process.stdout.write(`${text}\n`),
    // Standard error may be a file where standard output is a terminal.
    note: text => void process.stderr.write(`${process.stderr.isTTY ? text : stripVTControlCharacters(text)}\n`),
  }
}

/** @throws {GateError} ERR_GATE_UNAUTHENTICATED when nobody logged in here. */
export async function connectApp(app: App): Promise<Connected> {
  const profile = await readProfile(app.config)
  if (app.config.relay !== undefined && app.config.relay !== profile.relay) {
    throw new GateError(
      'ERR_GATE_UNAUTHENTICATED',
      `you are logged in to ${profile.relay}, and GATE_RELAY says ${app.config.relay}`,
      {
        hint: `Run: gate login --relay ${app.config.relay}`,
      },
    )
  }
  const keychain = await openKeychain(app.config.home, app.config.keychain)
  const client = new RelayClient(profile.relay, pinnedTls(profile.relay, profile.pin))
  const credentials = new Credentials(app.config, profile, keychain, client, app.clock)
  return { app, profile, keychain, client, credentials, [Symbol.asyncDispose]: () => client.close() }
}

/** Runs with a signal that Ctrl-C aborts; the listener is gone afterwards. */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const stop = new AbortController()
  const interrupt = (): void => stop.abort(new GateError('ERR_GATE_CANCELLED', 'interrupted'))
  process.once('SIGINT', interrupt)
  process.once('SIGTERM', interrupt)
  try {
    return await work(stop.signal)
  } finally {
    process.off('SIGINT', interrupt)
    process.off('SIGTERM', interrupt)
  }
}
