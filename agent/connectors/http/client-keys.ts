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

/** Names of parameters that could be anything: what stands in them counts. */
const anyName = /^(?:token|key|sig|signature|jwt|auth|pat)$/
/** Keys of well-known services, and tokens that say who they are of (RFC 7519). */
const anyKey =
  /^(?:bearer[ +])?(?:eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*$|AIza[\w-]{35}$|ya29\.|gh[pousr]_\w{16}|github_pat_|gl(?:pat|dt|rt|ptt)-|xox[a-z]-|[rs]k[_-][\w-]{16}|hv[sbr]\.|npm_\w{16}|pypi-|dckr_pat_)/i
/** What stands beside the `sig` of a shared access signature (Azure). */
const ofSharedAccess: ReadonlySet<string> = new Set(['sv', 'se', 'skn', 'sr'])

/** Whether a parameter of this name, in the form of `canonical`, may be let through by it. */
export function mayBeKey(name: string): boolean {
  return isClientKey(name) || anyName.test(name)
}

/** Whether a parameter whose name could be anything has a key in it. */
function holdsKey(name: string, value: string, names: ReadonlySet<string>): boolean {
  if (!anyName.test(name)) return false
  return anyKey.test(value) || (name === 'sig' && [...ofSharedAccess].some(each => names.has(each)))
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
  const members = [...new URLSearchParams(path.slice(mark + 1).replaceAll(';', '&'))]
  const plain = (name: string): string => canonical(name).replace(/^-+|-+$/g, '')
  const names = new Set(members.map(([name]) => plain(name)))
  const isPassed = (name: string): boolean => passed.some(each => canonical(each) === name)
  const found = members.find(
    ([name, value]) =>
      isWithheldKey(plain(name), passed) || (holdsKey(plain(name), value, names) && !isPassed(plain(name))),
  )
  if (found === undefined) return
  const name = found[0].slice(0, MAX_SHOWN)
  throw new GateError('ERR_GATE_PROTOCOL', `the query has ${name}, and the agent logs in to this target`, {
    hint: `Leave it out. Whoever runs the agent can let it through: pass: [${name}].`,
  })
}

const MAX_SHOWN = 100
