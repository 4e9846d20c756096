// What a command line has kept of its logins, where the keychain is a file.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Cli } from './gate.ts'

export interface KeptLogin {
  readonly token: string
  readonly refreshToken?: string
  readonly expiresMs: number
  readonly endsMs: number
}

const fileOf = (cli: Cli): string => join(cli.home, 'credentials.json')

/** All that it keeps, as text: logins by the URL of their relay, and keys of approvers. */
export async function keptLogins(cli: Cli): Promise<Record<string, string>> {
  return JSON.parse(await readFile(fileOf(cli), 'utf8')) as Record<string, string>
}

/** The first login. */
export async function keptLogin(cli: Cli): Promise<KeptLogin> {
  return JSON.parse(Object.values(await keptLogins(cli))[0] ?? '{}') as KeptLogin
}

/** Changes something of every login; of keys it means nothing. */
export async function changeLogins(cli: Cli, change: Partial<KeptLogin>): Promise<void> {
  const changed = Object.entries(await keptLogins(cli)).map(([relay, text]) => [
    relay,
    JSON.stringify({ ...(JSON.parse(text) as KeptLogin), ...change }),
  ])
  await writeFile(fileOf(cli), JSON.stringify(Object.fromEntries(changed)))
}
