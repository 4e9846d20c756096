// A key for the record of tests, the same in every process; and reading a record's journal as it lies on the disk.
import { createPrivateKey } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TreeKey } from '@gate/relay/record/archive'
import type { StoredEvent } from '@gate/relay/record/events'
import { parseLine } from '@gate/relay/record/line'

/** PKCS #8 of an Ed25519 key whose secret is 32 times 0x07 (RFC 8410, 7). */
const PKCS8 = Buffer.from(`302e020100300506032b657004220420${'07'.repeat(32)}`, 'hex')

export const testTree: TreeKey = {
  origin: 'gate.example.com/relay_1',
  key: createPrivateKey({ key: PKCS8, format: 'der', type: 'pkcs8' }),
}

/** Every event of the journal, after checking that no number is missing. */
export async function journalEvents(directory: string): Promise<StoredEvent[]> {
  const events: StoredEvent[] = []
  for (const name of (await readdir(directory)).filter(name => name.endsWith('.jsonl')).sort()) {
    const text = await readFile(join(directory, name), 'utf8')
    for (const line of text.split('\n').slice(0, -1)) events.push(parseLine(line, events.length + 1))
  }
  return events
}
