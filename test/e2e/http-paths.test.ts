// Paths that a policy has to say something about, through real processes to a real service.
import t from 'tap'
import type { Connection } from '../support/gate.ts'
import { startHttpWorld } from '../support/http-world.ts'
import { run } from '../support/process.ts'

const policy = (more: string): string => `
targets:
  - match: { labels: { env: prod, protocol: http } }
    allow: { groups: [engineers, support] }
    routes: ["/cars/{id}", "/customers", "/**"]
${more}
    rules:
      - { name: everything, allow: [engineers, support] }
      - { name: seventh, when: 'op.route == "/cars/{id}" && op.path == "/cars/7"', deny: "Not this one." }
      - { name: prices, when: '"price" in op.query', deny: "No prices." }
      - { name: admin, when: 'op.path.startsWith("/admin")', deny: "The admin pages are not for people." }
      - { name: into, when: 'op.written.exists(path, path.startsWith("/admin"))', deny: "Nothing goes there." }
      - { name: from, when: 'op.action == "put" && op.read.exists(path, path.startsWith("/admin"))', deny: "Nothing comes from there." }
      - { name: held, when: 'op.path == "/held"', hold: { approvers: "1 of dba", expires: 60s, mode: retry } }
    mask:
      - { fields: ["email"], routes: ["/customers"], for: { groups: [support] }, with: redact }
      - { fields: ["vin"], for: { groups: [support] }, with: redact }
`

const curl = async ({ port }: Connection, path: string, ...args: string[]): Promise<string> =>
  (await run('curl', ['-s', '--path-as-is', ...args, `http://127.0.0.1:${port}${path}`])).stdout

t.test('parameters of paths reach the service as they are, and no rule or mask is passed by with them', async t => {
  const customer = (
    _request: unknown,
    response: { setHeader(name: string, value: string): void; end(text: string): void },
  ): void => {
    response.setHeader('content-type', 'application/json')
    response.end('{"email":"ann@secret.example"}')
  }
  await using world = await startHttpWorld({
    policy: policy('    path_parameters: keep'),
    answers: { '/customers;v=1': customer, '/Customers': customer, '/customers.json_api': customer },
  })
  const [alice, carol] = [await world.person('alice'), await world.person('carol')]
  await using open = await alice.connect('billing-api')
  await using masked = await carol.connect('billing-api')
  t.match(await curl(open, '/cars;color=red/8;v=1?x=2'), '"url":"/cars;color=red/8;v=1?x=2"')
  t.match(await curl(open, '/cars;color=red/7;v=1'), 'Not this one.')
  t.match(await curl(open, '/cars/8;price=1'), 'No prices.')
  t.match(await curl(open, '/admin;v=1/users'), 'The admin pages')
  t.match(await curl(open, '/cars/..;/admin'), /"status":400.*"hint"/)
  t.match(await curl(open, '/;v=1/admin'), '"status":400')
  for (const path of ['/customers;v=1', '/Customers', '/customers.json_api'])
    t.equal(await curl(masked, path), '{"email":"****"}', path)
  await curl(open, '/cars/9;vin=WVWZZZ1JZ3W386752')
  await curl(open, '/cars/9?of=ann&vin=WVWZZZ1JZ3W386752')
  t.same(
    world.service.asked.map(({ url }) => url),
    [
      '/cars;color=red/8;v=1?x=2',
      '/customers;v=1',
      '/Customers',
      '/customers.json_api',
      '/cars/9;vin=WVWZZZ1JZ3W386752',
      '/cars/9?of=ann&vin=WVWZZZ1JZ3W386752',
    ],
  )
  const recorded = JSON.stringify(await world.relay.events())
  t.match(recorded, 'GET /cars;color=red/8;v=1?x=2')
  t.match(recorded, /GET \/cars\/9;vin=‹redacted:/, 'what is masked for anybody is not recorded of them either')
  t.match(recorded, /"parameters":\["of=ann","vin=‹redacted:/)
  t.notMatch(recorded, 'WVWZZZ1JZ3W386752', 'nor in the facts')
  await world.relay.writePolicy(policy(''))
  let refused = ''
  for (const until = Date.now() + 30_000; Date.now() < until && !refused.includes('semicolon'); )
    refused = await curl(open, '/cars/8;v=1')
  t.match(refused, 'has a semicolon', 'without the policy’s word they are refused')
})

t.test('where COPY and MOVE lead is decided and sent on as the path of a request is', async t => {
  await using world = await startHttpWorld({
    policy: policy('    path_parameters: keep\n    encoded_slashes: keep'),
  })
  await using open = await (await world.person('alice')).connect('billing-api')
  const move = (destination: string, method = 'MOVE'): Promise<string> =>
    curl(open, '/cars/8', '-X', method, '-H', `Destination: ${destination}`)
  for (const [asked, sent] of [
    [`http://127.0.0.1:${open.port}/a/../cars/%38;color=red?x=1`, '/cars/8;color=red?x=1'],
    ['/cars/x%2fy', '/cars/x%2Fy'],
    ['/cars/9', '/cars/9'],
  ] as const)
    t.match(await move(asked), `"destination":"http://127.0.0.1:${world.service.port}${sent}"`, asked)
  const before = world.service.asked.length
  for (const [asked, why] of [
    ['/%61dmin;v=1/x', 'Nothing goes there.'],
    ['/x/..%2Fadmin', /"status":400.*in its Destination/],
    ['/x/..;/admin', /"status":400.*in its Destination/],
    ['/cars/9;price=1', 'No prices.'],
    ['/cars/9?price=1', 'No prices.'],
    ['/cars/9?_method=DELETE', '"status":400'],
    ['http://elsewhere.example/cars/9', /another host.*Write it as a path/],
  ] as const)
    for (const method of ['COPY', 'MOVE']) t.match(await move(asked, method), why, `${method} ${asked}`)
  t.equal(world.service.asked.length, before, 'nothing of these reached the service')
  await move('/cars/9?vin=WVWZZZ1JZ3W386752')
  await move('/cars/9;vin=WVWZZZ1JZ3W386752')
  const recorded = JSON.stringify(await world.relay.events())
  t.match(recorded, /destination: \/cars\/9\?vin=‹redacted:/)
  t.notMatch(recorded, 'WVWZZZ1JZ3W386752')
})

t.test('what a header says is copied is decided, asked about and sent on as a path is', async t => {
  await using world = await startHttpWorld({ policy: policy('') })
  const bob = await world.person('bob')
  await using open = await (await world.person('alice')).connect('billing-api')
  const copy = (source: string, field = 'x-amz-copy-source', to = '/cars/8'): Promise<string> =>
    curl(open, to, '-X', 'PUT', '-H', `${field}: ${source}`)
  for (const [asked, sent] of [
    ['bucket/a%20b?versionId=1', 'bucket/a%20b?versionId=1'],
    ['/bucket/x/../%61', '/bucket/a'],
    ['bucket%2Fkey%2Bx', 'bucket/key%2Bx'],
    ['arn:aws:s3:us-east-1:1:accesspoint/a/object/k', 'arn:aws:s3:us-east-1:1:accesspoint/a/object/k'],
    ['https://store.example/box/b%6Cob?sig=a%2Fb', 'https://store.example/box/blob?sig=a%2Fb'],
  ] as const)
    t.match(await copy(asked), `"x-amz-copy-source":"${sent}"`, asked)
  const before = world.service.asked.length
  for (const [asked, why] of [
    ['admin/x', 'Nothing comes from there.'],
    ['/x/../%61dmin/y', 'Nothing comes from there.'],
    ['x%2F..%2Fadmin', 'Nothing comes from there.'],
    ['https://store.example/admin/x', 'Nothing comes from there.'],
    ['cars/9?price=1', 'No prices.'],
    ['a//admin', /"status":400.*in its x-/],
    ['a+b', /"status":400.*in its x-/],
    ['%2561dmin', /"status":400.*in its x-/],
  ] as const)
    for (const field of ['x-amz-copy-source', 'X-Copy-From', 'x-ms-copy-source'])
      t.match(await copy(asked, field), why, `${field} ${asked}`)
  t.match(await copy('admin/x', 'x_amz_copy_source'), '"status":400')
  t.equal(world.service.asked.length, before, 'nothing of these reached the service')
  const { request } = JSON.parse(await copy('bucket/a', undefined, '/held')) as { request: string }
  t.equal((await bob.runInProcess('approve', request)).code, 0)
  t.match(await copy('bucket/b', undefined, '/held'), '"status":403', 'what is approved is one source')
  t.match(await copy('bucket/a', undefined, '/held'), '"x-amz-copy-source":"bucket/a"')
  await copy('cars/9?vin=WVWZZZ1JZ3W386752')
  const recorded = JSON.stringify(await world.relay.events())
  t.match(recorded, /x-amz-copy-source: \/cars\/9\?vin=‹redacted:/)
  t.notMatch(recorded, 'WVWZZZ1JZ3W386752')
})
