// Offers to go on in another protocol (h2c, TLS): a server may leave them aside, and the request is then like any other. Pure.
import type { IncomingMessage } from 'node:http'
import { GateError } from '@gate/shared/errors'
import { pairsOf } from './fields.ts'

/** Fields that mean something for the offer alone (RFC 7540 section 3.2). */
const ofOffers: ReadonlySet<string> = new Set(['upgrade', 'http2-settings'])

/** What of a request an offer is read from. */
export type Offering = Pick<IncomingMessage, 'method' | 'url' | 'httpVersion' | 'rawHeaders'>

/** The protocols that a request would go on in, in lower case; of several fields all. */
export function offered({ rawHeaders }: Pick<Offering, 'rawHeaders'>): string[] {
  return pairsOf(rawHeaders)
    .filter(([name]) => name.toLowerCase() === 'upgrade')
    .flatMap(([, value]) => membersOf(value.toLowerCase()))
}

/** Whether a request asks for a WebSocket, perhaps among others. */
export function asksForWebSocket(request: Pick<Offering, 'rawHeaders'>): boolean {
  return offered(request).some(protocol => /^websocket(?:\/|$)/.test(protocol))
}

/**
 * The head of a request once more, without what it offers (RFC 9110 section 7.8): it is read and judged like any other.
 * @throws {GateError} ERR_GATE_PROTOCOL where written anew it would be read as something else.
 */
export function headWithoutOffer({ method = '', url = '', httpVersion, rawHeaders }: Offering): Buffer {
  const fields = pairsOf(rawHeaders)
  if (fields.filter(([name]) => name.toLowerCase() === 'upgrade').length > 1)
    throw new GateError('ERR_GATE_PROTOCOL', 'a request with two upgrade fields')
  const kept = fields.flatMap(([name, value]): string[] => {
    if (ofOffers.has(name.toLowerCase())) return []
    if (name.toLowerCase() !== 'connection') return [`${name}: ${value}`]
    const members = membersOf(value).filter(member => !ofOffers.has(member.toLowerCase()))
    return members.length === 0 ? [] : [`${name}: ${members.join(', ')}`]
  })
  const lines = [`${method} ${url} HTTP/${httpVersion}`, ...kept]
  // Node's parser lets none of them in. Were it to, two requests would be made of one here.
  if (lines.some(line => /[\r\n\0]/.test(line)))
    throw new GateError('ERR_GATE_PROTOCOL', 'a line of the request has an end within it')
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')
}

function membersOf(value: string): string[] {
  return value
    .split(',')
    .map(member => member.trim())
    .filter(member => member !== '')
}
