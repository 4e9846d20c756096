// Certificates for tests: an authority and what it signs, made anew each time.
import 'reflect-metadata'
import { webcrypto } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as x509 from '@peculiar/x509'

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
const DAY_MS = 86_400_000

export interface KeyPair {
  readonly certificate: string
  readonly key: string
}

export interface Authority extends KeyPair {
  /** A server or client certificate; files are written into the directory. */
  issue(name: string, options?: { readonly hosts?: readonly string[] }): Promise<KeyPair>
}

/** Makes an authority whose files, and those of what it signs, are in the directory. */
export async function createAuthority(directory: string): Promise<Authority> {
  x509.cryptoProvider.set(webcrypto as never)
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const dates = { notBefore: new Date(Date.now() - DAY_MS), notAfter: new Date(Date.now() + DAY_MS) }
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: '01',
    name: 'CN=test authority',
    ...dates,
    keys: keys as never,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, 1, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
    ],
  })
  let serial = 1
  const write = async (name: string, certificate: x509.X509Certificate, key: webcrypto.CryptoKey): Promise<KeyPair> => {
    const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key)).toString('base64')
    const files = { certificate: join(directory, `${name}.crt`), key: join(directory, `${name}.key`) }
    await writeFile(files.certificate, `${certificate.toString('pem')}\n`)
    await writeFile(
      files.key,
      `-----BEGIN PRIVATE KEY-----\n${pkcs8.replace(/.{64}/g, '$&\n')}\n-----END PRIVATE KEY-----\n`,
      { mode: 0o600 },
    )
    return files
  }
  const files = await write('authority', root, keys.privateKey)
  return {
    ...files,
    issue: async (name, { hosts = ['127.0.0.1', 'localhost'] } = {}) => {
      const own = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
      serial += 1
      const certificate = await x509.X509CertificateGenerator.create({
        serialNumber: String(serial).padStart(2, '0'),
        subject: `CN=${name}`,
        issuer: root.subject,
        ...dates,
        publicKey: own.publicKey as never,
        signingKey: keys.privateKey as never,
        signingAlgorithm: algorithm,
        extensions: [
          new x509.BasicConstraintsExtension(false, undefined, true),
          new x509.SubjectAlternativeNameExtension(
            hosts.map(value => ({ type: /^[\d.:]+$/.test(value) ? ('ip' as const) : ('dns' as const), value })),
          ),
        ],
      })
      return write(name, certificate, own.privateKey)
    },
  }
}
