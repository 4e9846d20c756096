// Which requests a local port takes at all: from programs of its user and from pages that it served itself. Pure.
import { GateError } from '@gate/shared/errors'
import { overrideFields } from '@gate/shared/http-command'
import type { Fields } from './fields.ts'

/** Names by which a local port is reached. A page elsewhere can make any other name lead here (DNS rebinding). */
function isLocalName(name: string, target: string): boolean {
  return ['localhost', '127.0.0.1', '[::1]', `${target}.localhost`].includes(name)
}

/** Fetch metadata's words for requests that a page made, or that brought the person here. @see https://www.w3.org/TR/fetch-metadata/ */
const ownSites: ReadonlySet<string> = new Set(['same-origin', 'none'])

/**
 * Refuses requests that other sites' pages send through the person's browser, and those that hide what they ask for.
 * @throws {GateError} ERR_GATE_FORBIDDEN, ERR_GATE_PROTOCOL.
 */
export function admit(method: string, authority: string | undefined, fields: Fields, target: string): void {
  const host = fields.one('host')
  if (host === undefined || host === '') throw new GateError('ERR_GATE_PROTOCOL', 'a request without a Host')
  if (authority !== undefined && authority !== host.toLowerCase())
    throw new GateError('ERR_GATE_PROTOCOL', 'the request is for one host by its URL and for another by its Host')
  const name = /^(\[[0-9a-f:]+\]|[^:[\]]+)(?::\d{1,5})?$/i.exec(host)?.[1]?.toLowerCase() ?? ''
  if (!isLocalName(name, target)) {
    throw new GateError('ERR_GATE_FORBIDDEN', `this port is not called ${host.slice(0, 100)}`, {
      hint: 'Use localhost or 127.0.0.1: other names could be led here by a web page.',
    })
  }
  const origin = fields.one('origin')
  const site = fields.one('sec-fetch-site')
  // A page whose Referrer-Policy is no-referrer has its forms sent so (Fetch, section 3.2): no page can say whose site it is of.
  const isUntold = origin === 'null' && site === 'same-origin'
  if (origin !== undefined && !isUntold && origin.toLowerCase() !== `http://${host.toLowerCase()}`) throw foreign()
  if (site !== undefined && !ownSites.has(site) && !isVisit(method, fields)) throw foreign()
  const override = overrideFields.find(header => fields.one(header) !== undefined)
  if (override !== undefined)
    throw new GateError('ERR_GATE_PROTOCOL', `the request has ${override}`, { hint: 'Send the method itself.' })
}

/** Somebody followed a link: the page that has it learns nothing of the answer. */
function isVisit(method: string, fields: Fields): boolean {
  // What is fetched ahead nobody followed.
  if (fields.one('sec-purpose') !== undefined || fields.one('purpose') !== undefined) return false
  return method === 'GET' && fields.one('sec-fetch-mode') === 'navigate' && fields.one('sec-fetch-dest') === 'document'
}

function foreign(): GateError {
  return new GateError('ERR_GATE_FORBIDDEN', "another site's page sent this request", {
    hint: 'The port serves programs, and pages that came from it.',
  })
}
