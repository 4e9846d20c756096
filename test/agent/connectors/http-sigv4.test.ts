// AWS Signature Version 4: what the agent signs, against a reckoning of its own.

import { createHash, createHmac, randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { awsCredential } from '@gate/agent/connectors/http/sigv4'
import { httpTarget } from '@gate/agent/http-target'
import { systemClock } from '@gate/shared/clock'
import t from 'tap'
import { request } from 'undici'
import { gateError, startFront, startService } from '../../support/http-connector.ts'

process.env['GATE_TEST_TOKEN'] = 'abc.def-ghi'

const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()
const sha256 = (bytes: string | Buffer): string => createHash('sha256').update(bytes).digest('hex')

/** What AWS computes of a request that it got, written from its description of the algorithm: the whole Authorization header. */
function expectedSignature(incoming: IncomingMessage, service: string, secret: string): string {
  const authorization = incoming.headers.authorization ?? ''
  const [, id = '', scope = '', names = ''] =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/([^,]+), SignedHeaders=([^,]+), /.exec(authorization) ?? []
  const [path = '', query = ''] = (incoming.url ?? '').split('?')
  const encode = (text: string): string =>
    [...Buffer.from(text)]
      .map(byte =>
        /[A-Za-z0-9._~-]/.test(String.fromCharCode(byte))
          ? String.fromCharCode(byte)
          : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
      )
      .join('')
  // S3 takes the object's key, all others the path as it was sent.
  const canonicalPath = path
    .split('/')
    .map(segment => encode(service === 's3' ? decodeURIComponent(segment) : segment))
    .join('/')
  const canonicalQuery = query
    .split('&')
    .filter(pair => pair !== '')
    .map(pair => pair.split('='))
    .map(([name = '', value = '']) => `${encode(decodeURIComponent(name))}=${encode(decodeURIComponent(value))}`)
    .sort()
    .join('&')
  const headers = names.split(';').map(name => `${name}:${String(incoming.headers[name]).trim().replace(/ +/g, ' ')}\n`)
  const canonical = [
    incoming.method,
    canonicalPath,
    canonicalQuery,
    headers.join(''),
    names,
    incoming.headers['x-amz-content-sha256'] ?? sha256(''),
  ].join('\n')
  const date = String(incoming.headers['x-amz-date'])
  const toSign = ['AWS4-HMAC-SHA256', date, scope, sha256(canonical)].join('\n')
  const key = scope.split('/').reduce<string | Buffer>((sofar, part) => hmac(sofar, part), `AWS4${secret}`)
  return `AWS4-HMAC-SHA256 Credential=${id}/${scope}, SignedHeaders=${names}, Signature=${hmac(key, toSign).toString('hex')}`
}

process.env['GATE_TEST_AWS_ID'] = 'AKIDEXAMPLE'
process.env['GATE_TEST_AWS_SECRET'] = 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY'
const aws = (service: string) => ({
  aws_sigv4: {
    region: 'us-east-1',
    service,
    access_key_id: { environment: 'GATE_TEST_AWS_ID' },
    secret_access_key: { environment: 'GATE_TEST_AWS_SECRET' },
    session_token: { environment: 'GATE_TEST_TOKEN' },
  },
})

t.test('SigV4: an independent reckoning of the signature comes to the same', async t => {
  for (const name of ['s3', 'execute-api']) {
    const body = randomBytes(300_000)
    let checked: { given: string; expected: string; headers: IncomingMessage['headers']; body: string } | undefined
    await using service = await startService((incoming, outgoing) => {
      const hash = createHash('sha256')
      incoming.on('data', chunk => hash.update(chunk as Buffer))
      incoming.on('end', () => {
        checked = {
          given: incoming.headers.authorization ?? '',
          expected: expectedSignature(incoming, name, process.env['GATE_TEST_AWS_SECRET'] ?? ''),
          headers: incoming.headers,
          body: hash.digest('hex'),
        }
        outgoing.end()
      })
    })
    await using front = await startFront({ url: service.url, credential: aws(name) })
    for (const [method, path] of [
      ['GET', '/'],
      ['GET', '/a%20b/c+d/e%2Bf/%C3%A9(1)*?b=2&a=1&list-type=2&prefix=a%2Fb%20c&empty='],
      ['PUT', "/bucket/key.with~odd_chars-'!"],
      ['POST', '/x?a=%25'],
    ] as const) {
      const answer = await request(`${front.url}${path}`, {
        method,
        headers: {
          authorization: 'AWS4-HMAC-SHA256 mine',
          'x-amz-date': '20000101T000000Z',
          'x-amz-security-token': 'mine',
          'x-amz-content-sha256': 'mine',
          'x-amz-acl': 'private',
          'content-type': 'text/plain; charset=utf-8',
        },
        ...(method === 'GET' ? {} : { body }),
      })
      t.equal(answer.statusCode, 200, await answer.body.text())
      t.equal(checked?.given, checked?.expected, `${name} ${method} ${path}`)
      t.match(
        checked?.given,
        /SignedHeaders=content-type;host;x-amz-acl;x-amz-content-sha256;x-amz-date;x-amz-security-token,/,
      )
      t.equal(checked?.headers['x-amz-security-token'], 'abc.def-ghi')
      t.equal(checked?.headers['x-amz-content-sha256'], checked?.body, 'the body is signed')
    }
  }
})

t.test('SigV4: that reckoning itself gives AWS’s known answer', async t => {
  const incoming = {
    method: 'GET',
    url: '/',
    headers: {
      host: 'example.amazonaws.com',
      'x-amz-date': '20150830T123600Z',
      authorization:
        'AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=',
    },
  } as unknown as IncomingMessage
  // get-vanilla of AWS's Signature Version 4 test suite.
  t.equal(
    expectedSignature(incoming, 'service', process.env['GATE_TEST_AWS_SECRET'] ?? '').split('Signature=')[1],
    '5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31',
  )
})

t.test('SigV4: S3 within TLS takes bodies as they stream; others are kept whole up to a limit', async t => {
  const s3 = httpTarget.parse({ name: 'x', protocol: 'http', url: 'https://s3.amazonaws.com', credential: aws('s3') })
  const credential = awsCredential(s3, aws('s3').aws_sigv4, systemClock)
  t.notOk(credential.signsBody)
  const signed = await credential.headers({ method: 'PUT', path: '/b/k', headers: [], body: undefined })
  t.equal(signed[signed.indexOf('x-amz-content-sha256') + 1], 'UNSIGNED-PAYLOAD')

  let bytes = 0
  await using service = await startService((incoming, outgoing) => {
    incoming.on('data', (chunk: Buffer) => {
      bytes += chunk.length
    })
    incoming.on('end', () => outgoing.end('ok'))
  })
  await using front = await startFront({ url: service.url, credential: aws('execute-api') })
  const most = await request(front.url, { method: 'POST', body: Buffer.alloc(8 * 1024 * 1024) })
  t.equal(await most.body.text(), 'ok')
  t.equal(bytes, 8 * 1024 * 1024)
  t.match(await gateError(await request(front.url, { method: 'POST', body: Buffer.alloc(8 * 1024 * 1024 + 1) })), {
    status: 503,
    header: 'ERR_GATE_LIMIT',
  })
  t.match(
    await gateError(
      await request(front.url, { method: 'PUT', body: 'x', headers: { 'content-encoding': 'aws-chunked' } }),
    ),
    { status: 502, header: 'ERR_GATE_PROTOCOL' },
  )
  for (const path of [
    '/a/./b',
    '/b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=ab',
    '/b/k?a=1&%58-amz-credential=mine',
    '/b/k?AWSAccessKeyId=mine&Signature=x&Expires=1',
    '/b/k?X-Amz-Security-Token=mine',
  ])
    await t.rejects(
      credential.headers({ method: 'GET', path, headers: [], body: undefined }),
      { code: 'ERR_GATE_PROTOCOL' },
      path,
    )
})
