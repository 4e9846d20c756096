// How a person uses an open port of an HTTP target, and what the port says while no relay can be asked. Pure.
import type { ConnectHint, OfflineAnswer, OfflineAnswers } from '@gate/shared/model'
import { rawProblem } from './problem.ts'

export function httpHint(): ConnectHint {
  const url = 'http://{host}:{port}'
  return {
    lines: [
      { label: 'url', text: `${url}/` },
      { label: 'curl', text: `curl ${url}/` },
    ],
    environment: { TARGET_URL: url },
    files: [],
  }
}

/** The shortest request line has more. */
const NEED_BYTES = 4

function offline(detail: string, hint: string): OfflineAnswer {
  const reply = rawProblem({
    status: 503,
    title: 'the gate cannot be asked',
    detail,
    code: 'ERR_GATE_RELAY_UNREACHABLE',
    hint,
    session: '',
  })
  return { need: NEED_BYTES, rules: [{ reply: reply.toString('hex'), end: true }] }
}

export function httpOffline(relay: string): OfflineAnswers {
  return {
    unreachable: offline(
      `the relay ${relay} cannot be reached`,
      'gate connect keeps this port open and goes on as soon as the relay is back.',
    ),
    unauthenticated: offline('your login has ended', 'Run gate login; this port goes on working then.'),
  }
}
