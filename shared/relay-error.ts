// Why a relay could not be reached, in words for whoever asked, with the next step. The same for the command line and the agent.
import { GateError } from './errors.ts'

/** What OpenSSL says of a certificate that it does not believe, as Node reports it. @see https://nodejs.org/api/tls.html#x509-certificate-error-codes */
const certificateFault =
  /^(UNABLE_TO_|CERT_|CRL_|DEPTH_ZERO_|SELF_SIGNED_|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_|HOSTNAME_MISMATCH|ERR_TLS_CERT_)/

/** What OpenSSL says of bytes that are no TLS, in the words of its versions 1.1 to 3.5. */
const noTls = /wrong version number|packet length too long|record layer failure|unexpected message|http request/i

/** What connecting ends with, and what to look at then. */
const causes: readonly { readonly codes: readonly string[]; readonly what: string; readonly hint: string }[] = [
  {
    codes: ['ECONNREFUSED'],
    what: 'nothing listens there',
    hint: 'Is the relay running (it says relay.listening when it is ready), and is this its address?',
  },
  {
    codes: ['ENOTFOUND', 'EAI_AGAIN', 'EAI_FAIL', 'EAI_NONAME'],
    what: 'there is no address for that name',
    hint: "Is the name in the relay's URL right, and does this machine resolve names?",
  },
  {
    codes: [
      'ETIMEDOUT',
      'UND_ERR_CONNECT_TIMEOUT',
      'UND_ERR_HEADERS_TIMEOUT',
      'EHOSTUNREACH',
      'ENETUNREACH',
      'ENETDOWN',
    ],
    what: 'nothing answers in time',
    hint: "Is this the relay's address, and does the network let you through to it (firewall, VPN, proxy)?",
  },
]

const hungUp = ['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET', 'HPE_INVALID_CONSTANT']

/**
 * The error of a relay that could not be reached, or whose certificate was not believed.
 * `answered` says that it had begun to answer: what stops then was no wrong address.
 */
export function relayError(relay: string, thrown: unknown, answered = false): GateError {
  const cause = thrown instanceof Error && thrown.cause instanceof GateError ? thrown.cause : thrown
  if (cause instanceof GateError) return cause
  const code = cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : ''
  const url = new URL(relay)
  if (certificateFault.test(code)) {
    return new GateError('ERR_GATE_RELAY_CHANGED', `the certificate of ${url.host} is not believed (${code})`, {
      cause,
      hint: `If it was changed on purpose: gate login --relay ${httpOrigin(url)} shows its new fingerprint.`,
    })
  }
  const { what, hint } = answered ? {} : reason(url, code, cause)
  const shown = [what, code === '' ? undefined : `(${code})`].filter(each => each !== undefined).join(' ')
  return new GateError(
    'ERR_GATE_RELAY_UNREACHABLE',
    `cannot reach the relay at ${url.host}${what === undefined ? '' : ':'}${shown === '' ? '' : ` ${shown}`}`,
    { cause, ...(hint === undefined ? {} : { hint }) },
  )
}

/** The error of an answer that no relay gives. */
export function strangeAnswer(relay: string, status: number | undefined, cause?: unknown): GateError {
  return new GateError('ERR_GATE_RELAY_UNREACHABLE', `the relay answered ${status}, and not as gate does`, {
    cause,
    hint: `Is ${httpOrigin(new URL(relay))} the \`url\` of relay.yaml? A proxy in front of the relay, or another service, may have answered.`,
  })
}

function reason(url: URL, code: string, cause: unknown): { readonly what?: string; readonly hint?: string } {
  const known = causes.find(({ codes }) => codes.includes(code))
  if (known !== undefined) return known
  const secure = url.protocol === 'https:' || url.protocol === 'wss:'
  const message = cause instanceof Error ? cause.message : ''
  if (secure && noTls.test(`${message} ${code.replaceAll('_', ' ')}`))
    return {
      what: 'what answers there speaks no TLS',
      hint: `If the relay has no TLS, its URL is ${httpOrigin(url).replace(/^https/, 'http')}.`,
    }
  if (secure && hungUp.includes(code) && message.includes('before secure TLS connection'))
    return {
      what: 'it hung up before TLS began',
      hint: `If the relay has no TLS, its URL is ${httpOrigin(url).replace(/^https/, 'http')}.`,
    }
  if (!secure && hungUp.includes(code))
    return {
      what: 'it hung up before it answered',
      hint: `If the relay speaks TLS, its URL is ${httpOrigin(url).replace(/^http/, 'https')}.`,
    }
  return {}
}

function httpOrigin({ origin }: URL): string {
  return origin.replace(/^ws/, 'http')
}
