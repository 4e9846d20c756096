// The process of the OpenID Connect provider for tests and the demo: oidc-provider with people instead of passwords.
import { createPrivateKey, generateKeyPairSync, randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import Provider, {
  type Configuration,
  errors,
  interactionPolicy,
  type JWK,
  type KoaContextWithOIDC,
} from 'oidc-provider'
import type { Person } from './oidc.ts'

interface Settings {
  readonly port: number
  readonly people: readonly Person[]
  readonly idTokenLifetime: number
  readonly deviceCodeLifetime: number
}

const settings = JSON.parse(process.argv[2] ?? '{}') as Settings
const issuer = `http://127.0.0.1:${settings.port}`
const people = new Map(settings.people.map(person => [person.id, person]))
const MAX_BODY_BYTES = 64 * 1024

/**
 * By way of a text: to export a key that was just made, Node.js 20 locks it, and when the collector then finds the job that made
 * it, its destructor waits for the same lock for ever. It happened once in thousands of starts.
 */
function newKey(): JWK {
  const { privateKey } = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  })
  return {
    ...createPrivateKey(privateKey).export({ format: 'jwk' }),
    kid: randomUUID(),
    use: 'sig',
    alg: 'ES256',
  } as JWK
}

const escapeHtml = (text: string): string => text.replace(/[&<>"]/g, character => `&#${character.charCodeAt(0)};`)

const page = (title: string, body: string): string => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${title}</title><meta name="viewport" content="width=device-width">
<style>body{font:1rem/1.5 system-ui;max-width:32rem;margin:4rem auto;padding:0 1rem}button{font:inherit;padding:.5rem 1rem;margin:.25rem}code{font-size:1.5rem}</style>
</head><body><h1>${title}</h1>${body}</body></html>`

/** Several people use one browser here: whoever logged in before must not answer for the next. */
function askEachTime(): interactionPolicy.DefaultPolicy {
  const policy = interactionPolicy.base()
  const { Check } = interactionPolicy
  const nobodyChosen = new Check('nobody_chosen', 'each login asks who it is', ctx =>
    ctx.oidc.result?.login === undefined ? Check.REQUEST_PROMPT : Check.NO_NEED_TO_PROMPT,
  )
  policy.get('login')?.checks.add(nobodyChosen)
  return policy
}

const configuration = (keys: JWK[]): Configuration => ({
  clients: [
    {
      client_id: 'gate-cli',
      client_name: 'gate',
      token_endpoint_auth_method: 'none',
      application_type: 'native',
      grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'],
      response_types: [],
      redirect_uris: [],
      id_token_signed_response_alg: 'ES256',
    },
  ],
  jwks: { keys },
  cookies: { keys: ['a test provider has nothing to protect'] },
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'], groups: ['groups'] },
  scopes: ['openid', 'email', 'profile', 'groups', 'offline_access'],
  // Everything in the ID token, also on refresh: that is where the relay reads groups.
  conformIdTokenClaims: false,
  rotateRefreshToken: true,
  issueRefreshToken: async (_ctx, client, code) =>
    client.grantTypeAllowed('refresh_token') && code.scopes.has('offline_access'),
  ttl: {
    IdToken: settings.idTokenLifetime,
    DeviceCode: settings.deviceCodeLifetime,
    AccessToken: 600,
    RefreshToken: 86_400,
    Interaction: 600,
    Session: 3_600,
    Grant: 86_400,
  },
  features: {
    devInteractions: { enabled: false },
    revocation: { enabled: true },
    deviceFlow: {
      enabled: true,
      userCodeInputSource: async (ctx: KoaContextWithOIDC, form: string) => {
        ctx.body = page(
          'Which code does gate show?',
          `${form}<button type="submit" form="op.deviceInputForm">Continue</button>`,
        )
      },
      userCodeConfirmSource: async (
        ctx: KoaContextWithOIDC,
        form: string,
        _client: unknown,
        _device: unknown,
        userCode: string,
      ) => {
        ctx.body = page(
          'Is this your login?',
          `<p>A terminal wants to log in to gate. Go on only if it is yours and shows</p><p><code>${escapeHtml(userCode)}</code></p>${form}
           <button type="submit" form="op.deviceConfirmForm" autofocus>Yes, it is mine</button>
           <button type="submit" form="op.deviceConfirmForm" name="abort" value="yes">No</button>`,
        )
      },
      successSource: async (ctx: KoaContextWithOIDC) => {
        ctx.body = page('Done', '<p>You are logged in. Go back to your terminal.</p>')
      },
    },
  },
  interactions: { policy: askEachTime(), url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
  findAccount: async (_ctx, id) => {
    const person = people.get(id)
    if (person === undefined) return undefined
    return {
      accountId: id,
      claims: async () => ({
        sub: id,
        email: person.email,
        email_verified: true,
        name: person.name,
        groups: [...person.groups],
      }),
    }
  },
  renderError: async (ctx, out, error) => {
    ctx.type = 'html'
    ctx.body = page(
      'That did not work',
      `<p>${escapeHtml(out.error)}: ${escapeHtml(out.error_description ?? error.message)}</p>`,
    )
  },
})

function createProvider(keys: JWK[]): Provider {
  const provider = new Provider(issuer, configuration(keys))
  provider.use(async (ctx, next) => {
    await next()
    const body = ctx.body as { interval?: number } | undefined
    // RFC 8628 lets the provider set the pace; the default of 5 seconds makes tests long.
    if (ctx.oidc?.route === 'device_authorization' && typeof body === 'object' && ctx.status === 200) body.interval = 1
  })
  provider.use(async (ctx, next) => {
    const match = /^\/interaction\/[^/]+(\/login)?$/.exec(ctx.path)
    if (match === null) return next()
    const details = await provider.interactionDetails(ctx.req, ctx.res)
    if (details.prompt.name === 'consent') return consent(provider, ctx, details)
    if (match[1] === undefined) {
      const buttons = [...people.values()].map(
        person =>
          `<button name="person" value="${escapeHtml(person.id)}">${escapeHtml(person.name)} <small>(${escapeHtml(person.groups.join(', '))})</small></button>`,
      )
      ctx.type = 'html'
      ctx.body = page(
        'Who are you?',
        `<form method="post" action="/interaction/${details.uid}/login">${buttons.join('<br>')}</form>`,
      )
      return
    }
    const form = new URLSearchParams(await bodyOf(ctx.req))
    await provider.interactionFinished(
      ctx.req,
      ctx.res,
      { login: { accountId: form.get('person') ?? '' } },
      { mergeWithLastSubmission: false },
    )
    ctx.respond = false
  })
  return provider
}

type Details = Awaited<ReturnType<Provider['interactionDetails']>>

/** Whoever confirmed the code has consented. */
async function consent(
  provider: Provider,
  ctx: Pick<KoaContextWithOIDC, 'req' | 'res' | 'respond'>,
  details: Details,
): Promise<void> {
  const { accountId } = details.session ?? {}
  if (accountId === undefined) throw new errors.AccessDenied('nobody is logged in')
  const grant = new provider.Grant({ accountId, clientId: details.params['client_id'] as string })
  grant.addOIDCScope('openid email profile groups offline_access')
  await provider.interactionFinished(
    ctx.req,
    ctx.res,
    { consent: { grantId: await grant.save() } },
    { mergeWithLastSubmission: true },
  )
  ctx.respond = false
}

async function bodyOf(request: NodeJS.ReadableStream): Promise<string> {
  let text = ''
  for await (const chunk of request) {
    text += String(chunk)
    if (text.length > MAX_BODY_BYTES) throw new Error('too long')
  }
  return text
}

let handler = createProvider([newKey()]).callback()

createServer((request, response) => {
  const administer = request.method === 'POST' && request.url?.startsWith('/test/')
  if (!administer) {
    void handler(request, response)
    return
  }
  bodyOf(request)
    .then(text => {
      if (request.url === '/test/groups') {
        const { person, groups } = JSON.parse(text) as { person: string; groups: string[] }
        const known = people.get(person)
        if (known !== undefined) people.set(person, { ...known, groups })
      } else handler = createProvider([newKey()]).callback()
      response.end('{}')
    })
    .catch((error: unknown) => {
      response.statusCode = 500
      response.end(String(error))
    })
}).listen(settings.port, '127.0.0.1', () => process.stdout.write('ready\n'))
