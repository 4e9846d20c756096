// Keys that clients have of their own beside Authorization and Cookie, by the names that services give them. Pure.
import { GateError } from '@gate/shared/errors'
import { canonical } from './headers.ts'

/** Ends of names, in the form of `canonical`: X-API-Key, access_token, PRIVATE-TOKEN, Ocp-Apim-Subscription-Key, X-Vault-Token, … */
const key = new RegExp(
  `^(?:.*-)?(?:${[
    'api-?(?:key|token|secret)',
    'auth-?(?:key|token)',
    'access-?(?:key|token)',
    '(?:session|security|private|job|deploy|user|bearer|oauth|vault|consul|nomad|figma|circle|plex|emby)-?token',
    'admin-?(?:key|token|secret)',
    '(?:subscription|functions|master|app|application)-?key',
    'metabase-session',
  ].join('|')})$`,
)
/** A signed URL says who asks as well. */
const signature = /^(?:x-(?:amz|goog)-(?:credential|signature)|awsaccesskeyid|googleaccessid)$/
/** Whose rights are asked for: of GitLab, Kubernetes and what is like it, Elasticsearch. */
const impersonation = /^(?:sudo|impersonate-.+|x-impersonate(?:-.+)?|x-run-?as(?:-.+)?|es-security-runas-user)$/

/** Whether a header or parameter of this name, in the form of `canonical`, says who asks. */
export function isClientKey(name: string): boolean {
  return key.test(name) || signature.test(name) || impersonation.test(name)
}

/** Whether it is kept from the service, in the form of `canonical`; what `passed` names is not. */
export function isWithheldKey(name: string, passed: readonly string[]): boolean {
  return isClientKey(name) && !passed.some(each => canonical(each) === name)
}

/**
 * Refuses keys in the query: to take one out would be to send another path than was decided. `passed` are names that may stand
 * there all the same.
 * @throws {GateError} ERR_GATE_PROTOCOL.
 */
export function refuseClientKeys(path: string, passed: readonly string[]): void {
  const mark = path.indexOf('?')
  if (mark < 0) return
  // Some servers take a semicolon for an ampersand, and `a[]` for `a`.
  const names = [...new URLSearchParams(path.slice(mark + 1).replaceAll(';', '&')).keys()]
  const found = names.find(name => isWithheldKey(canonical(name).replace(/^-+|-+$/g, ''), passed))
  if (found === undefined) return
  const name = found.slice(0, MAX_SHOWN)
  throw new GateError('ERR_GATE_PROTOCOL', `the query has ${name}, and the agent logs in to this target`, {
    hint: `Leave it out. Whoever runs the agent can let it through: pass: [${name}].`,
  })
}

const MAX_SHOWN = 100
