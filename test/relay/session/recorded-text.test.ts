// What the record gets to see of commands and terminals: cut, without what is masked, and sealed where policy says so.
import { createHash, createHmac } from 'node:crypto'
import { createPolicy } from '@gate/relay/policy/decide'
import { compilePolicy } from '@gate/relay/policy/rules'
import { vocabulary } from '@gate/relay/protocols/postgres/operation'
import { Sealer } from '@gate/relay/record/sealer'
import { defaultRecordLimits } from '@gate/relay/session/record-limits'
import { silentLog } from '@gate/shared/log'
import { Decrypter, generateX25519Identity, identityToRecipient } from 'age-encryption'
import t from 'tap'
import { recordTerms } from '../../support/record-terms.ts'
import { command, policyText, startSessionGates } from '../../support/session-gates.ts'

const gates = await startSessionGates()
t.teardown(() => gates[Symbol.asyncDispose]())
const { clock, open } = gates

t.test('long texts are cut and marked, and a repeated one is written once', async t => {
  await using opened = await open()
  const long = `select '${'é😀'.repeat(40_000)}'`
  const medium = `select '${'x'.repeat(200)}'`
  for (const sql of [long, medium, medium, 'select 1', 'select 1', medium])
    await opened.decide([command('select', sql)])
  const [cut, ...rest] = await opened.recorded('command')
  // 32 KiB, to the last whole character.
  const text = Buffer.from(long).toString('utf8', 0, 32_768)
  const sha256 = createHash('sha256').update(long).digest('hex')
  t.match(cut, { cutFrom: Buffer.byteLength(long), sha256, text })
  t.ok(cut?.type === 'command' && cut.text.length === text.length)
  t.match(
    rest.map(body => (body.type === 'command' ? [body.text, body.sameTextAs] : [])),
    [
      [medium, undefined],
      ['', 2],
      ['select 1', undefined],
      ['select 1', undefined],
      ['', 2],
    ],
  )
})

t.test('what is masked for somebody is recorded as it may be, and its hash is keyed', async t => {
  const key = Buffer.alloc(32, 7)
  await using opened = await open(['engineers'], undefined, recordTerms({ key }))
  const raw = `select '${'secret '.repeat(10_000)}'`
  const redacted = command('select', raw)
  const recorded = { text: "select '‹redacted:1›'", parameters: [{ text: '‹redacted:2›', format: 'text' as const }] }
  await opened.decide([{ ...redacted, recorded: { ...recorded, isCut: true, parameterCount: 9 } }])
  const [event] = await opened.recorded('command')
  const keyedSha256 = createHmac('sha256', key).update(raw).digest('hex')
  t.match(event, { ...recorded, cutFrom: raw.length, keyedSha256, parametersCutFrom: 9 })
  t.notMatch(JSON.stringify(event), /secret|"sha256"/)
})

t.test('names and reasons are searched by the detectors too', async t => {
  await using opened = await open()
  const facts = { hasWhere: false, objectType: '', columns: ['ada@mail.example', 'id'] }
  const resources = [{ kind: 'table', name: 'public.bob@mail.example', mode: 'read' as const }]
  const refusal = { effect: 'deny' as const, rule: 'mask', reason: 'eve@mail.example is masked', hint: undefined }
  await opened.decide([{ ...command('select', 'select 1', { facts, resources }), refusal }])
  const [event] = await opened.recorded('command')
  t.notMatch(JSON.stringify(event), /mail\.example/)
  t.match(event, { facts: { columns: [/redacted/, 'id'] }, resources: [{ name: /^‹redacted/ }] })
})

t.test('when the bytes of a session are used up, its commands run on, and their hashes are recorded', async t => {
  const limits = { ...defaultRecordLimits, sessionBytes: 300 }
  await using opened = await open(['engineers'], undefined, recordTerms({ limits }))
  const sqls = Array.from({ length: 5 }, (_, index) => `select ${index}, '${'x'.repeat(100)}'`)
  for (const sql of sqls) t.equal((await opened.decide([command('select', sql)])).settled.effect, 'allow')
  const events = await opened.recorded('command', 'limit')
  t.match(
    events.map(body => (body.type === 'command' ? body.text : body.type)),
    [sqls[0], sqls[1], 'limit', '', '', ''],
  )
  t.match(events[2], { of: 'session', limitBytes: 300 })
  t.match(events.at(-1), {
    action: 'select',
    decision: { effect: 'allow' },
    cutFrom: sqls[4]?.length,
    sha256: createHash('sha256')
      .update(sqls[4] ?? '')
      .digest('hex'),
  })
})

t.test('the bytes of a target are those of all its sessions', async t => {
  const limits = { ...defaultRecordLimits, targetBytesPerDay: 150 }
  const terms = recordTerms({ limits })
  await using first = await open(['engineers'], undefined, terms)
  await using second = await open(['engineers'], undefined, terms)
  await first.decide([command('select', `select '${'x'.repeat(100)}'`)])
  await second.decide([command('select', `select '${'y'.repeat(100)}'`)])
  t.match(await second.recorded('command', 'limit'), [
    { type: 'limit', of: 'target', limitBytes: 150 },
    { type: 'command', text: '', cutFrom: 109 },
  ])
})

/** A session whose commands are recorded in full, and what reads them. */
async function openInFull() {
  const identity = await generateX25519Identity()
  const sealer = await Sealer.open([await identityToRecipient(identity)], clock, silentLog)
  const opened = await open(['engineers'], undefined, recordTerms({ seal: text => sealer.seal(text) }))
  const text = policyText.replace('name: all,', 'name: all, record: full,')
  opened.state.policy = createPolicy(compilePolicy([{ file: 'policy.yaml', text }], vocabulary, { seals: true }))
  const decrypter = new Decrypter()
  decrypter.addIdentity(identity)
  return { opened, decrypter }
}

t.test('record: full keeps what was sent for the recipients, and no more than fits', async t => {
  const { opened: inFull, decrypter } = await openInFull()
  await using opened = inFull
  const parameters = [{ text: 'the secret', bytes: 10, format: 'text' as const }]
  const sql = `select ${'1 + '.repeat(30)} $1`
  const more = { ...command('select', sql, { parameters }) }
  const recorded = { text: `${sql} `, isCut: false, parameters: [{ text: '‹redacted:1›', format: 'text' as const }] }
  await opened.decide([{ ...more, recorded: { ...recorded, parameterCount: 1 } }])
  await opened.decide([{ ...more, recorded: { ...recorded, parameterCount: 1 } }])
  await opened.decide([command('select', `select '${'é'.repeat(100_000)}'`)])
  const events = await opened.recorded('command')
  const read = async (index: number) => {
    const event = events[index]
    const sealed = event?.type === 'command' ? (event.sealed ?? '') : ''
    return JSON.parse(await decrypter.decrypt(Buffer.from(sealed, 'base64'), 'text')) as Record<string, string>
  }
  t.notMatch(JSON.stringify(events), /the secret/)
  t.same(await read(0), { text: sql, parameters })
  t.same(await read(1), { parameters }, 'the text is that of the command before')
  t.match(events[1], { sameTextAs: 1 })
  t.match(events[2], { sealedCut: true, cutFrom: 200_009 })
  t.match((await read(2))['text'], /^select 'é{1000}/)
  t.ok(Math.max(...events.map(event => Buffer.byteLength(JSON.stringify(event)))) < 64_000)
})

t.test('a terminal is written down until the outcome of its command, and sealed where its command is', async t => {
  const { opened: inFull, decrypter } = await openInFull()
  await using opened = inFull
  const { gate } = opened
  const [number = 0] = (await opened.decide([command('select')])).commands
  t.throws(() => gate.terminal(number + 1, { columns: 80, rows: 24 }), /does not run/)
  const terminal = gate.terminal(number, { columns: 0, rows: 4_294_967_295 })
  t.throws(() => gate.terminal(number, { columns: 80, rows: 24 }), /has one/)
  const text16 = '4111 1111 1111 1111 é\r\n'
  const bytes = Buffer.from(`${'plain\r\n'.repeat(3)}${text16}`)
  for (const byte of bytes) await terminal.output(Uint8Array.of(byte))
  terminal.resize({ columns: 100, rows: 30 })
  terminal.resize({ columns: 110, rows: 30 })
  await terminal.output(Buffer.from('x'))
  terminal.resize({ columns: 120, rows: 30 })
  await terminal.output(Buffer.from([0x61, 0xff, 0xc3]))
  gate.observe({ command: number, rows: undefined, bytes: 3, status: 'exit 0' })
  t.throws(() => terminal.output(Buffer.from('more')), { code: 'ERR_GATE_INTERNAL' }, 'nothing comes after its end')
  t.throws(() => terminal.resize({ columns: 1, rows: 1 }), { code: 'ERR_GATE_INTERNAL' })
  await opened.decide([command('insert')])
  const events = await opened.recorded('terminal', 'output', 'outcome')
  t.match(events, [
    { type: 'terminal', command: number, columns: 1, rows: 1_000 },
    { type: 'output', text: /^plain\r\nplain\r\nplain\r\n‹redacted:[0-9a-f]{16}› é\r\n$/ },
    { type: 'terminal', columns: 110, rows: 30 },
    { type: 'output', text: 'x' },
    { type: 'terminal', columns: 120, rows: 30 },
    { type: 'output', text: 'a\ufffd\ufffd' },
    { type: 'outcome', command: number },
  ])
  const [, first, , second] = events
  const sealed = first?.type === 'output' ? (first.sealed ?? '') : ''
  t.same(JSON.parse(await decrypter.decrypt(Buffer.from(sealed, 'base64'), 'text')), { text: bytes.toString('utf8') })
  t.notOk('sealed' in (second ?? {}), 'where nothing was replaced there is nothing to seal')

  const [again = 0] = (await opened.decide([command('select')])).commands
  const other = gate.terminal(again, { columns: 80, rows: 24 })
  const large = '\u001b[1m漢😀'.repeat(3_000)
  await other.output(Buffer.from(large))
  gate.end()
  await opened.decide([command('insert')])
  const outputs = (await opened.recorded('output')).slice(3)
  t.equal(
    outputs.map(event => (event.type === 'output' ? event.text : '')).join(''),
    large,
    'cut into events, and whole',
  )
  t.ok(Math.max(...outputs.map(event => Buffer.byteLength(JSON.stringify(event)))) < 64_000)

  const [third = 0] = (await opened.decide([command('select')])).commands
  const secret = gate.terminal(third, { columns: 80, rows: 24 })
  const key = `-----BEGIN PRIVATE KEY-----\n${'AbCdEf0123456789+/AbCdEf0123456789+/AbCdEf0123456789+/AbCdEf01\n'.repeat(48)}-----END PRIVATE KEY-----\n`
  await secret.output(Buffer.from(`${'a line of 25 characters..\n'.repeat(100)}${key}`))
  gate.observe({ command: third, rows: undefined, bytes: 0, status: 'exit 0' })
  await opened.decide([command('insert')])
  const last = (await opened.recorded('output')).slice(3 + outputs.length)
  t.notMatch(JSON.stringify(last), 'AbCdEf', 'a key that does not fit into one event')
  t.match(JSON.stringify(last), 'a line of 25 characters')
})
