// What the keys of well-known services look like: a fixed beginning, an alphabet, a length. Pure data.

export interface Shape {
  /** What each of these keys begins with. */
  readonly prefix: string
  /** Which character of the prefix to look for: one that is rare in prose. */
  readonly anchor: number
  /** The characters after the prefix. */
  readonly alphabet: Alphabet
  readonly shortest: number
  readonly longest: number
  /** Whether a prefix that is also the beginning of words needs letters and digits after it. */
  readonly mixed: boolean
}

export type Alphabet = 'alphanumeric' | 'token' | 'hex' | 'upper' | 'dotted' | 'path'

/** Where a service promises no length. Only for alphabets whose tokens have one beginning: others would be read anew from each. */
const ANY = Number.POSITIVE_INFINITY

const ending = (prefix: string, alphabet: Alphabet, shortest: number, longest = ANY, mixed = false): Shape => ({
  prefix,
  anchor: prefix.length - 1,
  alphabet,
  shortest,
  longest,
  mixed,
})

/** The last character of these prefixes is their sign: `_`, `-` or `.`. */
const signed: readonly Shape[] = [
  ...['p', 'o', 'u', 's', 'r'].map(kind => ending(`gh${kind}_`, 'alphanumeric', 36, 255)), // GitHub
  ending('github_pat_', 'token', 50, 255),
  ...['glpat-', 'gldt-', 'glrt-', 'glptt-'].map(prefix => ending(prefix, 'token', 20, 128)), // GitLab
  ...['xoxb-', 'xoxp-', 'xoxa-', 'xoxr-', 'xoxs-', 'xoxe-', 'xapp-'].map(prefix => ending(prefix, 'token', 20)), // Slack
  ...['sk_live_', 'sk_test_', 'rk_live_', 'rk_test_', 'whsec_'].map(prefix => ending(prefix, 'alphanumeric', 16)), // Stripe
  ending('GOCSPX-', 'token', 28, 28), // Google
  ending('ya29.', 'token', 20), // Google
  ending('npm_', 'alphanumeric', 36, 36),
  ending('pypi-', 'token', 50),
  ending('dckr_pat_', 'token', 27, 64), // Docker
  ending('sk-', 'token', 20, ANY, true), // OpenAI, Anthropic, and those who follow them
  ending('gsk_', 'alphanumeric', 40), // Groq
  ending('xai-', 'alphanumeric', 40), // xAI
  ending('pplx-', 'alphanumeric', 40), // Perplexity
  ending('hf_', 'alphanumeric', 30, 64, true), // Hugging Face
  ending('SG.', 'dotted', 60, 80), // SendGrid
  ending('key-', 'hex', 32, 32), // Mailgun
  ...['shpat_', 'shpss_', 'shppa_', 'shpca_'].map(prefix => ending(prefix, 'hex', 32, 32)), // Shopify
  ...['sq0csp-', 'sq0atp-'].map(prefix => ending(prefix, 'token', 22, 64)), // Square
  ...['dop_v1_', 'doo_v1_', 'dor_v1_'].map(prefix => ending(prefix, 'hex', 64, 64)), // DigitalOcean
  ...['hvs.', 'hvb.', 'hvr.'].map(prefix => ending(prefix, 'token', 24)), // Vault
  ending('lin_api_', 'alphanumeric', 32, 64), // Linear
  ending('glsa_', 'token', 32, 64), // Grafana
  ending('figd_', 'token', 32, 80), // Figma
  ending('PMAK-', 'token', 40, 80), // Postman
  ending('NRAK-', 'alphanumeric', 27, 27), // New Relic
  ending('pscale_tkn_', 'token', 32, 64), // PlanetScale
  ending('sbp_', 'hex', 40, 40), // Supabase
  ending('AGE-SECRET-KEY-', 'upper', 58, 60), // age
]

export const shapes: readonly Shape[] = [
  ...signed,
  ...['AKIA', 'ASIA', 'ABIA', 'ACCA'].map(prefix => ({ ...ending(prefix, 'upper', 16, 16), anchor: 1 })), // AWS
  { ...ending('AIza', 'token', 35, 35), anchor: 2 }, // Google
  { ...ending('SK', 'hex', 32, 32), anchor: 1 }, // Twilio
  { ...ending('hooks.slack.com/services/', 'path', 30, 128), anchor: 5 },
]
