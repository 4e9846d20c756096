// What the demo says once everything runs: what there is, and what to type where.
import { SERVICE, TARGET } from './people.ts'
import { statements } from './statements.ts'
import { say, style } from './terminal.ts'
import type { World } from './world.ts'

export function showGuide(world: World): void {
  const { alice, bob } = world.players
  const port = ({ port, person }: typeof alice): string => world.client.line({ port, user: person.id })
  const type = (line: string, about = ''): void =>
    say(`    ${about === '' ? style.bold(line) : `${style.bold(line.padEnd(67))} ${style.dim(`# ${about}`)}`}`)
  showParts(world)
  say(`In a second terminal you are ${style.bold('alice')} (engineers):`)
  type(`. ${alice.script}`)
  type('gate login', 'opens a page; press “Alice Ash” there')
  type('gate targets')
  type(`gate connect ${SERVICE} -- sh -c '${world.http.line('$TARGET_URL/customers')}'`)
  type(`gate connect ${TARGET} &`, 'a port on this machine that only you can use')
  type(port(alice))
  type(`${statements.masked};`, 'addresses are masked')
  type(`${statements.computed};`, 'nothing masked goes through a function')
  type(`${statements.drop};`, 'refused')
  type(`${statements.small};`, 'small changes are fine')
  type(`${statements.wide};`, 'held: now somebody else has to agree')
  say()
  say(`In a third terminal you are ${style.bold('bob')} (dba), who sees everything and decides:`)
  type(`. ${bob.script}`)
  type('gate login')
  type('gate approve', 'shows what waits; then look at alice again')
  type('gate sessions', 'and then: gate sessions show ID')
  type(`gate connect ${TARGET} &`)
  type(port(bob))
  say()
  say(style.dim(`carol (support) reads and changes nothing:  . ${world.players.carol.script}`))
  say(style.dim("No browser here? In another terminal of alice's:  demo-browser 'THE URL THAT GATE LOGIN SHOWS'"))
  say(style.dim('This is for trying out: the provider lets everybody on this machine in as anybody.'))
  say()
  say('It runs until you press Ctrl-C here; then everything is gone.')
}

function showParts({ oidc, relay, postgres, service, client, http, directory, policy }: World): void {
  say()
  const parts = [
    ['people', `alice (engineers), bob (dba), carol (support); they log in at ${oidc.issuer}`],
    ['relay', `${relay.url}, with its own store`],
    ['agent', `demo-agent, which alone knows the password of ${TARGET} and the token of ${SERVICE}`],
    [
      TARGET,
      `PostgreSQL ${postgres.version} on port ${postgres.port}, database shop: customers, cards, orders, users, api_keys`,
    ],
    [SERVICE, `a billing service on port ${service.port}: /customers, /refunds, POST /refunds/{id}`],
    ['clients', `${client.description}; ${http.description}`],
    ['policy', `${policy} (change it: it counts at once)`],
    ['files', directory],
  ] as const
  for (const [name, text] of parts) say(`  ${style.good('●')} ${style.bold(name.padEnd(11))} ${text}`)
  say()
}
