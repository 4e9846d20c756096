// What an agent is told whose relay has a certificate that it does not believe: people at the command line pin one, an agent names its authority.
import { GateError } from '@gate/shared/errors'

/** The error with the agent's own next step, where it is about the relay's certificate. */
export function forAgent(error: unknown): unknown {
  if (!(error instanceof GateError) || error.code !== 'ERR_GATE_RELAY_CHANGED') return error
  return new GateError(error.code, error.message, {
    cause: error.cause,
    hint: "If the relay's authority is one of your own, name the file with its certificate in agent.yaml: ca: FILE.",
  })
}
