// What is said of requests that come and go in a list that is watched.
import { changeJson, changeLine, changesOf } from '@gate/cli/request-changes'
import type { RequestDetail, RequestView } from '@gate/cli/request-view'
import t from 'tap'

const waiting = {
  id: 'r_1',
  kind: 'command',
  state: 'waiting',
  subject: { id: 'i|alice', email: 'alice@example.com', groups: [] },
  target: 'prod-db',
  text: 'delete from t',
  expiresMs: 2_000,
} as unknown as RequestView
const ended = (state: string, decisions: unknown[] = [], nowMs = 1_000): RequestDetail =>
  ({ ...waiting, state, decisions, nowMs }) as unknown as RequestDetail
const bob = { id: 'i|bob', email: 'bob@example.com' }

t.test('what is new is said once, and what is gone once', async t => {
  const known = new Map<string, RequestView>()
  t.match(changesOf(known, [waiting]), [{ request: waiting, isGone: false, wasKnown: false }])
  t.same(changesOf(known, [waiting]), [])
  const used = { ...waiting, state: 'used' as const }
  t.match(changesOf(known, [used]), [{ request: used, isGone: false, wasKnown: true }])
  t.match(changesOf(known, []), [{ isGone: true, wasKnown: true }])
  t.same(changesOf(known, []), [])
})

t.test('of what is gone it is said what came of it, and by whom', async t => {
  const gone = { request: waiting, isGone: true, wasKnown: true }
  const line = (end: RequestDetail | undefined): string => changeLine(gone, end)
  const what = 'alice@example.com prod-db delete from t'
  t.equal(changeLine({ ...gone, isGone: false, wasKnown: false }, undefined), `r_1 waiting ${what}`)
  const yes = { by: bob, verdict: 'approve', decidedMs: 1 }
  t.equal(line(ended('used', [yes])), `r_1 approved by bob@example.com: ${what}`)
  t.equal(
    line(ended('approved', [yes, { ...yes, by: { id: 'i|eve\u001b[2J' } }])),
    `r_1 approved by bob@example.com, i|eve\\u{1b}[2J: ${what}`,
  )
  const no = { by: bob, verdict: 'deny', reason: 'not\ntoday', decidedMs: 1 }
  t.equal(line(ended('denied', [yes, no])), `r_1 denied by bob@example.com (not today): ${what}`)
  t.equal(line(ended('expired')), `r_1 expired, undecided: ${what}`)
  t.equal(line(ended('waiting', [], 2_000)), `r_1 expired, undecided: ${what}`, 'before the relay noted it')
  t.equal(line(ended('waiting', [yes])), `r_1 waits for you no longer: ${what}`, 'others have to decide')
  t.equal(line(ended('withdrawn')), `r_1 withdrawn by who asked: ${what}`)
  t.equal(line(undefined), `r_1 waits for you no longer: ${what}`, 'nobody says')
  t.same(changeJson(gone, undefined), { id: 'r_1', state: 'gone' })
  t.same(changeJson(gone, ended('denied', [no])), { id: 'r_1', state: 'gone', became: 'denied', decisions: [no] })
})
