// How a person uses an open port of an HTTP target, and what the port says while no relay can be asked. Pure.
import type { ConnectHint, OfflineAnswer, OfflineAnswers } from '@gate/shared/model'
import { problemMessage } from './problem.ts'

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
  const { body, fields } = problemMessage({
    status: 503,
    title: 'the gate cannot be asked',
    detail,
    code: 'ERR_GATE_RELAY_UNREACHABLE',
    hint,
    session: '',
  })
  const head = Object.entries({ ...fields, connection: 'close', 'retry-after': '5' })
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')
  const reply = Buffer.concat([Buffer.from(`HTTP/1.1 503 Service Unavailable\r\n${head}\r\n`), body])
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
