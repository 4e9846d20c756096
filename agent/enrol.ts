// Joining a relay: the one-time token and our new public key, signed with its private half.
import { errorFromBody, GateError } from '@gate/shared/errors'
import { enrolBytes } from '@gate/shared/messages'
import { relayError, strangeAnswer } from '@gate/shared/relay-error'
import { Agent, request } from 'undici'
import * as z from 'zod'
import { forgetKey, hasKey, makeKey } from './identity.ts'
import { forAgent } from './relay-trust.ts'

const TIMEOUT_MS = 15_000
const MAX_ANSWER_BYTES = 256 * 1024

const answer = z.union([
  z.object({ agent: z.string(), targets: z.array(z.string()) }),
  z.object({ code: z.string(), message: z.string(), hint: z.string().optional() }),
])

type Answer = z.infer<typeof answer>

/**
 * Returns the targets that the agent may announce. A key that was made for this, and that no relay knows, does not stay.
 * @throws {GateError} what the relay says, ERR_GATE_USAGE without a token, or ERR_GATE_RELAY_UNREACHABLE.
 */
export async function enrol(
  relay: string,
  name: string,
  state: string,
  token: string,
  tls: { ca: Buffer } | undefined,
): Promise<readonly string[]> {
  if (token === '')
    throw new GateError('ERR_GATE_USAGE', 'there is no token', {
      hint: `Where the relay runs, gate-relay enroll --agent ${name} --targets PATTERN makes one; it goes to standard input here, or to --token.`,
    })
  const isNew = !(await hasKey(state))
  const key = await makeKey(state)
  const signature = key.sign(enrolBytes(relay, token, name))
  const body = await ask(relay, { token, agent: name, publicKey: key.publicKey, signature }, tls)
  if (!('code' in body)) return body.targets
  // Where no answer came, the relay may know the key already.
  if (isNew) await forgetKey(state)
  throw errorFromBody(body)
}

async function ask(relay: string, enrolment: object, tls: { ca: Buffer } | undefined): Promise<Answer> {
  let status: number
  let text: string
  try {
    const response = await request(`${relay}/v1/agent/enroll`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(enrolment),
      headersTimeout: TIMEOUT_MS,
      bodyTimeout: TIMEOUT_MS,
      dispatcher: new Agent({ maxResponseSize: MAX_ANSWER_BYTES, ...(tls === undefined ? {} : { connect: tls }) }),
    })
    status = response.statusCode
    text = await response.body.text()
  } catch (thrown) {
    throw forAgent(relayError(relay, thrown))
  }
  try {
    return answer.parse(JSON.parse(text))
  } catch (thrown) {
    throw strangeAnswer(relay, status, thrown)
  }
}
