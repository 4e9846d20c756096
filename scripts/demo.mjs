// Installs and builds, then starts the demo; what it does is in demonstration/.
import { prepare } from './prepare.mjs'

const usage = `usage: ./scripts/demo [--check]

Starts an identity provider with three people, a relay, an agent and a PostgreSQL server on this machine,
says what to type, and ends everything at Ctrl-C.

  --check   plays the whole story by itself; exits 0 when every step did exactly what it should

GATE_DEMO_CLIENT=node    use the SQL and HTTP clients that come with the demo although there are psql and curl
GATE_TEST_POSTGRES=npm   (or npm:16) use the PostgreSQL server from npm although there is one on this machine
`

const args = process.argv.slice(2)
if (args.includes('--help') || args.includes('-h')) process.stdout.write(usage)
else if (args.some(arg => arg !== '--check')) {
  process.stderr.write(usage)
  process.exitCode = 2
} else {
  await prepare()
  const { demo } = await import('./dist/demonstration/main.js')
  process.exitCode = await demo({ check: args.includes('--check') })
}
