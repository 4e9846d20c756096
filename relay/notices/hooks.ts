// The ways out: webhooks, signed and tried again, and a command on this machine. Neither ever holds up a command of anybody.
import { spawn } from 'node:child_process'
import { createHmac } from 'node:crypto'
import { GateError } from '@gate/shared/errors'
import { type Notice, sentence } from './notice.ts'

/** One attempt lasts no longer. */
const ATTEMPT_TIMEOUT_MS = 10_000

export interface Hook {
  /** What logs call it; never holds a secret. */
  readonly name: string
  readonly kinds: readonly Notice['kind'][] | undefined
  /** @throws {GateError} when it was not taken; it is tried again. */
  deliver(notice: Notice, signal: AbortSignal): Promise<void>
}

export interface WebhookOptions {
  readonly url: string
  readonly secret: string | undefined
  readonly format: 'json' | 'slack'
  readonly kinds: readonly Notice['kind'][] | undefined
}

/**
 * A webhook, signed as Standard Webhooks describe: HMAC-SHA256 over `id.timestamp.body`.
 * @see https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 */
export function webhook({ url, secret, format, kinds }: WebhookOptions, nowMs: () => number): Hook {
  const { host } = new URL(url)
  return {
    name: host,
    kinds,
    deliver: async (notice, signal) => {
      const body = JSON.stringify(format === 'slack' ? slackMessage(notice) : notice)
      const timestamp = String(Math.floor(nowMs() / 1000))
      const response = await fetch(url, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'webhook-id': notice.id,
          'webhook-timestamp': timestamp,
          ...(secret === undefined ? {} : { 'webhook-signature': signature(secret, notice.id, timestamp, body) }),
        },
        body,
        // What it redirects to was not configured by anybody here.
        redirect: 'error',
        signal: AbortSignal.any([signal, AbortSignal.timeout(ATTEMPT_TIMEOUT_MS)]),
      })
      await response.body?.cancel()
      if (!response.ok) throw new GateError('ERR_GATE_TARGET_UNREACHABLE', `${host} answered ${response.status}`)
    },
  }
}

/** The value of `webhook-signature`. */
export function signature(secret: string, id: string, timestamp: string, body: string): string {
  return `v1,${createHmac('sha256', secret).update(`${id}.${timestamp}.${body}`).digest('base64')}`
}

/** A message for Slack and whoever understands its incoming webhooks. */
export function slackMessage(notice: Notice): object {
  const text = escapeSlack(sentence(notice))
  const reason = notice.reason === undefined ? [] : [`>${escapeSlack(notice.reason).replaceAll('\n', '\n>')}`]
  return { text, blocks: [{ type: 'section', text: { type: 'mrkdwn', text: [text, ...reason].join('\n') } }] }
}

/** Nothing that a person typed becomes a mention or a link. @see https://api.slack.com/reference/surfaces/formatting#escaping */
function escapeSlack(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

/** A command that gets the notice as JSON on its standard input. */
export function commandHook(command: readonly string[], kinds: readonly Notice['kind'][] | undefined): Hook {
  const [program = '', ...args] = command
  return {
    name: program,
    kinds,
    deliver: (notice, signal) =>
      new Promise((resolve, reject) => {
        const child = spawn(program, args, {
          stdio: ['pipe', 'ignore', 'ignore'],
          signal: AbortSignal.any([signal, AbortSignal.timeout(ATTEMPT_TIMEOUT_MS)]),
        })
        child.once('error', cause =>
          reject(new GateError('ERR_GATE_TARGET_UNREACHABLE', `${program} cannot be run`, { cause })),
        )
        child.once('close', code => {
          if (code === 0) resolve()
          else reject(new GateError('ERR_GATE_TARGET_UNREACHABLE', `${program} ended with ${code}`))
        })
        // A command that does not read has nothing to complain about.
        child.stdin.on('error', () => {})
        child.stdin.end(`${JSON.stringify(notice)}\n`)
      }),
  }
}
