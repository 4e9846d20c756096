// A local port and the processes that knock at it: this user's get in, others do not.

import { existsSync } from 'node:fs'
import { connect } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { listen } from '@gate/cli/listen'
import { type Endpoint, ownerIn, peerOwner, tableAddress } from '@gate/cli/peer'
import fc from 'fast-check'
import t from 'tap'
import { run } from '../support/process.ts'

const NOBODY = 65_534
const isLinux = process.platform === 'linux'
const isRoot = process.getuid?.() === 0

const knock = (host: string, port: number): string => `
  const socket = require('node:net').connect(${port}, '${host}')
  socket.on('data', data => process.stdout.write(data))
  socket.on('error', error => process.stdout.write(error.code))
  socket.on('close', () => process.stdout.write(' closed'))
`

t.test('a process of this user is served, at both addresses', async t => {
  const refusals: string[] = []
  let served = 0
  await using port = await listen(
    0,
    socket => {
      served += 1
      socket.end('hello')
    },
    why => refusals.push(why),
  )
  t.match(port.addresses, ['127.0.0.1'])
  for (const address of port.addresses) {
    const { stdout } = await run(process.execPath, ['-e', knock(address, port.port)])
    t.equal(stdout, 'hello closed', address)
  }
  t.equal(served, port.addresses.length)
  t.same(refusals, [])
})

t.test(
  'a process of another user is turned away before a byte, and the user is told',
  { skip: isRoot && isLinux ? false : 'NOT TESTED: only root on Linux can start a process of another user' },
  async t => {
    const refusals: string[] = []
    let served = 0
    await using port = await listen(
      0,
      socket => {
        served += 1
        socket.end('hello')
      },
      why => refusals.push(why),
    )
    for (const address of port.addresses) {
      const { stdout } = await run(process.execPath, ['-e', knock(address, port.port)], {
        uid: NOBODY,
        gid: NOBODY,
        cwd: '/',
        env: { HOME: '/', NODE_OPTIONS: '' },
      })
      t.notMatch(stdout, 'hello', address)
      t.match(stdout, 'closed')
    }
    t.equal(served, 0)
    t.same(
      refusals,
      port.addresses.map(
        () => `a process of another user (uid ${NOBODY}) knocked at port ${port.port} and was turned away`,
      ),
    )
  },
)

t.test('a peer that is gone already is not served, and nobody is blamed', async t => {
  const refusals: string[] = []
  let served = 0
  await using port = await listen(
    0,
    () => (served += 1),
    why => refusals.push(why),
  )
  for (let round = 0; round < 20; round += 1) {
    await new Promise<void>(resolve => {
      const socket = connect(port.port, '127.0.0.1', () => {
        socket.resetAndDestroy()
        resolve()
      })
    })
  }
  t.same(refusals, [])
})

t.test('what a program said before it closed is served as that of nobody', async t => {
  const served: [string, boolean][] = []
  await using port = await listen(
    0,
    (socket, isKnown) => socket.on('data', bytes => served.push([String(bytes), isKnown])).resume(),
    why => t.fail(why),
  )
  for (let round = 0; round < 5; round += 1) {
    const socket = connect(port.port, '127.0.0.1', () => socket.write(`word ${round}`, () => socket.destroy()))
    while (served.length <= round) await wait(10)
  }
  t.same(
    served.map(([word]) => word),
    [0, 1, 2, 3, 4].map(round => `word ${round}`),
  )
  t.ok(served.some(([, isKnown]) => !isKnown))
})

t.test('a port that another program has is an error that says so', async t => {
  await using first = await listen(
    0,
    socket => socket.destroy(),
    () => {},
  )
  await t.rejects(
    listen(
      first.port,
      () => {},
      () => {},
    ),
    { code: 'ERR_GATE_PORT_IN_USE', hint: /--port/ },
  )
  const { port } = first
  await first[Symbol.asyncDispose]()
  await using again = await listen(
    port,
    () => {},
    () => {},
  )
  t.equal(again.port, port, 'it is free afterwards')
})

t.test('an address stands in the table as the kernel writes it', async t => {
  const cases: [string, number, string][] = [
    ['127.0.0.1', 5432, '0100007F:1538'],
    ['0.0.0.0', 0, '00000000:0000'],
    ['10.1.2.3', 65535, '0302010A:FFFF'],
    ['::1', 5432, '00000000000000000000000001000000:1538'],
    ['::', 1, '00000000000000000000000000000000:0001'],
    ['fe80::1:2', 1, '000080FE000000000000000002000100:0001'],
    ['2001:db8:1:2:3:4:5:6', 1, 'B80D0120020001000400030006000500:0001'],
    ['::ffff:127.0.0.1', 1, '0000000000000000FFFF00000100007F:0001'],
  ]
  for (const [address, port, expected] of cases) t.equal(tableAddress({ address, port }), expected, address)
})

t.test(
  'a socket’s owner is who stands in its own line',
  { skip: isLinux ? false : 'NOT TESTED: only Linux has /proc/net/tcp' },
  async t => {
    t.ok(existsSync('/proc/net/tcp'))
    const line = (local: string, remote: string, uid: number, inode: number): string =>
      `   0: ${local} ${remote} 01 00000000:00000000 00:00000000 00000000 ${uid}        0 ${inode} 1 0000000000000000 20 4 30 10 -1`
    const endpoint = fc.record({
      address: fc.constantFrom('127.0.0.1', '127.0.0.2'),
      port: fc.integer({ min: 1, max: 4 }),
    })
    const row = fc.record({ from: endpoint, to: endpoint, uid: fc.nat(70_000), inode: fc.nat(3) })
    const same = (a: Endpoint, b: Endpoint): boolean => a.address === b.address && a.port === b.port
    fc.assert(
      fc.property(fc.array(row, { maxLength: 12 }), endpoint, endpoint, (rows, peer, ours) => {
        const table = [
          '  sl  local_address rem_address   st',
          ...rows.map(each => line(tableAddress(each.from), tableAddress(each.to), each.uid, each.inode)),
          '',
        ].join('\n')
        const found = rows.find(each => same(each.from, peer) && same(each.to, ours))
        const owner = ownerIn(table, peer, ours)
        if (found === undefined || found.inode === 0) return owner === 'gone'
        return typeof owner === 'object' && owner.uid === found.uid
      }),
    )
    t.equal(ownerIn('', { address: '127.0.0.1', port: 1 }, { address: '127.0.0.1', port: 2 }), 'gone')
    t.equal(
      ownerIn(`0: 0100007F:0001 0100007F:0002`, { address: '127.0.0.1', port: 1 }, { address: '127.0.0.1', port: 2 }),
      'gone',
    )
    t.equal(await peerOwner({ address: '127.0.0.1', port: 1 }, { address: '127.0.0.1', port: 2 }), 'gone')
  },
)
