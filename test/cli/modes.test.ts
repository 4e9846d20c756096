// What keys do in the live list: nobody decides over what they could not see, and what is decided is what was on the screen.

import type { RequestDetail, RequestView } from '@gate/cli/request-view'
import { printable, wrapped } from '@gate/cli/text'
import { initial, type Mode, press } from '@gate/cli/ui/modes'
import { detailLines } from '@gate/cli/ui/request-details'
import { filtered } from '@gate/cli/ui/request-list'
import fc from 'fast-check'
import t from 'tap'

type Key = Parameters<typeof press>[2]

const none = {
  ...{ upArrow: false, downArrow: false, leftArrow: false, rightArrow: false, pageDown: false, pageUp: false },
  ...{ home: false, end: false, return: false, escape: false, ctrl: false, shift: false, tab: false, backspace: false },
  ...{ delete: false, meta: false, super: false, hyper: false, capsLock: false, numLock: false },
} as Key

const view = (id: string, more: Partial<RequestView> = {}): RequestView => ({
  ...{
    id,
    kind: 'command',
    state: 'waiting',
    target: 'prod-db',
    protocol: 'postgres',
    rule: 'wide',
    approvers: '1 of dba',
  },
  subject: { id: 'i|alice', email: 'alice@example.com', groups: ['engineers'] },
  ...{ action: 'delete', text: `delete from ${id}`, cut: false, parameters: [], resources: [], context: {} },
  ...{ policy: 'p', nonce: 'n', createdMs: 0, expiresMs: 60_000, decidable: true },
  ...more,
})
const detail = (id: string, more: Partial<RequestDetail> = {}): RequestDetail => ({
  ...view(id),
  nowMs: 0,
  exact: { command: `delete from ${id}`, parameters: '' },
  history: [],
  decisions: [],
  ...more,
})

const list = [view('r_1'), view('r_2'), view('r_3')]

/** Presses keys one after the other; words in brackets are special keys. */
function type(mode: Mode, keys: string, requests = list): { mode: Mode; commands: unknown[] } {
  const commands: unknown[] = []
  let current = mode
  for (const [, special, plain = ''] of keys.matchAll(/<(\w+)>|([\s\S])/g)) {
    const key = special === undefined ? none : { ...none, [special]: true }
    const next = press(current, plain, key, requests, 100)
    current = next.mode
    if (next.command !== undefined) commands.push(next.command)
  }
  return { mode: current, commands }
}

t.test('the list is walked through, and its details are opened', async t => {
  t.match(type(initial, 'jj<return>'), {
    mode: { openId: 'r_3', request: undefined },
    commands: [{ do: 'open', id: 'r_3' }],
  })
  t.match(type(initial, 'jjjjj<upArrow><return>').mode, { openId: 'r_2' })
  t.same(type(initial, 'q').commands, [{ do: 'quit' }])
  t.same(type(initial, '<return>ad', []).commands, [], 'of nothing, nothing')
})

t.test('approving takes two keys, and the details have to be there', async t => {
  const asked = type(initial, 'a')
  t.match(asked.mode, { openId: 'r_1', prompt: 'approve' })
  t.same(type(asked.mode, 'y').commands, [], 'too soon')
  const there = { ...asked.mode, request: detail('r_1') }
  t.match(type(there, 'y').commands, [{ do: 'decide', request: { id: 'r_1' }, word: { verdict: 'approve' } }])
  t.same(type(there, 'n').commands, [])
  t.same(type({ ...there, prompt: 'none' }, 'y').commands, [])
})

t.test('a denial needs a reason, a grant a time that the rule permits', async t => {
  const open: Mode = { ...initial, openId: 'r_1', request: detail('r_1', { grantMaxMs: 3_600_000 }) }
  t.same(type(open, 'd<return>').commands, [])
  t.match(type(open, 'dno<return>').commands, [{ word: { verdict: 'deny', reason: 'no' } }])
  t.same(type(open, 'dno<escape>').commands, [])
  t.match(type(open, 'g30m<return>').commands, [{ word: { verdict: 'approve', grantMs: 1_800_000 } }])
  t.same(type(open, 'g2h<return>').commands, [], 'longer than the rule permits')
  t.same(type(open, 'gsoon<return>').commands, [])
  t.same(type({ ...open, request: detail('r_1') }, 'g30m<return>').commands, [], 'no grants')
  t.same(type({ ...open, request: detail('r_1', { decidable: false }) }, 'adg').commands, [])
  t.match(type({ ...open, request: detail('r_1', { kind: 'grant', grantMs: 60_000 }) }, 'ay').commands, [
    { word: { verdict: 'approve', grantMs: 60_000 } },
  ])
})

t.test('a filter keeps what has all its words, anywhere', async t => {
  t.match(type(initial, '/alice r_2<return>').mode, { filter: 'alice r_2', prompt: 'none' })
  t.same(type(initial, '/x<escape>').mode.filter, '')
  t.same(
    filtered(list, 'ALICE r_2').map(({ id }) => id),
    ['r_2'],
  )
  t.same(filtered(list, 'nobody'), [])
})

t.test('nothing of a request is left out, whatever the size, and nothing in it moves the cursor', async t => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 400 }), fc.integer({ min: 20, max: 120 }), (text, columns) => {
      const lines = detailLines(detail('r_1', { text }), columns)
      const statement = lines.filter(line => line.startsWith('│ ')).map(line => line.slice(2))
      return statement.join('') === printable(text).replaceAll('\n', '')
    }),
  )
  t.same(wrapped('abcdef', 4), ['abcd', 'ef'])
  t.same(wrapped('漢字漢', 4), ['漢字', '漢'])
  t.same(wrapped('', 4), [''])
  const deceiving = detailLines(detail('r_1', { text: 'select 1 \u202e-- ;t morf eteled' }), 80).join('\n')
  t.match(deceiving, '\\u{202e}')
})
