// What the three of them do with a service that speaks HTTP.
import type { Finished } from '#support/process'
import { type Actor, type Cast, SERVICE, said, type Typed } from './actor.ts'
import { hasAll } from './check-arrival.ts'
import type { Step } from './report.ts'

const secrets = ['lena.okafor', 'jonas.weber', '4539578763621486', '5425233430109903']
const REFUND = '{"amount": 20}'

export async function serve(cast: Cast): Promise<void> {
  await read(cast)
  await refuse(cast)
  await refund(cast)
}

/** Starts the HTTP client behind a port that is open as long as it runs. */
function start(cast: Cast, actor: Actor, path: string, body?: string): Typed {
  actor.sessions += 1
  return actor.start('gate', 'connect', SERVICE, '--', 'sh', '-c', cast.world.http.line(`$TARGET_URL${path}`, body))
}

async function ask(cast: Cast, actor: Actor, step: Step, path: string): Promise<Finished> {
  const running = start(cast, actor, path)
  running.child.stdin?.end()
  const finished = await running.finished()
  step.show(actor.name, `gate connect ${SERVICE} -- … ${path}`, running.transcript())
  return finished
}

/** Asks the service itself, past gate. */
async function direct({ world }: Cast, path: string): Promise<string> {
  const { port, token } = world.service
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { authorization: `Bearer ${token}` } })
  return answer.text()
}

async function read(cast: Cast): Promise<void> {
  const { report, alice, bob, carol } = cast
  await report.step(`bob and carol read customers of ${SERVICE} with ${cast.world.http.description}`, async step => {
    const clear = await ask(cast, bob, step, '/customers')
    step.must('bob, who is a dba, sees what the service says', clear.stdout === (await direct(cast, '/customers')))
    const masked = await ask(cast, carol, step, '/customers')
    step.must(
      'carol sees names, and of addresses and cards what a mask leaves',
      hasAll(masked.stdout, ['Lena Okafor', 'l***@***.example', '**** **** **** 1486']),
    )
    step.must('no clear value is anywhere in it', !secrets.some(secret => masked.stdout.includes(secret)))
  })
  await report.step('the service knows nobody but the agent', async step => {
    const { status } = await fetch(`http://127.0.0.1:${cast.world.service.port}/customers`)
    step.must('without the token it answers 401', status === 401)
    const passed = await ask(cast, alice, step, '/refunds')
    step.must('through gate alice needs none', passed.stdout === '{"refunds":[]}\n')
  })
}

async function refuse(cast: Cast): Promise<void> {
  const { report, alice, carol } = cast
  await report.step('carol tries to refund something, and alice the admin pages', async step => {
    const running = start(cast, carol, '/refunds/1', REFUND)
    running.child.stdin?.end()
    const unpaid = await running.finished()
    step.show('carol', `gate connect ${SERVICE} -- … -d '${REFUND}' /refunds/1`, running.transcript())
    step.must('no rule lets carol', hasAll(unpaid.stdout, ['"status":403', 'no rule lets you post']))
    const refused = await ask(cast, alice, step, '/customers/../%61dmin/users')
    step.must(
      'however the path is written, it is refused with the rule’s sentence and its name',
      hasAll(refused.stdout, ['"status":403', 'The admin pages are not for people.', '"rule":"no-admin"']),
    )
  })
}

async function refund(cast: Cast): Promise<void> {
  const { report, alice, bob } = cast
  await report.step('alice refunds something: bob has to agree', async step => {
    const running = start(cast, alice, '/refunds/2', REFUND)
    running.child.stdin?.end()
    const request = await first(bob, 'requests')
    step.must(
      'the service itself says that nothing was refunded',
      (await direct(cast, '/refunds')) === '{"refunds":[]}\n',
    )
    const approval = await bob.types(step, 'gate', 'approve', request)
    step.must('bob is shown what exactly she asks', hasAll(said(approval), ['POST /refunds/2', '"amount": 20']))
    const finished = await running.finished()
    step.show('alice', `gate connect ${SERVICE} -- … -d '${REFUND}' /refunds/2`, running.transcript())
    step.must('then it goes through', finished.stdout === '{"refunded":2}\n')
    step.must('the service itself says so', (await direct(cast, '/refunds')).includes('2: {'))
    const id = await first(
      bob,
      'sessions',
      '--target',
      SERVICE,
      '--action',
      'post',
      '--user',
      alice.player.person.email,
    )
    const shown = await bob.types(step, 'gate', 'sessions', 'show', id)
    step.must('the record has it', hasAll(shown.stdout, ['POST /refunds/2', 'approved by bob@example.com', '201']))
  })
}

/** The id of the first in a list, as soon as there is one. @throws when that takes too long. */
async function first(actor: Actor, ...command: string[]): Promise<string> {
  for (const deadline = performance.now() + 30_000; performance.now() < deadline; ) {
    const listed = await actor.start('gate', ...command, '--json').finished()
    const [found] = JSON.parse(listed.stdout) as { id: string }[]
    if (found !== undefined) return found.id
  }
  throw new Error(`nothing is in gate ${command.join(' ')}`)
}
