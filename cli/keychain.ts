// Where secrets are kept: the system's keychain where one answers, otherwise a file with mode 0600.
import { newSecret } from '@gate/shared/id'
import { readOwnFile, removeOwnFile, writeOwnFile } from './files.ts'

const SERVICE = 'gate'
const FILE = 'credentials.json'
/** A keychain that asks its user for a password may take a moment; one that hangs is none. */
const PROBE_TIMEOUT_MS = 3_000

export interface Keychain {
  /** What `gate whoami` says. */
  readonly description: string
  get(account: string): Promise<string | undefined>
  set(account: string, secret: string): Promise<void>
  delete(account: string): Promise<void>
}

/** keytar's interface, which @napi-rs/keyring gives without keytar's native build. */
interface Keytar {
  getPassword(service: string, account: string): Promise<string | null>
  setPassword(service: string, account: string, password: string): Promise<void>
  deletePassword(service: string, account: string): Promise<boolean>
}

export async function openKeychain(home: string, choice: 'auto' | 'file'): Promise<Keychain> {
  const keytar = choice === 'file' ? undefined : await systemKeychain()
  if (keytar === undefined) return fileKeychain(home)
  return {
    description: "the system's keychain",
    get: async account => (await keytar.getPassword(SERVICE, account)) ?? undefined,
    set: (account, secret) => keytar.setPassword(SERVICE, account, secret),
    delete: async account => {
      await keytar.deletePassword(SERVICE, account)
    },
  }
}

/** A keychain counts only when it gives back what was put in. */
async function systemKeychain(): Promise<Keytar | undefined> {
  const probe = async (): Promise<Keytar | undefined> => {
    const keytar = (await import('keytar/keytar.js')) as unknown as Keytar
    const secret = newSecret()
    await keytar.setPassword(SERVICE, 'probe', secret)
    const kept = await keytar.getPassword(SERVICE, 'probe')
    await keytar.deletePassword(SERVICE, 'probe')
    return kept === secret ? keytar : undefined
  }
  const late = new Promise<undefined>(resolve => setTimeout(() => resolve(undefined), PROBE_TIMEOUT_MS).unref())
  // No library for this system, no service, access denied: each means the file.
  return Promise.race([probe().catch(() => undefined), late])
}

function fileKeychain(home: string): Keychain {
  const read = async (): Promise<Record<string, string>> => {
    const text = await readOwnFile(home, FILE)
    return Object.assign(
      Object.create(null) as Record<string, string>,
      text === undefined ? {} : (JSON.parse(text) as Record<string, string>),
    )
  }
  return {
    description: `a file that only you can read (${home}/${FILE})`,
    get: async account => (await read())[account],
    set: async (account, secret) => writeOwnFile(home, FILE, JSON.stringify({ ...(await read()), [account]: secret })),
    delete: async account => {
      const { [account]: _removed, ...rest } = await read()
      if (Object.keys(rest).length === 0) await removeOwnFile(home, FILE)
      else await writeOwnFile(home, FILE, JSON.stringify(rest))
    },
  }
}
