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
  MAX_KNOWN_TREES,
  type Receipt,
  receiptSchema,
  verifyReceipt,
} from '@gate/shared/record/receipt'
import * as z from 'zod'
import type { App, Connected } from './app.ts'
import { ownDirectory, readOwnFile, writeOwnFile } from './files.ts'
import { printable } from './text.ts'

/** Answers that are fetched in a row; what is left comes the next time. */
const MAX_PAGES = 20
const SESSION = /^s_[a-z0-9]{12}$/

const answerSchema = checkpointAnswer.extend({
  receipts: z.array(receiptSchema),
  after: z.number(),
  more: z.boolean(),
  /** The trees of the relays that share a store with the one that answers. */
  trees: z.array(z.string()),
})
type Answer = z.infer<typeof answerSchema>

const treeSchema = z.object({
  kept: z.object({ verifier: z.string(), checkpoint: z.string() }),
  /** Sessions that ended before this moment, on the relay's clock, have been asked for. */
  after: z.number().default(0),
})
const stateSchema = z.union([
  /** By the names of the trees: behind one address there can be several relays. */
  z.strictObject({ trees: z.record(z.string(), treeSchema) }),
  /** As it was kept when it was of one tree. */
  treeSchema.transform(tree => ({ trees: { [nameOf(tree.kept)]: tree } })),
])
type Tree = z.infer<typeof treeSchema>
type Trees = Map<string, Tree>

const nameOf = ({ verifier }: Kept): string => parseVerifier(verifier).name

/** Each relay's receipts are in a directory of their own. */
function directoryOf(home: string, relay: string): string {
  return join(home, 'receipts', createHash('sha256').update(new URL(relay).origin).digest('hex').slice(0, 16))
}

const STATE_FILE = 'record.json'

async function readTrees(directory: string): Promise<Trees> {
  const text = await readOwnFile(directory, STATE_FILE)
  if (text === undefined) return new Map()
  try {
    return new Map(Object.entries(stateSchema.parse(JSON.parse(text)).trees))
  } catch (cause) {
    throw new GateError('ERR_GATE_CONFIG', `${join(directory, STATE_FILE)} cannot be read`, { cause })
  }
}

/**
 * Fetches the receipts of sessions that have ended, and the newest checkpoint, and checks all of it. Returns what is kept
 * of the record of the relay that answered.
 * @throws {GateError} ERR_GATE_TAMPERED when the relay's record was rewritten or cut off; what was kept stays as evidence.
 */
export async function fetchReceipts({ app, profile, client, credentials }: Connected): Promise<Kept> {
  const directory = directoryOf(app.config.home, profile.relay)
  await ownDirectory(join(app.config.home, 'receipts'))
  const trees = await readTrees(directory)
  for (let page = 1; ; page += 1) {
    const body = { known: [...trees].map(([origin, tree]) => ({ origin, ...asked(tree) })) }
    const call = { method: 'POST', path: '/v1/receipts', token: await credentials.token(), body } as const
    const answer = await client.call(call, answerSchema)
    const name = nameOf(answer)
    const { kept } = acceptCheckpoint(keptOf(trees, answer), answer)
    if (!trees.has(name) && trees.size > 0) sayNewTree(app, profile.relay, name)
    for (const receipt of answer.receipts) {
      verifyReceipt(receipt)
      if (receipt.verifier !== kept.verifier || !SESSION.test(receipt.session))
        throw new GateError('ERR_GATE_TAMPERED', `a receipt of ${receipt.session} by another key`)
      if ((await readOwnFile(directory, `${receipt.session}.json`)) !== undefined) continue
      await writeOwnFile(directory, `${receipt.session}.json`, JSON.stringify(receipt))
    }
    const isDone = !answer.more || answer.after === trees.get(name)?.after || page === MAX_PAGES
    trees.set(name, { kept, after: answer.after })
    await writeOwnFile(directory, STATE_FILE, JSON.stringify({ trees: Object.fromEntries(trees) }))
    if (isDone) return kept
  }
}

function asked({ kept, after }: Tree): { readonly size: number; readonly after: number } {
  return { size: openCheckpoint(kept.checkpoint, parseVerifier(kept.verifier)).size, after }
}

/**
 * What was kept of the tree that a relay answers with. One that was not met before stands beside those that are kept if all
 * of them are of relays that share its store; otherwise it stands in the place of one of them.
 * @throws {GateError} ERR_GATE_LIMIT.
 */
function keptOf(trees: Trees, answer: Answer): Kept | undefined {
  const known = trees.get(nameOf(answer))
  if (known !== undefined) return known.kept
  const replaced = [...trees.keys()].find(name => !answer.trees.includes(name))
  if (replaced !== undefined) return trees.get(replaced)?.kept
  if (trees.size >= MAX_KNOWN_TREES)
    throw new GateError('ERR_GATE_LIMIT', `more than ${MAX_KNOWN_TREES} relays have answered at this address`)
  return undefined
}

/** Whoever knows that there is one relay only has to hear of a second one. */
function sayNewTree(app: App, relay: string, name: string): void {
  app.note(
    `${app.style.wait('!')} another relay answers at ${printable(relay)}: its record ${printable(name)} is kept beside`,
  )
  app.note('  what was kept of the others. If there is only one relay, tell whoever watches over it.')
}

/** What is kept here of the record with this name. */
export async function keptRecord({ app, profile }: Connected, name: string): Promise<Kept | undefined> {
  return (await readTrees(directoryOf(app.config.home, profile.relay))).get(name)?.kept
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
