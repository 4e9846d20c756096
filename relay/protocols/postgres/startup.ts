// What comes before the first message: SSL and GSS requests, cancel requests, and the start-up packet. Pure.
import { GateError } from '@gate/shared/errors'

/** MAX_STARTUP_PACKET_LENGTH in src/include/libpq/pqcomm.h, which counts what comes after the length. */
const MAX_STARTUP_BYTES = 4 + 10_000
/** A client asks for GSS, then for SSL, then starts; more is a loop. */
const MAX_ENCRYPTION_REQUESTS = 4

const PROTOCOL_3 = 3
const NEWEST_MINOR = 2
const CANCEL_REQUEST = (1234 << 16) | 5678
const SSL_REQUEST = (1234 << 16) | 5679
const GSS_REQUEST = (1234 << 16) | 5680

export type StartupEvent =
  /** Send this byte and go on. */
  | { readonly kind: 'refuse-encryption'; readonly reply: Buffer }
  | { readonly kind: 'cancel'; readonly processId: number; readonly secret: Buffer }
  /** No client of PostgreSQL: the server closes without a word then (ProcessStartupPacket), and so does gate. */
  | { readonly kind: 'foreign'; readonly reason: GateError }
  | {
      readonly kind: 'start'
      /** Minor version that both sides speak from here. */
      readonly minor: number
      readonly parameters: ReadonlyMap<string, string>
      /** Set when the client must be told of a lower version or of options that are not served. */
      readonly negotiate: readonly string[] | undefined
      /** Bytes after the packet. */
      readonly rest: Buffer
    }

const NO = Buffer.from('N')

/** The first major version of servers that speak protocol 3.2. */
const FIRST_WITH_3_2 = 18

/** The start as the target answers it, by what it says its version is: what a server does not speak, its clients do not get. */
export function asTarget<Start extends Extract<StartupEvent, { kind: 'start' }>>(start: Start, version = ''): Start {
  const major = Number.parseInt(version, 10)
  if (start.minor === 0 || Number.isNaN(major) || major >= FIRST_WITH_3_2) return start
  return { ...start, minor: 0, negotiate: start.negotiate ?? [] }
}

/** Collects the bytes of a new connection until they say what it is for. */
export class Startup {
  #bytes = Buffer.alloc(0)
  #encryptionRequests = 0

  /**
   * Takes more bytes; undefined when the packet is not whole yet.
   * @throws {GateError} ERR_GATE_PROTOCOL for a start-up that the client has to be told is wrong.
   */
  receive(bytes: Buffer): StartupEvent | undefined {
    this.#bytes = Buffer.concat([this.#bytes, bytes])
    if (this.#bytes.length < 4) return undefined
    const length = this.#bytes.readInt32BE(0)
    if (length < 8 || length > MAX_STARTUP_BYTES) return { kind: 'foreign', reason: foreign() }
    if (this.#bytes.length < length) return undefined
    const packet = this.#bytes.subarray(0, length)
    this.#bytes = this.#bytes.subarray(length)
    return this.#read(packet)
  }

  #read(packet: Buffer): StartupEvent {
    const version = packet.readInt32BE(4)
    if (version === SSL_REQUEST || version === GSS_REQUEST) return this.#encryption(packet)
    if (version === CANCEL_REQUEST) return cancel(packet)
    if (version >> 16 !== PROTOCOL_3) {
      throw new GateError(
        'ERR_GATE_PROTOCOL',
        `unsupported frontend protocol ${version >> 16}.${version & 0xffff}: server supports 3.0 to 3.2`,
      )
    }
    const parameters = readParameters(packet)
    const asked = version & 0xffff
    const minor = Math.min(asked, NEWEST_MINOR)
    const unsupported = [...parameters.keys()].filter(name => name.startsWith('_pq_.'))
    for (const name of unsupported) parameters.delete(name)
    const negotiate = minor !== asked || unsupported.length > 0 ? unsupported : undefined
    return { kind: 'start', minor, parameters, negotiate, rest: this.#bytes }
  }

  #encryption(packet: Buffer): StartupEvent {
    this.#encryptionRequests += 1
    if (packet.length !== 8 || this.#encryptionRequests > MAX_ENCRYPTION_REQUESTS) {
      throw new GateError('ERR_GATE_PROTOCOL', 'malformed encryption request')
    }
    // A client waits for the answer; bytes that came along would be a start-up smuggled in front of it.
    if (this.#bytes.length > 0) throw new GateError('ERR_GATE_PROTOCOL', 'received unencrypted data after SSL request')
    return { kind: 'refuse-encryption', reply: NO }
  }
}

function foreign(): GateError {
  return new GateError('ERR_GATE_PROTOCOL', 'invalid length of startup packet', {
    hint: 'Only the PostgreSQL protocol is spoken here, without TLS of its own: the tunnel is encrypted (sslmode=prefer or disable).',
  })
}

/** Protocol 3.2 allows secrets of up to 256 bytes; ours have their own length, and the registry compares all of it. */
function cancel(packet: Buffer): StartupEvent {
  if (packet.length < 13 || packet.length > 12 + 256)
    throw new GateError('ERR_GATE_PROTOCOL', 'malformed cancel request')
  return { kind: 'cancel', processId: packet.readInt32BE(8), secret: packet.subarray(12) }
}

function readParameters(packet: Buffer): Map<string, string> {
  const parameters = new Map<string, string>()
  let at = 8
  const cstring = (): string => {
    const end = packet.indexOf(0, at)
    if (end === -1)
      throw new GateError('ERR_GATE_PROTOCOL', 'invalid startup packet layout: expected terminator as last byte')
    const text = packet.toString('utf8', at, end)
    at = end + 1
    return text
  }
  for (let name = cstring(); name !== ''; name = cstring()) {
    // The server takes the last of two; a reader in between that takes the first would be fooled.
    if (parameters.has(name)) throw new GateError('ERR_GATE_PROTOCOL', `startup parameter ${name} is given twice`)
    parameters.set(name, cstring())
  }
  if (at !== packet.length)
    throw new GateError('ERR_GATE_PROTOCOL', 'invalid startup packet layout: bytes after the terminator')
  return parameters
}
