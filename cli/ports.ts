// Local ports that stay: the same target has the same port every time, since people save connections.
import { createHash } from 'node:crypto'
import { createServer } from 'node:net'
import * as z from 'zod'
import { readOwnFile, writeOwnFile } from './files.ts'

const FILE = 'ports.json'
/** Below the ports that systems give to outgoing connections, above the well-known ones. */
const FIRST_PORT = 20_000
const PORT_COUNT = 10_000

const schema = z.record(z.string(), z.int().min(1).max(65535))

/** Where a target's port would be if no other target had it. The home is in it: people who share a machine share its ports. */
export function preferredPort(home: string, relay: string, target: string): number {
  const hash = createHash('sha256')
    .update(JSON.stringify([home, relay, target]))
    .digest()
  return FIRST_PORT + (hash.readUInt32BE() % PORT_COUNT)
}

/** The port that belongs to the target on this machine, chosen at first use and kept. */
export async function portFor(home: string, relay: string, target: string): Promise<number> {
  const key = `${relay} ${target}`
  const text = await readOwnFile(home, FILE)
  const parsed = text === undefined ? undefined : schema.safeParse(safeJson(text))
  // A file that cannot be read costs people their saved ports, not their work.
  const ports = new Map(Object.entries(parsed?.success === true ? parsed.data : {}))
  const known = ports.get(key)
  if (known !== undefined) return known
  const taken = new Set(ports.values())
  let port = preferredPort(home, relay, target)
  // What another program has now it may have every day; a port that is kept already is never given up for that.
  for (let tried = 0; tried < PORT_COUNT && (taken.has(port) || !(await isFree(port))); tried += 1)
    port = port + 1 === FIRST_PORT + PORT_COUNT ? FIRST_PORT : port + 1
  ports.set(key, port)
  await writeOwnFile(home, FILE, JSON.stringify(Object.fromEntries(ports), undefined, 2))
  return port
}

function isFree(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen({ host: '127.0.0.1', port, exclusive: true }, () => probe.close(() => resolve(true)))
  })
}

function safeJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
