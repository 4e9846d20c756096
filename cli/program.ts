// The commands of gate, with their options and help; what they do is in commands/.
import { Command } from 'commander'
import type { App } from './app.ts'
import { auditKey, auditTail, auditVerify, receipts } from './commands/audit.ts'
import { connect } from './commands/connect.ts'
import { exportSession, replaySession } from './commands/export.ts'
import { lock, locks, unlock } from './commands/locks.ts'
import { login, logout, whoami } from './commands/login.ts'
import { runPart } from './commands/part.ts'
import { approve, deny, requests, wish } from './commands/requests.ts'
import { closeReview, grants, keys, newKey, reviews, revoke, revokeKey } from './commands/reviews.ts'
import { sessions, showSession } from './commands/sessions.ts'
import { targets } from './commands/targets.ts'
import { killSession, watchSession } from './commands/use.ts'
import { addCompletion } from './completion.ts'
import { addExamples } from './examples.ts'

const VERSION = '0.1.0'

/** `command` is what stands behind `--`; `exit` is told with which code the program ends, where it is not 0. */
export function createProgram(app: App, command: readonly string[], exit: (code: number) => void): Command {
  const program = new Command('gate')
    .description(
      'Reach private systems through gate: your tools stay as they are, every command is checked and recorded',
    )
    .version(VERSION)
    // What stands behind a command is the command's.
    .enablePositionalOptions()
    // main.ts says what went wrong, as it does for everything else.
    .configureOutput({
      writeOut: text => app.print(text.trimEnd()),
      writeErr: text => app.note(text.trimEnd()),
      outputError: () => {},
    })
    .exitOverride()
  program
    .command('login')
    .description('log in with your identity provider (OpenID Connect device login)')
    .option('--relay <url>', 'the relay to log in to; remembered')
    .option('--issuer <url>', 'which identity provider, when the relay knows several')
    .option('--fingerprint <SHA256:…>', "the relay's key, when no authority vouches for it")
    .option('--no-browser', 'do not open a browser')
    .option('--insecure', 'allow a relay beyond this machine without TLS')
    .option('--json', 'print JSON, one object per line')
    .action(options => login(app, options))
  program
    .command('logout')
    .description('end the login everywhere and forget it')
    .option('--json', 'print JSON')
    .action(options => logout(app, options))
  program
    .command('whoami')
    .description('show who you are to the relay, and where that is kept')
    .option('--json', 'print JSON')
    .action(options => whoami(app, options))
  program
    .command('targets')
    .description('list what you may open')
    .option('--json', 'print JSON')
    .action(options => targets(app, options))
  program
    .command('connect')
    .description('open a local port for each target, until Ctrl-C or until the command after -- ends')
    .argument('<target...>', 'names as gate targets lists them')
    .usage('[options] <target...> [-- command…]')
    .option('--port <number>', 'another local port than the usual one; 0 for any')
    .option('--task <id>', 'the task this is for, for example MIG-42/3; shown to approvers and in gate sessions')
    .option('--reason <text>', 'why; shown to approvers and in gate sessions')
    .option(
      '--break-glass',
      'pass holds without being approved, where a rule allows it; needs --reason, and is reviewed',
    )
    .option('--stdio', 'no port: one connection on standard input and output')
    .option('--json', 'print JSON, one object per target')
    .action(async (names: string[], options) => exit(await connect(app, names, options, command)))
  program
    .command('approve')
    .description('decide what waits for you: a live list, or one request by its id')
    .argument('[request]', 'id of a request')
    .option('--for <duration>', 'let the same rule be passed again for so long, where it permits that: 30m, 1h')
    .option('--reason <text>', 'why; recorded')
    .option('--json', 'print JSON')
    .action((id: string | undefined, options) => approve(app, id, options))
  program
    .command('deny')
    .description('refuse a request')
    .argument('<request>', 'id of a request')
    .option('--reason <text>', 'why not, which has to be said; whoever asked will read it')
    .option('--json', 'print JSON')
    .action((id: string, options) => deny(app, id, options))
  program
    .command('requests')
    .description('list requests that you may decide, or that you made')
    .option('--mine', 'those you made')
    .option('--watch', 'print what changes until Ctrl-C')
    .option('--json', 'print JSON')
    .action(options => requests(app, options))
  addApprovals(program, app)
  const past = program
    .command('sessions')
    .enablePositionalOptions()
    .description('list recorded sessions, newest first; of a task, what was done step by step')
    .option('--target <name>', 'on this target')
    .option('--user <email>', 'of this person')
    .option('--task <id>', 'of this task and its steps; shows each statement and what came of it')
    .option('--action <action>', 'in which something like this was tried: select, delete, drop')
    .option('--rule <name>', 'in which this rule decided something')
    .option('--since <time>', 'that were open after: 2h, 3d, or a date with or without a time')
    .option('--until <time>', 'that were open before')
    .option('--text <words>', 'in whose statements all these words occur')
    .option('--limit <count>', 'at most so many (50; 200 with --task)')
    .option('--format <format>', 'text, or markdown for an incident report of a task', 'text')
    .option('--json', 'print JSON')
    .action(options => sessions(app, options))
  past
    .command('show')
    .description('show every statement of a session and what came of it')
    .argument('<session>', 'id of a session')
    .option('--format <format>', 'text, or markdown for an incident report', 'text')
    .option('--json', 'print the events, one JSON object per line')
    .action((id: string, options) => showSession(app, id, options))
  addAudit(program, app, exit)
  addUse(past, app)
  addLocks(program, app)
  for (const part of ['relay', 'agent'] as const) {
    program
      .command(part)
      .description(`run gate-${part}, where it is installed`)
      .argument('[arguments...]')
      .helpOption(false)
      .allowUnknownOption()
      .action(async () => exit(await runPart(part, process.argv.slice(3))))
  }
  addCompletion(program)
  addExamples(program)
  return program
}

/** What comes before and after a decision: asking ahead, grants, reviews, keys. */
function addApprovals(program: Command, app: App): void {
  const json = ['--json', 'print JSON'] as const
  const all = ['--all', 'also those that are over'] as const
  program
    .command('request')
    .description('ask ahead: for a grant to pass a rule for a time')
    .argument('<target>', 'name as gate targets lists it')
    .requiredOption('--rule <name>', 'the rule that holds what you want to do')
    .requiredOption('--for <duration>', 'for how long: 30m, 1h')
    .requiredOption('--reason <text>', 'why; approvers read it')
    .option(...json)
    .action((target: string, options) => wish(app, target, options))
  program
    .command('grants')
    .description('list grants that are yours, or that you may take back')
    .option(...all)
    .option(...json)
    .action(options => grants(app, options))
  program
    .command('revoke')
    .description('take a grant back, at once')
    .argument('<grant>', 'id of a grant')
    .option(...json)
    .action((id: string, options) => revoke(app, id, options))
  const reviewing = program
    .command('reviews')
    .enablePositionalOptions()
    .description('list sessions in which the glass was broken, until somebody has looked at them')
    .option(...all)
    .option(...json)
    .action(options => reviews(app, options))
  reviewing
    .command('close')
    .description('say what you found; the review is over then')
    .argument('<review>', 'id of a review')
    .requiredOption('--note <text>', 'what you found')
    .option(...json)
    .action((id: string, options) => closeReview(app, id, options))
  const signing = program
    .command('keys')
    .enablePositionalOptions()
    .description('list the keys that sign your decisions')
    .option(...json)
    .action(options => keys(app, options))
  signing
    .command('new')
    .description("make this machine's key, if there is none")
    .option('--force', 'make another one and forget this one')
    .option(...json)
    .action(options => newKey(app, options))
  signing
    .command('revoke')
    .description('take a key back for good')
    .argument('<key>', 'id of a key')
    .option(...json)
    .action((id: string, options) => revokeKey(app, id, options))
}

/** Whether the record is what it was: for everybody who keeps receipts, and for auditors. */
function addAudit(program: Command, app: App, exit: (code: number) => void): void {
  program
    .command('receipts')
    .description('list the receipts of your sessions, after checking them')
    .option('--json', 'print JSON')
    .action(options => receipts(app, options))
  const audit = program.command('audit').description('check the record, or follow it')
  audit
    .command('verify')
    .description('check every record against its signed checkpoint; says what was changed')
    .option('--from <place>', "a directory or URL with a record; otherwise the relay's own")
    .option('--checkpoint <file...>', "checkpoints that somebody kept, or an agent's checkpoints.json")
    .option('--key <key>', 'the key that signs; otherwise the one that was kept here')
    .option('--json', 'print JSON')
    .action(async options => exit(await auditVerify(app, options)))
  audit
    .command('key')
    .description("print the key that signs the relay's record")
    .option('--json', 'print JSON')
    .action(options => auditKey(app, options))
  audit
    .command('tail')
    .description('print every event, one JSON object per line')
    .option('--from <number>', 'from this record on; otherwise from the first')
    .option('--follow', 'go on with what comes, until Ctrl-C')
    .action(options => auditTail(app, options))
}

/** What one does with a session beside reading it. */
function addUse(past: Command, app: App): void {
  past
    .command('watch')
    .description('follow a running session, until it ends or Ctrl-C')
    .argument('<session>', 'id of a session')
    .option('--json', 'print the events as they come, one JSON object per line')
    .action((id: string, options) => watchSession(app, id, options))
  past
    .command('export')
    .description('print a session in the form of other programs')
    .argument('<session>', 'id of a session')
    .option('--format <format>', 'jsonl (every event), asciicast (for asciinema), or text', 'jsonl')
    .option('--output <file>', 'write it there instead, for you alone to read')
    .option('--command <number>', 'asciicast: the terminal of that command; otherwise of the first that has one')
    .action((id: string, options) => exportSession(app, id, options))
  past
    .command('replay')
    .description('play a session, its terminal or step by step, with the time it took')
    .argument('<session>', 'id of a session')
    .option('--speed <factor>', 'how many times as fast', '1')
    .option('--from <time>', 'begin there: 90s after its beginning, or a date and time')
    .option('--command <number>', 'the terminal of that command; otherwise of the first that has one')
    .option('--timeline', 'step by step, also where there is a terminal')
    .action((id: string, options) => replaySession(app, id, options))
  past
    .command('kill')
    .description('end a running session at once; its client is told by whom and why')
    .argument('<session>', 'id of a session')
    .requiredOption('--reason <text>', 'why; whoever is cut off will read it')
    .option('--json', 'print JSON')
    .action((id: string, options) => killSession(app, id, options))
}

/** Locks on people, targets and agents. */
function addLocks(program: Command, app: App): void {
  program
    .command('lock')
    .description('end what a person, a target or an agent has open, and refuse what is new, on every relay')
    .argument('<kind>', 'user, target or agent')
    .argument('<name>', "a person's e-mail address, or the name of a target or an agent")
    .option('--until <time>', 'until then: 2h, 3d, or a date with or without a time; without it until gate unlock')
    .requiredOption('--reason <text>', 'why; whoever is locked will read it')
    .option('--json', 'print JSON')
    .action((kind: string, name: string, options) => lock(app, kind, name, options))
  program
    .command('unlock')
    .description('take a lock away')
    .argument('<lock>', 'id of a lock')
    .option('--json', 'print JSON')
    .action((id: string, options) => unlock(app, id, options))
  program
    .command('locks')
    .description('list locks that you may take away')
    .option('--json', 'print JSON')
    .action(options => locks(app, options))
}
