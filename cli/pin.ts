// The relay's certificate, remembered from the first use: a later one with another key is refused.
import { createHash, X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { checkServerIdentity, connect, type PeerCertificate } from 'node:tls'
import { GateError } from '@gate/shared/errors'
import { relayError } from '@gate/shared/relay-error'
import type { TlsOptions } from '@gate/shared/websocket/dial'
import * as z from 'zod'

const PROBE_TIMEOUT_MS = 10_000

export const pinSchema = z.strictObject({
  /** SHA-256 of the certificate's SubjectPublicKeyInfo in base64: renewing with the same key keeps it. */
  fingerprint: z.string(),
  /** The certificate itself, when no authority that this machine trusts vouches for it. */
  certificate: z.string().optional(),
})
export type Pin = z.infer<typeof pinSchema>

export function fingerprintOf(certificate: X509Certificate): string {
  const key = certificate.publicKey.export({ type: 'spki', format: 'der' })
  return `SHA256:${createHash('sha256').update(key).digest('base64')}`
}

/** Looks at a relay's certificate. @throws {GateError} ERR_GATE_RELAY_UNREACHABLE. */
export function probe(url: URL): Promise<Pin> {
  return new Promise((resolve, reject) => {
    const host = url.hostname.replace(/^\[|\]$/g, '')
    const socket = connect({
      host,
      port: Number(url.port || 443),
      ...(isIP(host) === 0 ? { servername: host } : {}),
      // Only to look at it: nothing is sent, and what is found here is shown to the person or checked against authorities.
      rejectUnauthorized: false,
      timeout: PROBE_TIMEOUT_MS,
    })
    socket.once('timeout', () => socket.destroy(Object.assign(new Error('no TLS in time'), { code: 'ETIMEDOUT' })))
    socket.once('error', cause => reject(relayError(url.origin, cause)))
    socket.once('secureConnect', () => {
      const { raw } = socket.getPeerCertificate()
      const certificate = new X509Certificate(raw)
      const trusted = socket.authorized && checkServerIdentity(host, socket.getPeerCertificate()) === undefined
      socket.destroy()
      resolve({ fingerprint: fingerprintOf(certificate), ...(trusted ? {} : { certificate: certificate.toString() }) })
    })
  })
}

/** TLS options that accept the pinned key and nothing else; undefined for a relay without TLS. */
export function pinnedTls(relay: string, pin: Pin | undefined): TlsOptions | undefined {
  if (pin === undefined) return undefined
  const check = (host: string, peer: PeerCertificate): Error | undefined => {
    const found = fingerprintOf(new X509Certificate(peer.raw))
    if (found !== pin.fingerprint) return changed(relay, pin.fingerprint, found)
    // A pinned certificate that no authority vouches for need not carry the name under which it was pinned.
    return pin.certificate === undefined ? checkServerIdentity(host, peer) : undefined
  }
  return {
    checkServerIdentity: check,
    ...(pin.certificate === undefined ? {} : { ca: pin.certificate, allowPartialTrustChain: true }),
  }
}

export function changed(relay: string, pinned: string, found: string): GateError {
  return new GateError('ERR_GATE_RELAY_CHANGED', `the certificate of ${relay} is not the one that was pinned`, {
    detail: `pinned ${pinned}, now ${found}`,
    hint: `If whoever runs the relay says that this is right: gate login --relay ${relay} --fingerprint ${found}`,
  })
}
