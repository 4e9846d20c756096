// What changes data: refused, allowed, held until somebody else agrees, and cancelled.
import { type Cast, said, type Typed } from './actor.ts'
import { hasAll } from './check-arrival.ts'
import type { Step } from './report.ts'
import { statements } from './statements.ts'

/** The statement takes a minute; other work on this machine may slow the cancelling down. */
const MUCH_SOONER_MS = 15_000
const REASON = 'The auditors still need the cards. Ask me on Monday.'

export async function change(cast: Cast): Promise<void> {
  await drop(cast)
  await smallWrite(cast)
  await approved(cast)
  await denied(cast)
  await cancelled(cast)
}

async function drop(cast: Cast): Promise<void> {
  const { report, alice, bob } = cast
  await report.step('alice and bob try to drop a table', async step => {
    for (const actor of [alice, bob]) {
      const refused = await actor.sql(step, statements.drop)
      step.must(
        "it is refused with SQLSTATE 42501, the rule's sentence and its name",
        refused.code === 1 &&
          hasAll(refused.stderr, [
            '42501',
            'Schema changes go through migrations, not through a session.',
            'Rule never',
          ]),
      )
      cast.remember(actor, '✗', statements.drop)
    }
    step.must(
      'PostgreSQL itself says that the table is still there',
      (await cast.direct('SELECT count(*) FROM customers')) === '12000',
    )
  })
}

async function smallWrite(cast: Cast): Promise<void> {
  const { report, alice } = cast
  await report.step('alice changes one order', async step => {
    const changed = await alice.sql(step, statements.small)
    step.must('it runs at once', changed.code === 0 && changed.stdout.trim() === 'UPDATE 1')
    step.must(
      'PostgreSQL itself says that it is changed',
      (await cast.direct('SELECT status FROM orders WHERE id = 1')) === 'shipped',
    )
    cast.remember(alice, '✓', statements.small)
  })
}

interface Held {
  readonly running: Typed
  readonly request: string
}

/** Starts a statement that is held and waits for what the client shows meanwhile. */
async function startHeld(cast: Cast, step: Step, sql: string): Promise<Held> {
  const running = cast.alice.startSql(sql)
  const [, request = ''] = await running.waitFor(/NOTICE:.*waiting for approval by 1 of dba, request (\S+)/)
  await running.waitFor(new RegExp(`gate approve ${request}`))
  cast.alice.showSql(step, [sql], running.transcript())
  return { running, request }
}

async function approved(cast: Cast): Promise<void> {
  const { report, alice, bob } = cast
  let held: Held | undefined
  const count = (): Promise<string> => cast.direct('SELECT count(*) FROM orders')
  await report.step('alice deletes all orders: that is held', async step => {
    held = await startHeld(cast, step, statements.wide)
    step.must('she is told at once, with the id of the request', held.request !== '')
    step.must('PostgreSQL itself says that nothing was deleted', (await count()) === '20000')
    step.must('her client waits', held.running.child.exitCode === null)
  })
  const request = held?.request ?? 'none'
  await report.step('alice cannot approve it herself, and carol cannot either', async step => {
    for (const actor of [alice, cast.carol]) {
      const refused = await actor.types(step, 'gate', 'approve', request)
      step.must(`${actor.name}'s word does not count`, refused.code !== 0 && !said(refused).includes('✓'))
    }
    const mine = await alice.types(step, 'gate', 'requests', '--mine')
    step.must('her request still waits', new RegExp(`^${request} +waiting`, 'm').test(mine.stdout))
    step.must('PostgreSQL itself says that nothing was deleted', (await count()) === '20000')
  })
  await report.step('bob approves it', async step => {
    const listed = await bob.types(step, 'gate', 'requests')
    step.must('he finds it in his list', listed.stdout.includes(request))
    const approval = await bob.types(step, 'gate', 'approve', request)
    step.must(
      'he is shown who asks for what',
      hasAll(said(approval), ['alice@example.com', statements.wide, 'wide-writes']),
    )
    step.must('it is approved', approval.code === 0 && approval.stdout.includes(`approved ${request}`))
    const finished = await held?.running.finished()
    step.show('alice', '(what her client says now)', finished?.stdout ?? '')
    step.must("alice's DELETE runs now", finished?.code === 0 && finished.stdout.trim() === 'DELETE 20000')
    step.must('PostgreSQL itself says that the rows are gone', (await count()) === '0')
    cast.remember(alice, '✓', statements.wide)
  })
}

async function denied(cast: Cast): Promise<void> {
  const { report, alice, bob } = cast
  await report.step('alice deletes all cards: bob says no', async step => {
    const { running, request } = await startHeld(cast, step, statements.another)
    const denial = await bob.types(step, 'gate', 'deny', request, '--reason', REASON)
    step.must('it is denied', denial.code === 0 && denial.stdout.includes(`denied ${request}`))
    const finished = await running.finished()
    step.show('alice', '(what her client says now)', finished.stderr)
    step.must("she reads who said no, and bob's reason", hasAll(finished.stderr, ['42501', 'bob@example.com', REASON]))
    step.must(
      'PostgreSQL itself says that nothing was deleted',
      (await cast.direct('SELECT count(*) FROM cards')) === '9000',
    )
    const late = await bob.types(step, 'gate', 'approve', request)
    step.must('nobody can approve it afterwards', late.code !== 0)
    cast.remember(alice, '✗', statements.another)
  })
}

async function cancelled(cast: Cast): Promise<void> {
  const { report, alice } = cast
  const sleeping =
    "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND usename = 'gate' AND query LIKE '%pg_sleep%'"
  await report.step('alice presses Ctrl-C while a statement runs', async step => {
    const running = alice.startSql(statements.sleep)
    step.must('PostgreSQL itself says that it runs', await cast.until(sleeping, '1'))
    const began = performance.now()
    running.kill('SIGINT')
    const finished = await running.finished()
    alice.showSql(step, [statements.sleep], running.transcript())
    step.must(
      'it is cancelled, as PostgreSQL says it: SQLSTATE 57014',
      hasAll(finished.stderr, ['57014', 'canceling statement due to user request']),
    )
    step.must('soon, and not after a minute', performance.now() - began < MUCH_SOONER_MS)
    step.must('PostgreSQL itself says that it runs no more', await cast.until(sleeping, '0'))
    cast.remember(alice, '✓', statements.sleep)
  })
}
