// What a client may not send on a WebSocket where fields are masked for it.
import { readMessage, renamingRefusal } from '@gate/relay/protocols/http/message'
import t from 'tap'
import { fields } from '#support/masking'

const refusedText = (text: string): string | undefined =>
  renamingRefusal([fields(['users.email'])], [], 'sent', readMessage('sent', Buffer.from(text)))?.reason
const refused = (said: unknown): string | undefined => refusedText(JSON.stringify(said))

t.test('fields under other names', async t => {
  for (const said of [
    { type: 'items', action: 'read', query: { alias: { e: 'email' }, fields: ['e'] } },
    { type: 'items', query: { aggregate: { max: ['email'] } } },
    { select: 'e:email' },
  ])
    t.match(refused(said), /the message asks for one of them under another name/)
  for (const said of [{ type: 'subscribe', payload: { query: '{e:email}' } }, { query: '{emails @stream}' }])
    t.match(refused(said), /the message may ask for some under other names/)
  for (const said of [
    { type: 'items', query: { alias: { e: 'name' }, fields: ['email'] } },
    { text: 'email as it is', to: 'users' },
    ['email', { id: 1 }],
    1,
  ])
    t.equal(refused(said), undefined, JSON.stringify(said))
})

t.test('packets of Socket.IO are looked into', async t => {
  for (const packet of [
    '42["find","users",{"$select":["email as e"]}]',
    '42/admin,7["read",{"query":{"alias":{"e":"email"}}}]',
    '420["find",{"fields":"e:email"}]',
    // A service takes these for packets as well, and answers with plain ones.
    '421234567["find",{"select":{"e":"email"}}]',
    '42/a.b,["find",{"select":{"e":"email"}}]',
    '451-["find",{"_placeholder":true,"num":0},{"fields":"e:email"}]',
  ])
    t.match(refusedText(packet), /the message asks for one of them under another name/, packet)
  for (const packet of ['42["q",{"query":"{e:email}"}]', '42["q",{"query":{"a":1}}', '42["q",{"query":1,"query":2}]'])
    t.match(refusedText(packet), /may ask for some under other names/, packet)
  t.match(refusedText('42["patch",{"op":"copy","from":"/email","path":"/a"}]'), /copies, moves or tests/)
  for (const packet of [
    '42["find","users",{"query":{"$select":["email"],"a":"b:c"}}]',
    '420[]',
    '2',
    '3probe',
    '42["chat","select email as e"]',
    '[ann]: my email: x',
    'hello {name}: x',
  ])
    t.equal(refusedText(packet), undefined, packet)
})

t.test('what is deep or long takes no long time', async t => {
  const deep = (inner: string): string => `${'['.repeat(100_000)}${inner}${']'.repeat(100_000)}`
  const began = performance.now()
  for (const inner of ['', '"op"']) t.equal(refused({ a: deep(inner) }), undefined, inner)
  t.equal(refused(Array.from({ length: 30_000 }, () => ({ fl: ['$', '{x}'].join('') }))), undefined)
  t.equal(refused(Array.from({ length: 30_000 }, () => ({ fields: 'a:b' }))), undefined)
  t.ok(performance.now() - began < 10_000)
})
