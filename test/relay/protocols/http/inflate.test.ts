// `deflate` as services mean it: with zlib's wrapper or without, in any pieces, cut off, damaged, and read slowly.
import { randomBytes } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { deflateRawSync, deflateSync } from 'node:zlib'
import { createAnyInflate } from '@gate/relay/protocols/http/inflate'
import fc from 'fast-check'
import t from 'tap'

/** What comes out until it ends or breaks. */
async function decode(bytes: Buffer, size: number): Promise<{ bytes: Buffer; code?: unknown }> {
  const stream = createAnyInflate()
  const chunks: Buffer[] = []
  const writing = (async (): Promise<void> => {
    for (let at = 0; at < bytes.length && !stream.destroyed; at += size)
      if (!stream.write(bytes.subarray(at, at + size)))
        await new Promise<void>(resolve => stream.once('drain', resolve).once('close', resolve))
    stream.end()
  })()
  try {
    for await (const chunk of stream) chunks.push(chunk as Buffer)
    await writing
    return { bytes: Buffer.concat(chunks) }
  } catch (thrown) {
    return { bytes: Buffer.concat(chunks), code: (thrown as { code?: unknown }).code }
  }
}

const content = Buffer.from(JSON.stringify({ id: 1, email: 'ann@secret.example', more: 'x'.repeat(500) }))

t.test('with a wrapper and without, in pieces of any length', async t => {
  for (const level of [0, 1, 6, 9])
    for (const encode of [deflateSync, deflateRawSync]) {
      const bytes = encode(content, { level })
      for (const size of [1, 2, 3, 7, bytes.length])
        t.same(await decode(bytes, size), { bytes: content }, `${encode.name} ${level} ${size}`)
    }
  for (const encode of [deflateSync, deflateRawSync])
    t.same(await decode(encode(Buffer.alloc(0)), 1), { bytes: Buffer.alloc(0) })
})

t.test('large ones, through a reader that is slow', async t => {
  const large = Buffer.concat([randomBytes(300_000), Buffer.alloc(8_000_000, 'a'), randomBytes(300_000)])
  for (const encode of [deflateSync, deflateRawSync]) {
    const stream = createAnyInflate()
    stream.end(encode(large))
    await wait(200)
    t.ok(stream.readableLength < 1024 * 1024, 'no more is undone than somebody reads')
    const chunks: Buffer[] = []
    for await (const chunk of stream) chunks.push(chunk as Buffer)
    t.ok(Buffer.concat(chunks).equals(large))
  }
})

t.test('what is cut off or no deflate is broken', async t => {
  for (const encode of [deflateSync, deflateRawSync]) {
    const bytes = encode(content)
    for (const length of [1, 2, 10, bytes.length - 1])
      t.equal((await decode(bytes.subarray(0, length), 5)).code, 'Z_BUF_ERROR', `${encode.name} ${length}`)
  }
  t.match((await decode(Buffer.from('{"email":"ann@secret.example"}'), 9)).code, /^Z_/)
  const damaged = deflateSync(content)
  damaged.writeUInt8(1, damaged.length - 1)
  t.equal((await decode(damaged, 100)).code, 'Z_DATA_ERROR')
})

t.test('any bytes end or break', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 100 }), fc.integer({ min: 1, max: 100 }), async (bytes, size) => {
      await decode(Buffer.from(bytes), size)
    }),
  )
})
