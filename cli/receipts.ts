// Receipts of one's own sessions, and the newest checkpoint of the relay's record: kept here, so that nobody can take a session away.

import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { asGateError, GateError } from '@gate/shared/errors'
import { openCheckpoint, parseVerifier } from '@gate/shared/record/checkpoint'
import {
  acceptCheckpoint,
  checkpointAnswer,
  type Kept,
  type Receipt,
  receiptSchema,
  verifyReceipt,
} from '@gate/shared/record/receipt'
import { z } from 'zod'
import type { Connected } from './app.ts'
import { ownDirectory, readOwnFile, writeOwnFile } from './files.ts'

/** Answers that are fetched in a row; what is left comes the next time. */
const MAX_PAGES = 20
const SESSION = /^s_[a-z0-9]{12}$/

const answerSchema = checkpointAnswer.extend({ receipts: z.array(receiptSchema), after: z.number(), more: z.boolean() })
const stateSchema = z.object({
  kept: z.object({ verifier: z.string(), checkpoint: z.string() }).optional(),
  /** Sessions that ended before this moment, on the relay's clock, have been asked for. */
  after: z.number().default(0),
})
type State = z.infer<typeof stateSchema>

/** Each relay's receipts are in a directory of their own. */
function directoryOf(home: string, relay: string): string {
  return join(home, 'receipts', createHash('sha256').update(new URL(relay).origin).digest('hex').slice(0, 16))
}

const STATE_FILE = 'record.json'

async function readState(directory: string): Promise<State> {
  const text = await readOwnFile(directory, STATE_FILE)
  if (text === undefined) return { after: 0 }
  try {
    return stateSchema.parse(JSON.parse(text))
  } catch (cause) {
    throw new GateError('ERR_GATE_CONFIG', `${join(directory, STATE_FILE)} cannot be read`, { cause })
  }
}

/**
 * Fetches the receipts of sessions that have ended, and the newest checkpoint, and checks all of it.
 * @throws {GateError} ERR_GATE_RECORD when the relay's record was rewritten or cut off; what was kept stays as evidence.
 */
export async function fetchReceipts({ app, profile, client, credentials }: Connected): Promise<number> {
  const directory = directoryOf(app.config.home, profile.relay)
  await ownDirectory(join(app.config.home, 'receipts'))
  let state = await readState(directory)
  let count = 0
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const size = state.kept === undefined ? 0 : headOf(state.kept).size
    const path = `/v1/receipts?size=${size}&after=${state.after}`
    const answer = await client.call({ method: 'GET', path, token: await credentials.token() }, answerSchema)
    const { kept } = acceptCheckpoint(state.kept, answer)
    for (const receipt of answer.receipts) {
      verifyReceipt(receipt)
      if (receipt.verifier !== kept.verifier || !SESSION.test(receipt.session))
        throw new GateError('ERR_GATE_TAMPERED', `a receipt of ${receipt.session} by another key`)
      if ((await readOwnFile(directory, `${receipt.session}.json`)) !== undefined) continue
      await writeOwnFile(directory, `${receipt.session}.json`, JSON.stringify(receipt))
      count += 1
    }
    const isDone = !answer.more || answer.after === state.after
    state = { kept, after: answer.after }
    await writeOwnFile(directory, STATE_FILE, JSON.stringify(state))
    if (isDone) break
  }
  return count
}

function headOf({ verifier, checkpoint }: Kept): { readonly size: number } {
  return openCheckpoint(checkpoint, parseVerifier(verifier))
}

/** What is kept here of the relay's record. */
export async function keptRecord({ app, profile }: Connected): Promise<Kept | undefined> {
  return (await readState(directoryOf(app.config.home, profile.relay))).kept
}

export interface KeptReceipt {
  readonly session: string
  readonly endedMs: number | undefined
  readonly events: number | undefined
  readonly record: number | undefined
  /** Why it is not good; undefined when it is. */
  readonly trouble: string | undefined
}

/** Every receipt that is kept here, checked again. */
export async function keptReceipts({ app, profile }: Connected): Promise<KeptReceipt[]> {
  const directory = directoryOf(app.config.home, profile.relay)
  const names = await readdir(directory).catch(() => [])
  const found = await Promise.all(
    names.filter(name => SESSION.test(name.replace(/\.json$/, ''))).map(name => readKept(directory, name)),
  )
  return found.sort((a, b) => (a.record ?? 0) - (b.record ?? 0))
}

const ended = z.object({ timeMs: z.number(), body: z.object({ events: z.number().optional() }) })

async function readKept(directory: string, name: string): Promise<KeptReceipt> {
  const session = name.replace(/\.json$/, '')
  try {
    const receipt: Receipt = receiptSchema.parse(JSON.parse((await readOwnFile(directory, name)) ?? ''))
    verifyReceipt(receipt)
    const { timeMs, body } = ended.parse(JSON.parse(receipt.record))
    return { session, endedMs: timeMs, events: body.events, record: receipt.index + 1, trouble: undefined }
  } catch (thrown) {
    return { session, endedMs: undefined, events: undefined, record: undefined, trouble: asGateError(thrown).message }
  }
}
