// How agents and people join before a test begins: by the programs' own code, but in this process. To start the programs for it
// would cost every world seconds of CPU; that they do the same is shown by the tests of agents, identity and the story.
import { readFile } from 'node:fs/promises'
import { enrol } from '@gate/agent/enrol'
import { login } from '@gate/cli/commands/login'
import { askForEnrolment } from '@gate/relay/admin/socket'
import { appOf } from './in-process.ts'
import type { OidcProvider } from './oidc.ts'

const ENROLMENT_MS = 600_000

/** A one-time token from a relay that runs, named by its state directory. */
export async function enrolmentToken(state: string, agent: string, targets: readonly string[]): Promise<string> {
  const token = await askForEnrolment(state, { agent, targets: [...targets], validMs: ENROLMENT_MS })
  if (token === undefined) throw new Error('enroll: the relay is not running')
  return token
}

/** Makes the agent's key pair in its state directory. */
export async function joinAgent(
  relay: { readonly url: string },
  agent: { readonly name: string; readonly state: string; readonly ca: string | undefined },
  token: string,
): Promise<void> {
  const tls = agent.ca === undefined ? undefined : { ca: await readFile(agent.ca) }
  await enrol(relay.url, agent.name, agent.state, token, tls)
}

/** Logs a person in through the real device flow, with somebody pressing the provider's buttons; `home` is gate's directory. */
export async function logIn(
  home: string,
  relay: { readonly url: string },
  oidc: OidcProvider,
  person: string,
): Promise<void> {
  let decided: Promise<unknown> | undefined
  const print = (line: string): void => {
    const { device } = JSON.parse(line) as { device?: { completeUrl: string } }
    if (device !== undefined) decided = oidc.decide(device.completeUrl, person, 'allow')
  }
  await login(
    appOf(home, print, () => {}),
    { relay: relay.url, browser: false, json: true },
  )
  await decided
}
