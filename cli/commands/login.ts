// gate login, logout, whoami.
import { createInterface } from 'node:readline/promises'
import { asGateError, GateError } from '@gate/shared/errors'
import * as z from 'zod'
import { type App, type Connected, connectApp, interruptible } from '../app.ts'
import { Credentials, sessionAnswer } from '../credentials.ts'
import { openKeychain } from '../keychain.ts'
import { changed, type Pin, pinnedTls, probe } from '../pin.ts'
import { findProfile, type Profile, writeProfile } from '../profile.ts'
import { type DevicePrompt, deviceLogin, revoke } from '../provider.ts'
import { RelayClient } from '../relay-client.ts'
import { printable, span } from '../text.ts'
import { utc } from '../when.ts'

export interface LoginOptions {
  readonly relay?: string
  readonly issuer?: string
  readonly fingerprint?: string
  readonly browser: boolean
  readonly insecure?: boolean
  readonly json?: boolean
}

const discovery = z.object({
  product: z.literal('gate'),
  version: z.number(),
  issuers: z.array(z.object({ issuer: z.string(), clientId: z.string(), scopes: z.array(z.string()) })).min(1),
})

export async function login(app: App, options: LoginOptions): Promise<void> {
  const known = await findProfile(app.config)
  const relay = relayUrl(options.relay ?? app.config.relay ?? known?.relay, options.insecure === true)
  const pin = await pinOf(app, relay, known?.relay === relay.origin ? known.pin : undefined, options.fingerprint)
  const client = new RelayClient(relay.origin, pinnedTls(relay.origin, pin))
  try {
    const found = await client.call({ method: 'GET', path: '/.well-known/gate' }, discovery)
    const issuer = chooseIssuer(found.issuers, options.issuer)
    const profile: Profile = {
      relay: relay.origin,
      ...(pin === undefined ? {} : { pin }),
      issuer: issuer.issuer,
      clientId: issuer.clientId,
    }
    const tokens = await interruptible(signal =>
      deviceLogin(issuer.issuer, issuer.clientId, issuer.scopes, prompt => showPrompt(app, prompt, options), signal),
    )
    const keychain = await openKeychain(app.config.home, app.config.keychain)
    const kept = await new Credentials(app.config, profile, keychain, client, app.clock).open(tokens)
    await writeProfile(app.config, profile)
    if (options.json === true)
      return app.print(JSON.stringify({ relay: profile.relay, subject: kept.subject, endsMs: kept.endsMs }))
    const who = kept.subject.email ?? kept.subject.id
    app.print(`${app.style.good('✓')} logged in to ${profile.relay} as ${app.style.bold(printable(who))}`)
    app.print(
      app.style.dim(
        `  groups: ${printable(kept.subject.groups.join(', ')) || 'none'}; at the latest until ${utc(kept.endsMs)}`,
      ),
    )
    app.print(app.style.dim('  gate targets shows what you may open'))
  } finally {
    await client.close()
  }
}

function relayUrl(text: string | undefined, insecure: boolean): URL {
  if (text === undefined)
    throw new GateError('ERR_GATE_USAGE', 'which relay?', { hint: 'Run: gate login --relay https://YOUR-RELAY' })
  let url: URL
  try {
    url = new URL(text.includes('://') ? text : `https://${text}`)
  } catch (cause) {
    throw new GateError('ERR_GATE_USAGE', `"${text}" is no URL`, { cause })
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    throw new GateError('ERR_GATE_USAGE', `${url.protocol} is not https:`)
  const loopback = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url.hostname)
  if (url.protocol === 'http:' && !loopback && !insecure) {
    throw new GateError('ERR_GATE_USAGE', `${url.origin} is not encrypted and not on this machine`, {
      hint: 'Use https, or say --insecure.',
    })
  }
  return url
}

/** The pin for this relay: the known one, or what the person confirms at first use. */
async function pinOf(
  app: App,
  relay: URL,
  known: Pin | undefined,
  fingerprint: string | undefined,
): Promise<Pin | undefined> {
  if (relay.protocol === 'http:') return undefined
  if (known !== undefined && (fingerprint === undefined || fingerprint === known.fingerprint)) return known
  const found = await probe(relay)
  if (fingerprint !== undefined) {
    if (found.fingerprint !== fingerprint) throw changed(relay.origin, fingerprint, found.fingerprint)
    return found
  }
  if (found.certificate === undefined) return found
  app.note(`No authority that this machine trusts vouches for ${relay.origin}.`)
  app.note(`Its key has the fingerprint ${app.style.bold(found.fingerprint)}`)
  if (
    app.config.interactive &&
    (await confirm('Is this the fingerprint that whoever runs the relay told you? (yes/no) '))
  )
    return found
  throw new GateError('ERR_GATE_RELAY_CHANGED', `the certificate of ${relay.origin} is not trusted`, {
    hint: `Run: gate login --relay ${relay.origin} --fingerprint ${found.fingerprint}`,
  })
}

/** @throws {GateError} ERR_GATE_CANCELLED at Ctrl-C, and where the input ends without an answer. */
async function confirm(question: string): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  let answer: string | undefined
  // Ctrl-C also rejects the question; the end of the input leaves it pending for ever.
  const closed = new Promise<void>(resolve => terminal.once('close', resolve))
  const asked = terminal.question(question).then(
    text => {
      answer = text
    },
    () => {},
  )
  await Promise.race([asked, closed])
  terminal.close()
  if (answer !== undefined) return /^y(es)?$/i.test(answer.trim())
  // The question still stands on the line.
  process.stderr.write('\n')
  throw new GateError('ERR_GATE_CANCELLED', 'the login was given up')
}

function chooseIssuer<T extends { issuer: string }>(issuers: readonly T[], wanted: string | undefined): T {
  const found = wanted === undefined ? issuers[0] : issuers.find(({ issuer }) => issuer === wanted)
  if (found !== undefined && (issuers.length === 1 || wanted !== undefined)) return found
  throw new GateError('ERR_GATE_USAGE', 'this relay knows several identity providers', {
    hint: `Add --issuer with one of: ${issuers.map(({ issuer }) => issuer).join(', ')}`,
  })
}

function showPrompt(app: App, prompt: DevicePrompt, { browser, json }: LoginOptions): void {
  const url = prompt.completeUrl ?? prompt.url
  if (json === true) {
    app.print(
      JSON.stringify({
        device: {
          url: prompt.url,
          completeUrl: prompt.completeUrl,
          userCode: prompt.userCode,
          expiresInSeconds: prompt.expiresInSeconds,
        },
      }),
    )
    return
  }
  app.note(`Open ${app.style.bold(printable(url))}`)
  app.note(
    `and check that it shows the code ${app.style.bold(printable(prompt.userCode))} (good for ${span(prompt.expiresInSeconds * 1000)})`,
  )
  app.note(app.style.dim('Waiting for you there… Ctrl-C gives up.'))
  if (!browser || !app.config.canOpenBrowser) return
  // Only web pages: the URL comes from the provider.
  if (!/^https?:\/\//.test(url)) return
  import('open')
    .then(({ default: open }) => open(url))
    .catch(() => app.note('No browser could be started; open the page yourself.'))
}

export async function logout(app: App, { json }: { readonly json?: boolean }): Promise<void> {
  await using connected = await connectApp(app)
  const { credentials, client, profile } = connected
  const kept = await credentials.find()
  if (kept !== undefined) {
    const ended = await Promise.allSettled([
      client.call({ method: 'DELETE', path: '/v1/session', token: kept.token }, z.object({ ended: z.boolean() })),
      kept.refreshToken === undefined ? undefined : revoke(profile.issuer, profile.clientId, kept.refreshToken),
    ])
    await credentials.forget()
    for (const result of ended) {
      if (result.status === 'rejected')
        app.note(
          `warning: ${asGateError(result.reason, 'ERR_GATE_UNAUTHENTICATED', 'the identity provider could not be told').message}`,
        )
    }
  }
  app.print(
    json === true ? JSON.stringify({ loggedOut: true }) : `${app.style.good('✓')} logged out of ${profile.relay}`,
  )
}

export async function whoami(app: App, { json }: { readonly json?: boolean }): Promise<void> {
  await using connected = await connectApp(app)
  const { client, keychain, profile } = connected
  const { subject, expiresMs, endsMs } = await ask(connected, client)
  if (json === true) {
    return app.print(JSON.stringify({ relay: profile.relay, subject, expiresMs, endsMs, keptIn: keychain.description }))
  }
  app.print(
    `${app.style.bold(printable(subject.email ?? subject.id))}${subject.name === undefined ? '' : ` (${printable(subject.name)})`}`,
  )
  app.print(`  groups    ${printable(subject.groups.join(', ')) || 'none'}`)
  app.print(`  subject   ${printable(subject.id)}`)
  app.print(`  relay     ${profile.relay}`)
  app.print(`  login     renewed in ${span(expiresMs - app.clock.now())}, ends in ${span(endsMs - app.clock.now())}`)
  app.print(`  kept in   ${keychain.description}`)
}

async function ask(
  { credentials }: Connected,
  client: RelayClient,
): Promise<Omit<z.infer<typeof sessionAnswer>, 'token'>> {
  return client.call(
    { method: 'GET', path: '/v1/session', token: await credentials.token() },
    sessionAnswer.omit({ token: true }),
  )
}
