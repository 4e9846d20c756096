// gate audit and gate receipts: whether the record is what it was, for who keeps a little of it.
import { readFile } from 'node:fs/promises'
import { counted } from '@gate/shared/counted'
import { GateError } from '@gate/shared/errors'
import { openCheckpoint, parseVerifier, type Verifier } from '@gate/shared/record/checkpoint'
import { type ReadFile, readNote, type Verified, verifyRecord } from '@gate/shared/record/verify'
import * as z from 'zod'
import { type App, type Connected, connectApp, interruptible } from '../app.ts'
import { fetchReceipts, keptReceipts, keptRecord } from '../receipts.ts'
import { directorySource, webSource } from '../record-source.ts'
import { printable, span, table } from '../text.ts'

/** Progress is said when a check takes longer than this, and this often. */
const PROGRESS_MS = 1_000

export interface VerifyOptions {
  readonly from?: string
  readonly checkpoint?: readonly string[]
  readonly key?: string
  readonly json?: boolean
}

/** Returns the exit code: 0 when everything is as it was signed, 9 when it is not. */
export async function auditVerify(app: App, options: VerifyOptions): Promise<number> {
  const { read, keptOf, close } = await sourceOf(app, options)
  try {
    const files = await Promise.all((options.checkpoint ?? []).map(readCheckpoint))
    const note = await readNote(read)
    const origin = originOf(note)
    const kept = await keptOf(origin)
    const verifier = verifierOf(options, kept, origin)
    const ofKey = kept !== undefined && kept.verifier === verifier.text ? [kept.checkpoint] : []
    const began = performance.now()
    const verified = await verifyRecord({
      read,
      note,
      verifier,
      kept: [...files.flatMap(file => pick(file, verifier)), ...ofKey],
      progress: progress(app, options.json === true),
    })
    show(app, verified, performance.now() - began, options.json === true)
    return verified.findings.length === 0 ? 0 : 9
  } finally {
    await close()
  }
}

interface Source {
  readonly read: ReadFile
  /** What this person has kept of the record with this name. */
  keptOf(origin: string): Promise<{ readonly verifier: string; readonly checkpoint: string } | undefined>
  close(): Promise<void>
}

/** A directory and a foreign URL need no login; what is kept here helps where somebody is logged in. */
async function sourceOf(app: App, { from }: VerifyOptions): Promise<Source> {
  const connected = await connectApp(app).catch((thrown: unknown) => {
    if (from !== undefined) return undefined
    throw thrown
  })
  // The relay's own record is checked against what is seen of it here, from now on at the latest.
  if (connected !== undefined && from === undefined) await fetchReceipts(connected)
  const keptOf: Source['keptOf'] = async origin => (connected === undefined ? undefined : keptRecord(connected, origin))
  const close = async (): Promise<void> => connected?.[Symbol.asyncDispose]()
  if (from !== undefined && !/^https?:/.test(from)) return { read: directorySource(from), keptOf, close }
  if (from !== undefined) return { read: webSource(from, async () => ({})), keptOf, close }
  return { read: relaySource(connected as Connected), keptOf, close }
}

/** All parts are of the tree whose checkpoint was read first, also where several relays answer. */
function relaySource({ client, credentials }: Connected): ReadFile {
  let tree = ''
  return async path => {
    const token = await credentials.token()
    const bytes = await client.bytes({ method: 'GET', path: `/v1/records/log/${path}${tree}`, token })
    if (tree === '' && path === 'checkpoint' && bytes !== undefined)
      tree = `?tree=${encodeURIComponent(originOf(bytes.toString('utf8')))}`
    return bytes
  }
}

/** The name of the record that a checkpoint is of: the first line of its note. */
function originOf(note: string): string {
  return note.split('\n', 1)[0] ?? ''
}

/** The key that is given; else the one that was kept; else a checkpoint's own is not believed. */
function verifierOf({ key }: VerifyOptions, kept: { readonly verifier: string } | undefined, origin: string): Verifier {
  if (key !== undefined) return parseVerifier(key)
  if (kept !== undefined) return parseVerifier(kept.verifier)
  throw new GateError('ERR_GATE_USAGE', `there is no key to check ${printable(origin)} with`, {
    hint: 'Add --key; gate audit key prints that of the relay you are logged in to.',
  })
}

const agentFile = z.record(z.string(), z.object({ verifier: z.string(), checkpoint: z.string() }))

/** A checkpoint as a note, or an agent's checkpoints.json. */
async function readCheckpoint(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    throw new GateError('ERR_GATE_USAGE', `${file} cannot be read (${(cause as NodeJS.ErrnoException).code})`, {
      cause,
    })
  }
}

function pick(text: string, verifier: Verifier): string[] {
  if (!text.trimStart().startsWith('{')) return [text]
  const kept = agentFile.parse(JSON.parse(text))[verifier.name]
  if (kept === undefined) return []
  if (kept.verifier !== verifier.text)
    throw new GateError(
      'ERR_GATE_TAMPERED',
      `a checkpoint of ${verifier.name} was kept with another key: ${kept.verifier}`,
    )
  return [kept.checkpoint]
}

function progress(app: App, json: boolean): (done: number, size: number) => void {
  let last = performance.now()
  return (done, size) => {
    if (json || performance.now() - last < PROGRESS_MS) return
    last = performance.now()
    app.note(app.style.dim(`${done} of ${size} records …`))
  }
}

function show(
  app: App,
  { head, bytes, approvals, deleted, findings, cut }: Verified,
  durationMs: number,
  json: boolean,
): void {
  if (json) {
    const root = head.root.toString('base64')
    const good = findings.length === 0
    return app.print(
      JSON.stringify({ good, origin: head.origin, records: head.size, root, bytes, approvals, deleted, findings, cut }),
    )
  }
  for (const { first, last, byRecord, timeMs } of deleted)
    app.print(
      `records ${first} to ${last} were deleted by retention on ${new Date(timeMs).toISOString().slice(0, 10)} (record ${byRecord}); their hashes are as they were signed`,
    )
  for (const { what } of findings) app.print(`${app.style.bad('✗')} ${printable(what)}`)
  if (cut) app.print(`${app.style.bad('✗')} … and more`)
  const rate = `${(bytes / 1e6).toFixed(1)} MB in ${(durationMs / 1000).toFixed(1)} s`
  if (findings.length === 0)
    app.print(
      `${app.style.good('✓')} ${counted(head.size, 'record')} of ${printable(head.origin)} ${head.size === 1 ? 'is as it was' : 'are as they were'} signed (${counted(approvals, 'signature')} of approvers; ${rate})`,
    )
}

/** Prints the key with which the relay's record is checked. */
export async function auditKey(app: App, { json }: { readonly json?: boolean }): Promise<void> {
  await using connected = await connectApp(app)
  const kept = await fetchReceipts(connected)
  const { size } = openCheckpoint(kept.checkpoint, parseVerifier(kept.verifier))
  app.print(json === true ? JSON.stringify({ key: kept.verifier, records: size }) : kept.verifier)
}

/** Prints every event as it is recorded, one JSON object per line. */
export async function auditTail(
  app: App,
  { from, follow }: { readonly from?: string; readonly follow?: boolean },
): Promise<void> {
  const first = from === undefined ? 1 : Number(from)
  if (!Number.isSafeInteger(first) || first < 1)
    throw new GateError('ERR_GATE_USAGE', `--from: expected the number of a record, got "${from}"`)
  await using connected = await connectApp(app)
  const { client, credentials } = connected
  await interruptible(async signal => {
    const path = `/v1/records/events?from=${first}&follow=${follow === true}`
    for await (const event of client.lines({ method: 'GET', path, token: await credentials.token() }, signal))
      app.print(JSON.stringify(event))
  })
}

/** Lists the receipts of one's own sessions, after fetching new ones and checking all of them. */
export async function receipts(app: App, { json }: { readonly json?: boolean }): Promise<void> {
  await using connected = await connectApp(app)
  await fetchReceipts(connected)
  const found = await keptReceipts(connected)
  const broken = found.filter(({ trouble }) => trouble !== undefined)
  if (json === true) app.print(JSON.stringify(found))
  else if (found.length === 0) app.note('There are no receipts yet: a session gives one when it ends.')
  else {
    const now = app.clock.now()
    const rows = found.map(({ session, endedMs, events, record, trouble }) => [
      session,
      endedMs === undefined ? '' : `${span(now - endedMs)} ago`,
      String(events ?? ''),
      String(record ?? ''),
      trouble === undefined ? app.style.good('good') : app.style.bad(printable(trouble)),
    ])
    app.print(table(['SESSION', 'ENDED', 'EVENTS', 'RECORD', 'RECEIPT'], rows, app.style))
  }
  await sayElsewhere(app, connected)
  if (broken.length > 0)
    throw new GateError(
      'ERR_GATE_TAMPERED',
      `${counted(broken.length, 'receipt')} ${broken.length === 1 ? 'does' : 'do'} not hold`,
    )
}

const elsewhereAnswer = z.object({
  relays: z.array(z.object({ relay: z.string(), url: z.string().nullable(), sessions: z.number() })),
})

/** Each relay gives receipts for its own record only: who worked through others has to ask them. */
async function sayElsewhere(app: App, { client, credentials }: Connected): Promise<void> {
  const path = '/v1/receipts/elsewhere'
  const { relays } = await client.call({ method: 'GET', path, token: await credentials.token() }, elsewhereAnswer)
  for (const { relay, url, sessions } of relays) {
    const where = printable(url === null ? relay : `${relay} at ${url}`)
    app.note(
      `${sessions} of your sessions ended on ${where}: ${sessions === 1 ? 'its receipt comes' : 'their receipts come'} from there.`,
    )
  }
}
