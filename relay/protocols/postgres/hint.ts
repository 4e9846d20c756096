// How a person uses an open port of a PostgreSQL target, and what the port says while no relay can be asked. Pure.
import type { ConnectHint, OfflineAnswer, OfflineAnswers, Target } from '@gate/shared/model'
import { E, errorMessage } from './codec.ts'

export function postgresHint(target: Target): ConnectHint {
  const database = target.options['database'] ?? 'postgres'
  return {
    lines: [
      { label: 'psql', text: `psql "host={host} port={port} dbname=${database} user={user}"` },
      { label: 'url', text: `postgresql://{user}@{host}:{port}/${database}` },
      { label: 'service', text: 'PGSERVICEFILE={file:pg_service.conf} psql service={target}' },
    ],
    environment: { PGHOST: '{host}', PGPORT: '{port}', PGDATABASE: database, PGUSER: '{user}' },
    files: [
      {
        name: 'pg_service.conf',
        section: '{target}',
        text: `[{target}]\nhost={host}\nport={port}\ndbname=${database}\nuser={user}\n`,
      },
    ],
  }
}

const SSL_REQUEST = '0000000804d2162f'
const GSS_REQUEST = '0000000804d21630'
const CANCEL_PREFIX = 8

function offline(message: string, hint: string): OfflineAnswer {
  const fields = new Map([
    ['S', 'FATAL'],
    ['V', 'FATAL'],
    ['C', '08001'],
    ['M', message],
    ['H', hint],
  ])
  return {
    need: CANCEL_PREFIX,
    rules: [
      { when: SSL_REQUEST, take: 8, reply: Buffer.from('N').toString('hex'), end: false },
      { when: GSS_REQUEST, take: 8, reply: Buffer.from('N').toString('hex'), end: false },
      { reply: errorMessage(E, fields).toString('hex'), end: true },
    ],
  }
}

export function postgresOffline(relay: string): OfflineAnswers {
  return {
    unreachable: offline(
      `gate: the relay ${relay} cannot be reached`,
      'gate connect keeps this port open and goes on as soon as the relay is back.',
    ),
    unauthenticated: offline('gate: your login has ended', 'Run gate login; this port goes on working then.'),
  }
}
