// Which relay this person uses, and what was pinned of it.
import { GateError } from '@gate/shared/errors'
import * as z from 'zod'
import type { CliConfig } from './config.ts'
import { readOwnFile, writeOwnFile } from './files.ts'
import { pinSchema } from './pin.ts'

const FILE = 'relay.json'

const schema = z.strictObject({
  relay: z.string(),
  pin: pinSchema.optional(),
  issuer: z.string(),
  clientId: z.string(),
})
export type Profile = z.infer<typeof schema>

/** @throws {GateError} ERR_GATE_UNAUTHENTICATED when nobody ever logged in here. */
export async function readProfile(config: CliConfig): Promise<Profile> {
  const profile = await findProfile(config)
  if (profile !== undefined) return profile
  throw new GateError('ERR_GATE_UNAUTHENTICATED', 'you are not logged in', {
    hint: 'Run: gate login --relay https://YOUR-RELAY',
  })
}

export async function findProfile(config: CliConfig): Promise<Profile | undefined> {
  const text = await readOwnFile(config.home, FILE)
  if (text === undefined) return undefined
  try {
    return schema.parse(JSON.parse(text))
  } catch (cause) {
    throw new GateError('ERR_GATE_CONFIG', `${config.home}/${FILE} cannot be read`, {
      cause,
      hint: 'Run gate login again.',
    })
  }
}

export async function writeProfile(config: CliConfig, profile: Profile): Promise<void> {
  await writeOwnFile(config.home, FILE, JSON.stringify(profile, undefined, 2))
}
