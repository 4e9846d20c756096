// The story's beginning: three people log in, look around and open a port.
import { type Actor, type Cast, SERVICE, said, TARGET } from './actor.ts'

export async function arrive(cast: Cast): Promise<void> {
  for (const actor of cast.everybody) await logIn(cast, actor)
  const { report, alice } = cast
  await report.step('alice asks who she is to the relay', async step => {
    const whoami = await alice.types(step, 'gate', 'whoami')
    const { person } = alice.player
    step.must(
      'gate knows her address, her name and her group',
      hasAll(said(whoami), [person.email, person.name, 'engineers']),
    )
    step.must('it ends with exit code 0', whoami.code === 0)
  })
  await report.step('alice asks what she may open', async step => {
    const targets = await alice.types(step, 'gate', 'targets')
    step.must(
      `${TARGET} is there and online`,
      new RegExp(`^${TARGET} +postgres +online +env=prod$`, 'm').test(targets.stdout),
    )
    step.must(
      `so is ${SERVICE}, which speaks HTTP`,
      new RegExp(`^${SERVICE} +http +online +env=prod$`, 'm').test(targets.stdout),
    )
    step.must('and nothing else is', targets.stdout.trim().split('\n').length === 3)
  })
  await report.step('all three open the target, each on a port of their own', async step => {
    for (const actor of cast.everybody) {
      const connecting = actor.start('gate', 'connect', TARGET)
      const [line] = await connecting.waitFor(new RegExp(`^.* ${TARGET} is on .* port ${actor.player.port}$`, 'm'))
      await connecting.waitFor(/Ctrl-C closes/)
      actor.connecting = connecting
      step.show(actor.name, `gate connect ${TARGET} &`, connecting.transcript())
      step.must(`${actor.name}'s port is ${actor.player.port}, as the demo said`, line !== '')
    }
  })
}

/** The real device flow; only the browser is played. */
export async function logIn({ report, world }: Cast, actor: Actor, how = ''): Promise<void> {
  const { person } = actor.player
  await report.step(`${actor.name} logs in ${how || `(${person.groups.join(', ')})`}`, async step => {
    const login = actor.start('gate', 'login')
    const [, url = ''] = await login.waitFor(/^Open (http\S+)$/m)
    const [, code = ''] = await login.waitFor(/the code (\S+)/)
    step.must('gate waits and shows a page and a code', url.includes(code) && url.startsWith(world.oidc.issuer))
    step.must('nobody is logged in before the page was confirmed', !login.stdout().includes('logged in'))
    await world.oidc.decide(url, person.id, 'allow')
    const finished = await login.finished()
    step.show(actor.name, 'gate login', login.transcript())
    step.must(
      `then it is ${person.email} who is logged in`,
      finished.stdout.includes(`logged in to ${world.relay.url} as ${person.email}`),
    )
    step.must('it ends with exit code 0', finished.code === 0)
  })
}

export const hasAll = (text: string, parts: readonly string[]): boolean => parts.every(part => text.includes(part))
