// What stands below the help of each command: an example or two, and what the exit codes mean.
import type { Command } from 'commander'

/** By the command's words; arguments in capitals are the reader's own. */
const examples: Readonly<Record<string, readonly string[]>> = {
  gate: [
    'gate login --relay https://gate.example.com:8443',
    'gate targets',
    "gate connect prod-db -- psql -c 'select 1'",
  ],
  login: ['gate login --relay https://gate.example.com:8443', 'gate login --no-browser'],
  logout: ['gate logout'],
  whoami: ['gate whoami', 'gate whoami --json'],
  targets: ['gate targets'],
  connect: [
    'gate connect prod-db',
    "gate connect prod-db --task MIG-42/3 --reason 'closed customers' -- psql -c 'select 1'",
    "gate connect billing-api -- sh -c 'curl -s $TARGET_URL/customers'",
  ],
  approve: ['gate approve', 'gate approve REQUEST', 'gate approve REQUEST --for 30m'],
  deny: ["gate deny REQUEST --reason 'not without a where'"],
  requests: ['gate requests', 'gate requests --mine', 'gate requests --watch --json'],
  request: ["gate request prod-db --rule wide-writes --for 30m --reason 'MIG-42: closes old accounts'"],
  grants: ['gate grants', 'gate grants --all'],
  revoke: ['gate revoke GRANT'],
  reviews: ['gate reviews', 'gate reviews --all'],
  'reviews close': ["gate reviews close REVIEW --note 'one row, as reported'"],
  keys: ['gate keys'],
  'keys new': ['gate keys new', 'gate keys new --force'],
  'keys revoke': ['gate keys revoke KEY'],
  sessions: [
    'gate sessions --target prod-db --since 2h',
    'gate sessions --action delete --user alice@example.com',
    'gate sessions --task MIG-42 --format markdown',
  ],
  'sessions show': ['gate sessions show SESSION', 'gate sessions show SESSION --format markdown'],
  'sessions watch': ['gate sessions watch SESSION'],
  'sessions export': ['gate sessions export SESSION --format asciicast --output session.cast'],
  'sessions replay': ['gate sessions replay SESSION --speed 4', 'gate sessions replay SESSION --from 90s'],
  'sessions kill': ["gate sessions kill SESSION --reason 'it holds up the backup'"],
  lock: [
    "gate lock user alice@example.com --until 2h --reason 'laptop lost'",
    "gate lock target prod-db --reason 'restoring'",
  ],
  unlock: ['gate unlock LOCK'],
  locks: ['gate locks'],
  receipts: ['gate receipts'],
  audit: ['gate audit verify', 'gate audit tail --follow'],
  'audit verify': ['gate audit verify', 'gate audit verify --from /backup/records --key KEY'],
  'audit key': ['gate audit key'],
  'audit tail': ['gate audit tail --from 1000 --follow'],
  complete: ['source <(gate complete bash)', 'gate complete fish | source'],
}

const exitCodes =
  'Exit codes: 0 done, 1 failed, 2 not understood, 3 not logged in, 4 refused, 5 not found, 6 decided or expired,\n7 unreachable, 8 port in use, 9 not what was signed, 130 interrupted.'

/** Adds the examples to the help of the program and of every command in it that has help of its own. */
export function addExamples(program: Command): void {
  const add = (command: Command, words: string): void => {
    const own = examples[words]
    if (own !== undefined) command.addHelpText('after', () => `\n${titled(own)}`)
    for (const each of command.commands) add(each, words === 'gate' ? each.name() : `${words} ${each.name()}`)
  }
  add(program, 'gate')
  program.addHelpText('afterAll', `\n${exitCodes}`)
}

function titled(lines: readonly string[]): string {
  return [lines.length === 1 ? 'Example:' : 'Examples:', ...lines.map(line => `  ${line}`)].join('\n')
}
