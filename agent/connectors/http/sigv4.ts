// AWS Signature Version 4 over each request.
//
// aws4fetch: one package of one file without dependencies, 3 kB of code; @smithy/signature-v4 brings @smithy/core and needs
// @aws-crypto beside it. It signs as S3 wants it (one encoding of the path) and as all others do (two).
import { createHash } from 'node:crypto'
import type { Clock } from '@gate/shared/clock'
import { GateError } from '@gate/shared/errors'
import { AwsV4Signer } from 'aws4fetch'
import type { AwsSigV4Credential, HttpTarget } from '../../http-target.ts'
import { cachedSecret } from './cached-secret.ts'
import type { Credential, Outgoing } from './credential.ts'
import { valuesOf } from './headers.ts'

/** Beside Host and the signature's own: what S3 and others insist on, and nothing that somebody on the way may change. */
const signed = /^(content-type|content-md5|x-amz-.*)$/i
const owned = ['authorization', 'x-amz-date', 'x-amz-security-token', 'x-amz-content-sha256']
const UNSIGNED_PAYLOAD = 'UNSIGNED-PAYLOAD'

/** @see https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html */
export function awsCredential(target: HttpTarget, config: AwsSigV4Credential, clock: Clock): Credential {
  const { origin, protocol } = new URL(target.url)
  const read = {
    accessKeyId: cachedSecret(config.access_key_id, clock),
    secretAccessKey: cachedSecret(config.secret_access_key, clock),
    sessionToken: config.session_token === undefined ? undefined : cachedSecret(config.session_token, clock),
  }
  // S3 alone takes bodies that are not signed, and only inside TLS.
  const signsBody = config.service !== 's3' || protocol !== 'https:'
  return {
    owned,
    signsBody,
    refused: () => {},
    headers: async request => {
      refuseSignedChunks(request)
      refuseSignedQuery(request)
      const signer = new AwsV4Signer({
        method: request.method,
        url: signableUrl(origin, request.path, config.service),
        headers: [
          ...pairs(request).filter(([name]) => signed.test(name)),
          ['x-amz-content-sha256', signsBody ? sha256(request.body) : UNSIGNED_PAYLOAD],
        ],
        accessKeyId: await read.accessKeyId(),
        secretAccessKey: await read.secretAccessKey(),
        ...(read.sessionToken === undefined ? {} : { sessionToken: await read.sessionToken() }),
        service: config.service,
        region: config.region,
        datetime: new Date(clock.now()).toISOString().replace(/[:-]|\.\d{3}/g, ''),
        // Its own list leaves out Content-Type, which S3 wants signed when it is there.
        allHeaders: true,
      })
      const { headers } = await signer.sign()
      return owned.flatMap(name => {
        const value = headers.get(name)
        return value === null ? [] : [name, value]
      })
    },
  }
}

/** The signature is made over the path as `URL` writes it: one that it would change cannot be signed as it is sent. */
function signableUrl(origin: string, path: string, service: string): string {
  const { pathname, search } = new URL(origin + path)
  if (pathname + search !== path)
    throw new GateError('ERR_GATE_PROTOCOL', 'the path cannot be signed as it is: it is not in its normal form')
  // The signer takes a plus in a path for a space where the service is S3, which does not.
  return origin + (service === 's3' ? pathname.replaceAll('+', '%2B') : pathname) + search
}

/** Chunks that the client signed are signed with a key that the service does not know. */
function refuseSignedChunks({ headers }: Outgoing): void {
  if (!valuesOf(headers, 'content-encoding').some(value => /\baws-chunked\b/i.test(value))) return
  throw new GateError('ERR_GATE_PROTOCOL', 'a body in aws-chunked form cannot be signed anew', {
    hint: 'Let the client send it plain: payload_signing_enabled and request_checksum_calculation of the AWS CLI say how.',
  })
}

/** Of a presigned URL, of which S3 has an older form. */
const signsQuery = /^(?:x-amz-(?:algorithm|credential|signature|security-token)|awsaccesskeyid)$/

/** Who signs a URL says who asks: services differ in which of two signatures counts. */
function refuseSignedQuery({ path }: Outgoing): void {
  const mark = path.indexOf('?')
  if (mark < 0) return
  const names = [...new URLSearchParams(path.slice(mark)).keys()]
  if (!names.some(name => signsQuery.test(name.toLowerCase()))) return
  throw new GateError('ERR_GATE_PROTOCOL', 'the URL is signed already, and the agent signs what goes to this target', {
    hint: 'Send it without the X-Amz parameters of a presigned URL.',
  })
}

function pairs({ headers }: Outgoing): [string, string][] {
  const found: [string, string][] = []
  for (let index = 0; index + 1 < headers.length; index += 2)
    found.push([headers[index] ?? '', headers[index + 1] ?? ''])
  return found
}

function sha256(body: Buffer | undefined): string {
  return createHash('sha256')
    .update(body ?? '')
    .digest('hex')
}
