// Joining a relay: the one-time token and our new public key, signed with its private half.
import { asGateError, errorFromBody } from '@gate/shared/errors'
import { enrolBytes } from '@gate/shared/messages'
import { Agent, request } from 'undici'
import * as z from 'zod'
import { makeKey } from './identity.ts'

const TIMEOUT_MS = 15_000

const answer = z.union([
  z.object({ agent: z.string(), targets: z.array(z.string()) }),
  z.object({ code: z.string(), message: z.string(), hint: z.string().optional() }),
])

/** Returns the targets that the agent may announce. @throws {GateError} what the relay says, or ERR_GATE_RELAY_UNREACHABLE. */
export async function enrol(
  relay: string,
  name: string,
  state: string,
  token: string,
  tls: { ca: Buffer } | undefined,
): Promise<readonly string[]> {
  const key = await makeKey(state)
  const signature = key.sign(enrolBytes(relay, token, name))
  let body: z.infer<typeof answer>
  try {
    const response = await request(`${relay}/v1/agent/enroll`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ token, agent: name, publicKey: key.publicKey, signature }),
      headersTimeout: TIMEOUT_MS,
      bodyTimeout: TIMEOUT_MS,
      dispatcher: new Agent(tls === undefined ? {} : { connect: tls }),
    })
    body = answer.parse(await response.body.json())
  } catch (thrown) {
    throw asGateError(thrown, 'ERR_GATE_RELAY_UNREACHABLE', `the relay at ${relay} cannot be reached`)
  }
  if ('code' in body) throw errorFromBody(body)
  return body.targets
}
