// A session as frames: exports that other programs read, and a player that steps through statements and terminals alike.
import { asciicast, exported } from '@gate/cli/exports'
import { type Frame, stepFrames, terminalFrames, terminalsOf, typedFrames } from '@gate/cli/frames'
import { type EventView, eventSchema, type SessionView } from '@gate/cli/session-view'
import { DrawingOnly, RESTORED, shownLines } from '@gate/cli/terminal-text'
import { jsonLine } from '@gate/cli/text'
import {
  advance,
  formatPosition,
  MAX_PAUSE_MS,
  type Player,
  parsePosition,
  positionMs,
  pressed,
  startPlayer,
} from '@gate/cli/ui/player'
import { Screen } from '@gate/cli/ui/screen'
import t from 'tap'

const startedMs = Date.UTC(2030, 0, 1, 12)
const session: SessionView = {
  id: 's_1',
  subject: { id: 'i|alice', email: 'alice@example.com', groups: [] },
  target: 'prod-db',
  protocol: 'postgres',
  agent: 'db-agent',
  relay: 'relay_1',
  task: 'MIG-42/3',
  reason: null,
  program: 'psql',
  clientAddress: '10.0.0.7',
  startedMs,
  endedMs: startedMs + 60_000,
  endCode: 'ended',
  commands: 2,
  refused: 1,
  held: 0,
}

const command = (number: number, text: string, effect = 'allow'): object => ({
  type: 'command',
  session: 's_1',
  command: number,
  text,
  decision: { effect, rule: 'some-rule', reason: 'not here' },
})
const events: readonly EventView[] = [
  [1_000, command(1, 'select 1\nfrom t')],
  [1_005, { type: 'outcome', session: 's_1', command: 1, status: 'SELECT 1', rows: 1, durationMs: 4 }],
  [20_000, command(2, 'drop table t', 'deny')],
  // The relay's clock went back.
  [19_000, { type: 'session.end', session: 's_1', code: 'ended' }],
].map(([afterMs, body], index) =>
  eventSchema.parse({ sequence: index + 1, timeMs: startedMs + (afterMs as number), body }),
)

/** What a terminal would print of a program: a prompt, colours, a spinner, an erased screen, a title. */
const terminal: readonly Frame[] = [
  { timeMs: 0, text: '\u001b]0;root@host\u0007$ ' },
  { timeMs: 500, text: 'ls' },
  { timeMs: 900, text: '\r\n\u001b[31mred\u001b[0m\tfile\r\n' },
  { timeMs: 1_000, text: '10%\r50%\r100%\u001b[K\r\n' },
  { timeMs: 60_000, text: '\u001b[2J\u001b[Hafter' },
  { timeMs: 60_100, text: '\b\b\bX\u202e\u001b[?25l' },
]

t.test(
  'a cast is what the format says: one header, then times that never go back, and text that only shows itself',
  async t => {
    const cast = exported('asciicast', session, events)
    const [header = '', ...lines] = cast.trimEnd().split('\n')
    t.match(JSON.parse(header), {
      version: 2,
      width: 120,
      height: 36,
      timestamp: startedMs / 1000,
      title: /alice@example/,
    })
    const frames = lines.map(line => JSON.parse(line) as [number, string, string])
    t.ok(frames.every(([time, kind, text]) => Number.isFinite(time) && kind === 'o' && typeof text === 'string'))
    t.same(
      frames.map(([time]) => time),
      frames.map(([time]) => time).sort((a, b) => a - b),
    )
    const text = frames.map(([, , written]) => written).join('')
    t.match(text, /prod-db=> select 1\r\nfrom t;\r\n12:00:01Z +1 {2}→ SELECT 1, 1 row, 4 ms\r\n/)
    t.match(text, /prod-db=> drop table t;\r\n12:00:20Z ✗ +2 {2}drop table t — refused by some-rule: not here\r\n/)
    t.notMatch(text, /[^\r]\n/, 'every line begins at the left')
    const typing = frames.filter(([time]) => time > 18 && time < 20)
    t.ok(typing.length >= 3, 'the statement is typed before the moment it came')
    t.match(
      asciicast(session, terminal).split('\n')[1],
      '[0,"o","\\u001b]0;root@host\\u0007$ "]',
      'a terminal as it was',
    )
  },
)

t.test('recorded text cannot reach the terminal that plays it', async t => {
  const evil = [{ ...events[0], body: { ...command(1, '\u001b]52;c;AAAA\u0007\u001b[2Jx\u202e') } }].map(each =>
    eventSchema.parse(each),
  )
  for (const format of ['asciicast', 'text'] as const)
    t.notMatch(exported(format, session, evil).replaceAll('\\u001b', '\u001b'), /\u001b|\u0007|\u202e/, format)
})

t.test('JSON lines have every event as it was recorded, text has a line for each', async t => {
  const lines = exported('jsonl', session, events)
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as object)
  t.same(lines, [{ session }, ...events.map(event => ({ event }))])
  const text = exported('text', session, events).split('\n')
  t.match(
    text[0],
    /^s_1 alice@example\.com on prod-db, 2030-01-01 12:00:00Z \(agent db-agent, psql, from 10\.0\.0\.7, task MIG-42\/3\)$/,
  )
  t.match(text[1], /^2030-01-01 12:00:01Z ✓ {3}1 {2}select 1 from t$/)
  t.equal(text.length, events.length + 2)
})

const view = { columns: 40, rows: 10 }
const shown = async (frames: readonly Frame[], colour = false): Promise<string[]> => {
  const screen = new Screen({ columns: 40, rows: 10 }, colour)
  await screen.show(frames, frames.length)
  return screen.lines(view)
}

t.test('a screen shows what a terminal would, without acting', async t => {
  t.same(await shown(terminal.slice(0, 4)), ['$ ls', 'red     file', '100%'])
  t.same(await shown(terminal), ['afX\\u{202e}er'])
  t.same(await shown([]), [])
  const cut = [
    { timeMs: 0, text: '\u001b[' },
    { timeMs: 1, text: '31mx\u001b]0;ti' },
    { timeMs: 2, text: 'tle\u0007y' },
  ]
  t.same(await shown(cut), ['xy'], 'a sequence that comes in two pieces')
  const editor = [{ timeMs: 0, text: 'before\u001b[?1049h\u001b[2J\u001b[3;5Hin the editor\u001b[1;1Htop' }]
  t.same(await shown(editor), ['top', '', '    in the editor'], 'programs that use the whole screen')
  t.same(await shown([...editor, { timeMs: 1, text: '\u001b[?1049l' }]), ['before'])
  t.same(
    await shown([{ timeMs: 0, text: '漢字', size: { columns: 3, rows: 5 } }]),
    ['漢', '字'],
    'columns, not characters',
  )
})

t.test('a screen keeps colours, where the person wants them', async t => {
  const text = 'a\u001b[1;31mb\u001b[0m\u001b[38;5;200mc\u001b[48;2;1;2;3md\u001b[0m e'
  t.same(await shown([{ timeMs: 0, text }], true), [
    'a\u001b[0m\u001b[1;38;5;1mb\u001b[0m\u001b[38;5;200mc\u001b[0m\u001b[38;5;200;48;2;1;2;3md\u001b[0m e',
  ])
  t.same(await shown([{ timeMs: 0, text }]), ['abcd e'])
})

t.test('a screen goes back, and a live one gets the same', async t => {
  const screen = new Screen({ columns: 40, rows: 10 }, false)
  await screen.show(terminal, terminal.length)
  await screen.show(terminal, 2)
  t.same(screen.lines(view), ['$ ls'])
  const live = new Screen({ columns: 40, rows: 10 }, false)
  for (const frame of terminal) await live.add(frame)
  await live.settle()
  t.same(live.lines(view), await shown(terminal))
})

/** A session with a command without a terminal, and two with one. */
const withTerminals: readonly EventView[] = [
  [0, command(1, 'uptime')],
  [100, command(2, 'bash')],
  [110, { type: 'terminal', session: 's_1', command: 2, columns: 80, rows: 24 }],
  [200, { type: 'output', session: 's_1', command: 2, text: '$ ls\r\n\u001b[31mfile\u001b[0m\r\n' }],
  [250, { type: 'terminal', session: 's_1', command: 3, columns: 20, rows: 5 }],
  [260, { type: 'output', session: 's_1', command: 3, text: 'another' }],
  [300, { type: 'terminal', session: 's_1', command: 2, columns: 100, rows: 30 }],
  [290, { type: 'output', session: 's_1', command: 2, text: '\u001b]52;c;QUFB', cutFrom: undefined }],
  [400, { type: 'output', session: 's_1', command: 2, text: 'QUFB\u0007bye\u001b[6n' }],
  [500, { type: 'output', session: 's_1', command: 2, text: '', cutFrom: 5_000 }],
].map(([afterMs, body], index) =>
  eventSchema.parse({ sequence: index + 1, timeMs: startedMs + (afterMs as number), body }),
)

t.test('the terminals of a session are frames as they were, and casts in their size', async t => {
  t.same(terminalsOf(withTerminals), [2, 3])
  t.same(terminalsOf(events), [])
  const frames = terminalFrames(session, withTerminals, 2)
  t.same(
    frames.map(({ timeMs, size }) => [timeMs, size?.columns]),
    [
      [110, 80],
      [200, undefined],
      [300, 100],
      [300, undefined],
      [400, undefined],
      [500, undefined],
    ],
    'in order of time, whatever the clock did',
  )
  t.same(await shown(frames), ['$ ls', 'file', 'bye', '[gate: from here on not all is recorded]'])
  const [header = '', ...lines] = exported('asciicast', session, withTerminals, 2).trimEnd().split('\n')
  t.match(JSON.parse(header), { version: 2, width: 80, height: 24 })
  t.same(
    lines.map(line => JSON.parse(line) as unknown),
    [
      [0.2, 'o', '$ ls\r\n\u001b[31mfile\u001b[0m\r\n'],
      [0.3, 'r', '100x30'],
      [0.4, 'o', 'bye'],
      [0.5, 'o', '\u001b[0m\u001b(B\u000f\r\n[gate: from here on not all is recorded]\r\n'],
      [0.5, 'o', RESTORED],
    ],
    'without what fills clipboards or asks the terminal',
  )
  t.match(exported('text', session, withTerminals), /showed\n {2}│ \$ ls\n {2}│ file\n/)
})

t.test('what may be sent to a terminal again draws and does nothing else', async t => {
  const evil = [
    '\u001b]0;title\u0007',
    '\u001b]52;c;AAAA\u001b\\',
    '\u001bP+q544e\u001b\\',
    '\u001b_Gi=1;AAAA\u001b\\',
    '\u001b[6n',
    '\u001b[c',
    '\u001b[>c',
    '\u001b[21t',
    '\u001b[?2026$p',
    '\u001b[>q',
    '\u001bZ',
    '\u009d52;c;AAAA\u009c',
    '\u001bc',
    '\u001b[5i',
    '\u001b[?1003h',
    '\u001b[?25;2004h',
    '\u001b[>1u',
    '\u001b[!p',
    '\u001b[6\nn',
  ]
  const good = [
    '\u001b[31m',
    '\u001b[2J',
    '\u001b[H',
    '\u001b[?25l',
    '\u001b[?1049h',
    '\u001b[10;20r',
    '\u001b(0',
    '\u001b7',
    'é漢',
  ]
  for (const sequence of evil) {
    const text = `before${sequence}after`
    const whole = new DrawingOnly().take(text)
    t.match(whole, /^before.*after$/s)
    t.notMatch(whole, /\u001b|\u009d/, JSON.stringify(sequence))
    for (let at = 1; at < text.length; at += 1) {
      const drawing = new DrawingOnly()
      t.equal(drawing.take(text.slice(0, at)) + drawing.take(text.slice(at)), whole, `in two pieces, at ${at}`)
    }
  }
  for (const sequence of good)
    t.equal(new DrawingOnly().take(`a${sequence}b`), `a${sequence}b`, JSON.stringify(sequence))
  const endless = new DrawingOnly()
  t.equal(endless.take(`\u001b]0;${'x'.repeat(10_000)}`), '')
  t.equal(endless.take(`${'y'.repeat(10_000)}\u0007after`), 'after', 'a long string is one until its end')
  const ended = new DrawingOnly()
  t.equal(ended.take('a\u001b]0;title\u0018shown\u001b[3\u001aagain'), 'ashownagain', 'CAN and SUB end everything')
  t.equal(new DrawingOnly().take('\u001bPq\u0007hidden\u001b\\shown'), 'shown', 'BEL ends no string but OSC')
  t.equal(new DrawingOnly().take('\u0005\u001b[3Ja'), 'a', 'no answerback, and scrollback stays')
  t.equal(
    new DrawingOnly().take('\u001b[2147483647S\u001b[38;5;200m'),
    '\u001b[1000S\u001b[38;5;200m',
    'nothing a billion times',
  )
  t.same(shownLines('\u001b[31m10%\r50%\r100%\u001b[K\r\n\r\n\u202eevil\u001b]0;x\u0007\n'), ['100%', '\\u{202e}evil'])
  t.same(shownLines('SECRET OUTPUT\r \r\n'), [' ECRET OUTPUT'], 'what was not written over stays')
})

t.test('a screen is as large as people can see, and quick', async t => {
  const wide = [{ timeMs: 0, text: `${'x'.repeat(60)}\r\nnext 漢字漢字 end`, size: { columns: 100, rows: 30 } }]
  t.same(await shown(wide), ['x'.repeat(40), 'next 漢字漢字 end'])
  t.same(await shown(wide, true), ['x'.repeat(40), 'next 漢字漢字 end'], 'wide characters take two columns')
  const tall = [
    {
      timeMs: 0,
      text: Array.from({ length: 30 }, (_, row) => `row ${row}`).join('\r\n'),
      size: { columns: 20, rows: 30 },
    },
  ]
  t.same((await shown(tall))[0], 'row 20', 'the last lines')
  const huge = new Screen({ columns: 4_000_000_000, rows: 4_000_000_000 }, false)
  await huge.show([{ timeMs: 0, text: '\u001b[2147483647b\u001b[2147483647Shere' }], 1)
  t.same(huge.lines(view).at(-1), 'here')
  const begun = [
    { timeMs: 0, text: 'hello' },
    { timeMs: 1, text: '\u001b]0;' },
  ]
  const back = new Screen(view, false)
  await back.show(begun, 2)
  await back.show(begun, 1)
  t.same(back.lines(view), ['hello'], 'what had begun does not go on')
})

t.test('JSON cannot reach the terminal that it is printed to', async t => {
  const text = '\u009d52;c;AAAA\u009c\u202e\u007f\u001b'
  t.notMatch(jsonLine({ text }), /[\u0000-\u001f\u007f-\u009f\u202e]/)
  t.same(JSON.parse(jsonLine({ text })), { text })
})

type Key = Parameters<typeof pressed>[2]
const key = (name?: keyof Key): Key => ({ ...(name === undefined ? {} : { [name]: true }) }) as unknown as Key
const press = (player: Player, input: string, name?: keyof Key): Player => {
  const next = pressed(player, input, key(name))
  if (next === undefined) throw new Error('it ended')
  return next
}

for (const [kind, frames] of [
  ['statements', stepFrames(session, events)],
  ['typed statements', typedFrames(session, events)],
  ['a terminal', terminal],
] as const) {
  t.test(`a replay of ${kind} plays, pauses, steps, seeks and ends`, async t => {
    const begun = startPlayer(frames, 1, 0)
    t.ok(begun.shown >= 1)
    t.equal(begun.playing, true)
    t.equal(advance(begun, 0).shown >= begun.shown, true)
    const paused = press(begun, ' ')
    t.equal(advance(paused, 100_000).shown, begun.shown, 'a pause takes no time')
    t.equal(press(paused, 'n').shown, begun.shown + 1)
    t.equal(press(press(paused, '', 'rightArrow'), '', 'leftArrow').shown, begun.shown)
    t.equal(press(paused, 'p').shown, Math.max(1, begun.shown - 1))
    t.equal(press(paused, '$').shown, frames.length)
    t.equal(press(press(paused, '$'), 'n').shown, frames.length, 'there is nothing behind the end')
    let player = begun
    for (let ticks = 0; player.playing && ticks < 10_000; ticks += 1) player = advance(player, 50)
    t.equal(player.shown, frames.length, 'it comes to its end by itself')
    t.equal(press(player, ' ').shown < frames.length, true, 'and begins again')
    const asked = [...'0:10'].reduce((state, digit) => press(state, digit), press(paused, 'g'))
    const there = press(asked, '', 'return')
    t.ok(positionMs(there) <= 10_000)
    t.ok((frames[there.shown]?.timeMs ?? Number.POSITIVE_INFINITY) > 10_000)
    t.equal(press(asked, '', 'escape').shown, paused.shown)
    t.equal(pressed(begun, 'q', key()), undefined)
  })
}

t.test('the pace: long pauses are short, and speed counts', async t => {
  const frames = [0, 100, 3_600_000].map(timeMs => ({ timeMs, text: '.' }))
  const begun = startPlayer(frames, 1, 0)
  t.equal(advance(begun, 99).shown, 1)
  t.equal(advance(advance(begun, 99), 1).shown, 2)
  t.equal(advance(begun, 100 + MAX_PAUSE_MS).shown, 3)
  t.equal(advance(press(begun, '+'), 50).shown, 2, 'twice as fast')
  t.equal(advance(press(begun, '-'), 100).shown, 1)
  t.equal(startPlayer(frames, 1, 3_600_000).shown, 3)
  t.equal(startPlayer([], 1, 0).shown, 0)
  t.equal(advance(startPlayer([], 1, 0), 50).playing, false)
  t.same(['90', '1:30', '1:01:30', '1.5', 'x', '', '1:99'].map(parsePosition), [
    90_000,
    90_000,
    3_690_000,
    1_500,
    undefined,
    undefined,
    undefined,
  ])
  t.same([0, 65_000, 3_909_000].map(formatPosition), ['00:00', '01:05', '1:05:09'])
})
