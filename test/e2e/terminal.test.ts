// gate at a real terminal: the live list of requests, colour, completion. The terminal is util-linux's script(1).
import t from 'tap'
import { hasScript, atTerminal as terminal } from '../support/at-terminal.ts'
import { programs } from '../support/gate.ts'
import { run } from '../support/process.ts'
import { until } from '../support/until.ts'
import { hasPsql, psql, startPsql, startWorld } from '../support/world.ts'

const skip = !hasScript ? 'no script(1) on this machine' : hasPsql ? false : 'no psql on this machine'

t.test('a replay', { skip }, async t => {
  await using world = await startWorld()
  const alice = await world.person('alice')
  await using gate = await alice.connect('prod-db')
  await psql(gate, ['-c', "select 'first'", '-c', "select 'second'"])
  const [{ id = '' } = {}] = JSON.parse((await alice.runInProcess('sessions', '--json')).stdout) as { id: string }[]

  await t.test('plays a session, pauses, steps back and forth, goes to a time, and ends with q', async t => {
    await using replay = terminal(alice.home, ['sessions', 'replay', id, '--speed', '0.25'])
    await replay.waitFor(/prod-db[\s\S]*▶[\s\S]*space pause/)
    replay.child.stdin?.write('$')
    await replay.waitFor(/select 'second'[\s\S]*ended[\s\S]*■/)
    replay.child.stdin?.write('p')
    await replay.waitFor(/■[\s\S]*‖/)
    replay.child.stdin?.write('g')
    await replay.waitFor(/go to: ▏/)
    for (const character of '0') replay.child.stdin?.write(character)
    await replay.waitFor(/go to: 0▏/)
    // Keys that come together would be one to the terminal's reader.
    const before = replay.stdout().length
    replay.child.stdin?.write('\r')
    await until('another picture', () => replay.stdout().length > before)
    replay.child.stdin?.write('+')
    await replay.waitFor(/0\.5×/)
    replay.child.stdin?.write('q')
    t.equal((await replay.finished()).code, 0)
  })

  await t.test('without a terminal is the text export', async t => {
    const text = await alice.run('sessions', 'export', id, '--format', 'text')
    t.match(text.stdout, /✓ +1 {2}select 'first'/)
    t.equal((await alice.run('sessions', 'replay', id)).stdout, text.stdout)
    t.equal((await alice.run('sessions', 'replay', id, '--speed', 'fast')).code, 2)
    t.equal((await alice.run('sessions', 'export', id, '--format', 'pdf')).code, 2)
    t.equal((await alice.run('sessions', 'export', id, '--output', '/nowhere/at/all')).code, 2)
  })
})

t.test('the live list', { skip }, async t => {
  await using world = await startWorld()
  const alice = await world.person('alice')
  const bob = await world.person('bob')
  await using gate = await alice.connect('prod-db', '--task', 'MIG-1')

  await t.test('shows new requests as they come, approves what was looked at, and lets decided ones go', async t => {
    await using list = terminal(bob.home, ['approve'])
    await list.waitFor(/0 waiting for your decision/)
    await using held = startPsql(gate, ['-c', 'delete from orders'])
    const [, id = ''] = await held.waitFor(/request (r_[a-z0-9]+)/)
    await list.waitFor(new RegExp(`1 waiting[\\s\\S]*${id} +\\d+[sm] alice@example\\.com prod-db delete from orders`))
    list.child.stdin?.write('\r')
    await list.waitFor(/engineers[\s\S]*MIG-1[\s\S]*wide-writes[\s\S]*│ delete from orders/)
    list.child.stdin?.write('a')
    await list.waitFor(new RegExp(`approve ${id}\\? y/n`))
    list.child.stdin?.write('y')
    t.equal((await held.finished()).stdout, 'DELETE 1000\n')
    await list.waitFor(new RegExp(`${id}: (approved|used)`))
    await list.waitFor(/1 waiting[\s\S]*0 waiting/)
    list.child.stdin?.write('q')
    t.equal((await list.finished()).code, 0)
  })

  await t.test('denies with a reason that is typed, straight from the list', async t => {
    await using held = startPsql(gate, ['-c', 'delete from users'])
    const [, id = ''] = await held.waitFor(/request (r_[a-z0-9]+)/)
    await using list = terminal(bob.home, ['approve'], { NO_COLOR: '1' })
    await list.waitFor(/1 waiting/)
    list.child.stdin?.write('d')
    await list.waitFor(new RegExp(`│ delete from users[\\s\\S]*deny ${id}, because:`))
    for (const key of 'not now') list.child.stdin?.write(key)
    await list.waitFor(/not now/)
    list.child.stdin?.write('\r')
    t.match((await held.finished()).stderr, /bob@example\.com denied it: not now/)
    list.child.stdin?.write('q')
    await list.finished()
  })

  await t.test('shows only what the filter finds', async t => {
    await using orders = startPsql(gate, ['-c', 'delete from orders'])
    await orders.waitFor(/request (r_[a-z0-9]+)/)
    await using users = startPsql(gate, ['-c', 'delete from users'])
    await users.waitFor(/request (r_[a-z0-9]+)/)
    await using list = terminal(bob.home, ['approve'])
    await list.waitFor(/2 waiting[\s\S]*q quit/)
    list.child.stdin?.write('/')
    await list.waitFor(/show only:/)
    for (const key of 'users') list.child.stdin?.write(key)
    await list.waitFor(/show only: users/)
    const before = list.stdout().length
    list.child.stdin?.write('\r')
    await list.waitFor(/\/ filter \(users\)/)
    const after = list.stdout().slice(before)
    t.match(after, /delete from users/)
    t.notMatch(after.slice(after.lastIndexOf('waiting for your decision')), /delete from orders/)
    list.child.stdin?.write('q')
    t.equal((await list.finished()).code, 0)
    for (const each of [orders, users]) {
      each.kill('SIGINT')
      await each.finished()
    }
  })

  await t.test('what is in a statement cannot move the cursor or change its direction', async t => {
    await using held = startPsql(gate, ['-c', 'delete from users /* \u001b[2J \u202e evil \u0007 */'])
    await held.waitFor(/request (r_[a-z0-9]+)/)
    await using list = terminal(bob.home, ['approve'])
    await list.waitFor(/1 waiting[\s\S]*delete from users [^\n]*/)
    list.child.stdin?.write('\r')
    const [shown] = await list.waitFor(/1 waiting[\s\S]*│ delete from users [^\n]*/)
    t.match(shown, /\\u\{1b\}\[2J \\u\{202e\} evil \\u\{7\}/)
    t.notMatch(shown, /\u202e|\u0007/)
    held.kill('SIGINT')
    await held.finished()
    list.child.stdin?.write('\u0003')
    await list.finished()
  })

  await t.test('without a terminal the same is printed as lines, and as JSON for scripts', async t => {
    await using held = startPsql(gate, ['-c', 'delete from users'])
    const [, id = ''] = await held.waitFor(/request (r_[a-z0-9]+)/)
    t.match((await bob.runInProcess('approve')).stdout, new RegExp(`${id} +waiting +alice@example\\.com +prod-db`))
    t.match(JSON.parse((await bob.runInProcess('approve', '--json')).stdout), [{ id, decidable: true }])
    held.kill('SIGINT')
    await held.finished()
  })

  await t.test('colour is for terminals, and NO_COLOR is heard', async t => {
    const coloured = await terminal(bob.home, ['targets']).finished()
    t.match(coloured.stdout, /\u001b\[2m/)
    const plain = await terminal(bob.home, ['targets'], { NO_COLOR: '1' }).finished()
    t.notMatch(plain.stdout, /\u001b\[/)
    const dumb = await terminal(bob.home, ['targets'], { TERM: 'dumb' }).finished()
    t.notMatch(dumb.stdout, /\u001b\[/)
    t.notMatch((await bob.runInProcess('targets')).stdout, /\u001b/)
  })

  await t.test('completion knows commands and the targets that this person may open', async t => {
    const env = { GATE_HOME: bob.home, GATE_KEYCHAIN: 'file', GATE_RELAY: undefined }
    const complete = async (...words: string[]): Promise<string> =>
      (await run(process.execPath, [programs.gate, 'complete', '--', ...words], { env })).stdout
    t.match(await complete('connect', ''), /^prod-db\tpostgres$/m)
    t.equal(await complete('connect', 'nope'), ':4\n')
    t.match(await complete('con'), /connect/)
    for (const shell of ['bash', 'zsh', 'fish']) {
      const script = await run(process.execPath, [programs.gate, 'complete', shell])
      t.equal(script.code, 0)
      t.match(script.stdout, /gate/)
    }
  })
})

t.test('usage errors exit with 2 and help with 0', async t => {
  const gate = (...args: string[]): ReturnType<typeof run> => run(process.execPath, [programs.gate, ...args])
  t.equal((await gate('--help')).code, 0)
  t.equal((await gate('--version')).code, 0)
  for (const args of [
    ['no-such-command'],
    ['connect'],
    ['deny'],
    ['connect', '--port'],
    ['targets', '--no-such-option'],
  ])
    t.equal((await gate(...args)).code, 2, args.join(' '))
  for (const part of ['relay', 'agent']) {
    const help = await gate(part, '--help')
    t.equal(help.code, 0)
    t.match(help.stdout, new RegExp(`Usage: gate-${part}`))
  }
})
