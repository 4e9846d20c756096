// What a client may not send on a WebSocket where fields are masked for it.
import { readMessage, renamingRefusal } from '@gate/relay/protocols/http/message'
import t from 'tap'
import { fields } from '#support/masking'

const refused = (said: unknown): string | undefined =>
  renamingRefusal([fields(['users.email'])], [], 'sent', readMessage('sent', Buffer.from(JSON.stringify(said))))?.reason

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
