// The credential of a target, as its configuration says: a token, a password, a header of any name, or something made anew.
import type { Clock } from '@gate/shared/clock'
import { GateError } from '@gate/shared/errors'
import type { HttpTarget } from '../../http-target.ts'
import { cachedSecret } from './cached-secret.ts'
import type { Credential } from './credential.ts'
import { TokenSource } from './oauth2.ts'
import { awsCredential } from './sigv4.ts'

const none: Credential = { owned: [], signsBody: false, headers: async () => [], refused: () => {} }

export function credentialOf(target: HttpTarget, clock: Clock): Credential {
  const { name, credential } = target
  if (credential === undefined) return none
  if ('oauth2' in credential) {
    const tokens = new TokenSource(name, credential.oauth2, cachedSecret(credential.oauth2.client_secret, clock), clock)
    const bearer = header('Authorization', async () => sendable(name, `Bearer ${await tokens.token()}`))
    return { ...bearer, refused: ([, value = '']) => tokens.refused(value.slice('Bearer '.length)) }
  }
  if ('aws_sigv4' in credential) return awsCredential(target, credential.aws_sigv4, clock)
  if ('bearer' in credential) {
    const read = cachedSecret(credential.bearer, clock)
    return header('Authorization', async () => sendable(name, `Bearer ${await read()}`))
  }
  if ('basic' in credential) {
    const { user, password } = credential.basic
    const read = cachedSecret(password, clock)
    return header('Authorization', async () => `Basic ${Buffer.from(`${user}:${await read()}`).toString('base64')}`)
  }
  const read = cachedSecret(credential.header.value, clock)
  return header(credential.header.name, async () => sendable(name, await read()))
}

function header(name: string, value: () => Promise<string>): Credential {
  return {
    owned: [name.toLowerCase()],
    signsBody: false,
    headers: async () => [name, await value()],
    refused: () => {},
  }
}

/** @throws {GateError} ERR_GATE_TARGET_LOGIN for what no header can hold: a file with two lines, for example. */
function sendable(name: string, value: string): string {
  if (/^[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?$/.test(value)) return value
  throw new GateError('ERR_GATE_TARGET_LOGIN', `the credential of ${name} is empty, or cannot stand in a header`)
}
