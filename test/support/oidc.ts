// A real OpenID Connect provider (oidc-provider), in its own process: see oidc-main.ts.
import { fileURLToPath } from 'node:url'
import { freePort } from './net.ts'
import { start } from './process.ts'

export interface Person {
  readonly id: string
  readonly email: string
  readonly name: string
  readonly groups: readonly string[]
}

/** The three people of the demo and most tests. */
export const people: readonly Person[] = [
  { id: 'alice', email: 'alice@example.com', name: 'Alice Ash', groups: ['engineers'] },
  { id: 'bob', email: 'bob@example.com', name: 'Bob Birch', groups: ['dba'] },
  { id: 'carol', email: 'carol@example.com', name: 'Carol Cedar', groups: ['support'] },
]

export interface OidcProvider extends AsyncDisposable {
  readonly issuer: string
  readonly pid: number
  /** Does in the provider's pages what a person does in a browser, from the complete verification URL to the last page. */
  decide(completeUrl: string, person: string, verdict: 'allow' | 'deny'): Promise<void>
  /** Changes a person's groups, as an administrator of the provider would. */
  setGroups(person: string, groups: readonly string[]): Promise<void>
  /** Signs with a new key from now on and publishes only that. */
  rotateKeys(): Promise<void>
}

export interface OidcOptions {
  readonly people?: readonly Person[]
  /** Seconds. */
  readonly idTokenLifetime?: number
  readonly deviceCodeLifetime?: number
  readonly port?: number
}

export async function startOidc(options: OidcOptions = {}): Promise<OidcProvider> {
  const port = options.port ?? (await freePort())
  const main = fileURLToPath(new URL('./oidc-main.js', import.meta.url))
  const settings = {
    port,
    people: options.people ?? people,
    idTokenLifetime: options.idTokenLifetime ?? 900,
    deviceCodeLifetime: options.deviceCodeLifetime ?? 600,
  }
  const server = start(process.execPath, ['--no-warnings', main, JSON.stringify(settings)])
  await server.waitFor(/^ready$/m)
  const issuer = `http://127.0.0.1:${port}`
  const administer = async (path: string, body: object): Promise<void> => {
    const response = await fetch(`${issuer}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
  }
  return {
    issuer,
    pid: server.pid,
    decide: (completeUrl, person, verdict) => browse(completeUrl, person, verdict),
    setGroups: (person, groups) => administer('/test/groups', { person, groups }),
    rotateKeys: () => administer('/test/rotate', {}),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

/** A browser without a screen: follows redirects, keeps cookies, presses the one button that fits. */
export async function browse(completeUrl: string, person: string, verdict: 'allow' | 'deny'): Promise<void> {
  const cookies = new Map<string, string>()
  const visit = async (url: URL, form?: URLSearchParams): Promise<{ url: URL; html: string }> => {
    let next = url
    let body = form
    for (let hops = 0; hops < 20; hops += 1) {
      const response = await fetch(next, {
        method: body === undefined ? 'GET' : 'POST',
        redirect: 'manual',
        headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
        ...(body === undefined ? {} : { body }),
      })
      for (const cookie of response.headers.getSetCookie()) {
        const [pair = ''] = cookie.split(';')
        const at = pair.indexOf('=')
        cookies.set(pair.slice(0, at), pair.slice(at + 1))
      }
      const location = response.headers.get('location')
      if (location === null) return { url: next, html: await response.text() }
      next = new URL(location, next)
      body = undefined
    }
    throw new Error('the provider redirects in circles')
  }
  let page = await visit(new URL(completeUrl))
  for (let pages = 0; pages < 8; pages += 1) {
    const action = /<form[^>]*action="([^"]+)"/.exec(page.html)?.[1]
    if (action === undefined) return
    const fields = new URLSearchParams()
    for (const [, name = '', value = ''] of page.html.matchAll(
      /<input[^>]*type="hidden"[^>]*name="([^"]+)"[^>]*value="([^"]*)"/g,
    ))
      fields.set(name, value)
    if (page.html.includes('name="person"')) fields.set('person', person)
    const refuses = page.html.includes('name="abort"') && verdict === 'deny'
    if (refuses) fields.set('abort', 'yes')
    page = await visit(new URL(action.replaceAll('&amp;', '&'), page.url), fields)
    if (refuses) return
  }
  throw new Error('the provider shows forms without end')
}
