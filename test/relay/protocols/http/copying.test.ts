// Which copies would carry what is masked to where it is not.
import { type Copying, copiesOf, leavesMasks } from '@gate/relay/protocols/http/copying'
import type { Location } from '@gate/relay/protocols/http/location'
import type { Obligation } from '@gate/shared/model'
import t from 'tap'

const route = '/users/{id}'
const masks = [{ kind: 'mask-fields', fields: ['ssn'], routes: [route] }] as unknown as readonly Obligation[]
const at = (plain: string): Location => ({ plain, parameters: [] as const }) as unknown as Location

function leaves(from: string, to: string, field = 'x-amz-copy-source'): boolean {
  const sources = [{ field, written: from, location: at(from) }]
  const copies: readonly Copying[] = copiesOf({ method: 'PUT', location: at(to), destination: undefined, sources }, [
    route,
  ])
  return leavesMasks('PUT', () => copies, masks)
}

t.test('a source in a header is where any end of it is', async t => {
  t.ok(leaves('/users/7', '/public/7'))
  t.ok(leaves('/bucket/users/7', '/public/7'))
  t.notOk(leaves('/bucket/users/7', '/users/8'), 'its mask binds there as well')
  t.notOk(leaves('/bucket/orders/7', '/public/7'))
  t.ok(leaves('/orders/7', '/public/7', 'x-object-manifest'), 'what a manifest names may be anything')
})

t.test('one of too many segments may be any path', async t => {
  t.notOk(leaves('/a'.repeat(60), '/public/7'))
  t.ok(leaves('/a'.repeat(30_000), '/public/7'))
  t.notOk(leaves('/a'.repeat(30_000), '/users/8'))
})
