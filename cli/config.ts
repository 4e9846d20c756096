// The CLI's surroundings, read once: directories, environment, terminal.
import { homedir } from 'node:os'
import { join } from 'node:path'

export interface CliConfig {
  /** Everything gate keeps on this machine. */
  readonly home: string
  /** A relay that the environment names instead of the profile. */
  readonly relay: string | undefined
  /** `file` keeps tokens out of the system's keychain. */
  readonly keychain: 'auto' | 'file'
  readonly color: boolean
  /** Whether a person sits at a terminal. */
  readonly interactive: boolean
  readonly columns: number
  readonly canOpenBrowser: boolean
}

export function readCliConfig(environment: NodeJS.ProcessEnv): CliConfig {
  const { stdout, stdin, platform } = process
  const base = environment['XDG_CONFIG_HOME'] ?? join(homedir(), '.config')
  const remote = environment['SSH_CONNECTION'] !== undefined
  const desktop =
    platform === 'darwin' ||
    platform === 'win32' ||
    environment['DISPLAY'] !== undefined ||
    environment['WAYLAND_DISPLAY'] !== undefined
  return Object.freeze({
    home: environment['GATE_HOME'] ?? join(base, 'gate'),
    relay: environment['GATE_RELAY'],
    keychain: environment['GATE_KEYCHAIN'] === 'file' || !hasKeychain(environment) ? 'file' : 'auto',
    // https://no-color.org: any value that is not empty.
    color: stdout.isTTY === true && (environment['NO_COLOR'] ?? '') === '' && environment['TERM'] !== 'dumb',
    interactive: stdout.isTTY === true && stdin.isTTY === true && environment['CI'] === undefined,
    columns: stdout.columns || 100,
    canOpenBrowser: stdout.isTTY === true && desktop && !remote,
  })
}

/**
 * On Linux the keychain is the Secret Service, reached over the session bus. Without it the library would use the kernel's
 * keyring, which forgets everything at a restart.
 */
function hasKeychain(environment: NodeJS.ProcessEnv): boolean {
  return process.platform !== 'linux' || environment['DBUS_SESSION_BUS_ADDRESS'] !== undefined
}
