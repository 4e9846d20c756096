// Whose process is at the other end of a local connection, as Linux's socket tables say (proc(5), /proc/net/tcp).
import { readFile } from 'node:fs/promises'
import { isIPv4 } from 'node:net'

export interface Endpoint {
  readonly address: string
  readonly port: number
}

/** `unknown` where the system gives no such answer; `gone` when the peer has no socket any more. */
export type Owner = { readonly uid: number } | 'unknown' | 'gone'

/** IPv4 addresses stand in the table as one little-endian word, IPv6 as four. */
export function tableAddress({ address, port }: Endpoint): string {
  const bytes = isIPv4(address) ? Buffer.from(address.split('.').map(Number)) : ipv6Bytes(address)
  const swapped = Buffer.from(bytes).swap32()
  return `${swapped.toString('hex').toUpperCase()}:${port.toString(16).toUpperCase().padStart(4, '0')}`
}

function ipv6Bytes(address: string): Buffer {
  const mapped = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address)
  const full =
    mapped === null
      ? address
      : `${mapped[1]}${((Number(mapped[2]) << 8) | Number(mapped[3])).toString(16)}:${((Number(mapped[4]) << 8) | Number(mapped[5])).toString(16)}`
  const [head = '', tail] = full.split('::')
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'))
  const left = groups(head)
  const right = tail === undefined ? [] : groups(tail)
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => '0')
  return Buffer.from([...left, ...zeros, ...right].map(group => group.padStart(4, '0')).join(''), 'hex')
}

/**
 * Finds the owner of the peer's socket in a table's text.
 * A socket without an inode belongs to no process any more, and its uid says 0 whoever had it.
 */
export function ownerIn(table: string, peer: Endpoint, ours: Endpoint): Owner {
  // The table has a row for each socket of the machine, and is looked through for each connection: rows are not taken apart.
  const row = ` ${tableAddress(peer)} ${tableAddress(ours)} `
  const at = table.indexOf(row)
  if (at === -1) return 'gone'
  const end = table.indexOf('\n', at)
  const [, , , , uid, , inode] = table
    .slice(at + row.length, end === -1 ? table.length : end)
    .trim()
    .split(/\s+/)
  return inode === '0' || inode === undefined ? 'gone' : { uid: Number(uid) }
}

/** The owner of the process that connected from `peer` to our `ours`. */
export async function peerOwner(peer: Endpoint, ours: Endpoint): Promise<Owner> {
  if (process.platform !== 'linux') return 'unknown'
  if (!isIPv4(peer.address)) return ownerIn(await readTable('/proc/net/tcp6'), peer, ours)
  const owner = ownerIn(await readTable('/proc/net/tcp'), peer, ours)
  // Java and others reach 127.0.0.1 through an IPv6 socket, which stands in the other table with mapped addresses.
  return owner === 'gone' ? ownerIn(await readTable('/proc/net/tcp6'), inIpv6(peer), inIpv6(ours)) : owner
}

/** How many bytes of ours the kernel at the peer's side has not taken yet, in a table's text. */
export function unsentIn(table: string, ours: Endpoint, peer: Endpoint): number {
  const row = ` ${tableAddress(ours)} ${tableAddress(peer)} `
  const at = table.indexOf(row)
  const [, queue] =
    at === -1 ? [] : (/^\S+ ([0-9A-F]+):/.exec(table.slice(at + row.length, at + row.length + 16)) ?? [])
  return queue === undefined ? 0 : Number.parseInt(queue, 16)
}

/** The same of a socket of this process; nothing of one that is not there any more. */
export async function unsentBytes(ours: Endpoint, peer: Endpoint): Promise<number | 'unknown'> {
  if (process.platform !== 'linux') return 'unknown'
  return unsentIn(await readTable(isIPv4(ours.address) ? '/proc/net/tcp' : '/proc/net/tcp6'), ours, peer)
}

const inIpv6 = ({ address, port }: Endpoint): Endpoint => ({ address: `::ffff:${address}`, port })

interface Reads {
  readonly running: Promise<string>
  /** Begins when the running one is done: it knows everybody who came in the meantime. */
  next: Promise<string> | undefined
}

const reads = new Map<string, Reads>()

/**
 * The table as it is after the call; the kernel takes milliseconds to write it, so that connections that come together share one.
 * Without the table nobody can be told apart: then nobody is found in it, and the caller refuses.
 */
function readTable(path: string): Promise<string> {
  const now = reads.get(path)
  if (now === undefined) return startRead(path)
  now.next ??= now.running.then(() => startRead(path))
  return now.next
}

function startRead(path: string): Promise<string> {
  const running = readFile(path, 'latin1').catch(() => '')
  const mine: Reads = { running, next: undefined }
  reads.set(path, mine)
  void running.then(() => {
    if (mine.next === undefined) reads.delete(path)
  })
  return running
}
