// Zstandard as answers have it: what was made by others, any cut of it, what is damaged, and what would fill the memory.
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { createZstdDecompress } from '@gate/relay/protocols/http/zstd'
import { MAX_WINDOW_BYTES, ZstdFrames } from '@gate/relay/protocols/http/zstd-frames'
import fc from 'fast-check'
import t from 'tap'
import { type Block, MAX_BLOCK_BYTES, zstdContent, zstdFrame, zstdSkipped, zstdStored } from '#support/zstd'

const ZSTD = '/usr/bin/zstd'

/** What zstd 1.5 makes of 206 bytes of JSON, with a checksum. */
const made = Buffer.from(
  'KLUv/QRo1QIAosQQF4BtDoSmRpFP4onsbGDGG3ZmWxRdmIEjyzGPCZHbcpGBMYwxh6Amq2seRgpA6jR9ih+97BafWvk3vKwPbxUs51pSAgog0JsDc8TRLhjiaBeMONGX7CChghh1Ow==',
  'base64',
)
const content =
  '[{"id":1,"name":"Ann","email":"ann@secret.example"},{"id":2,"name":"Bob","email":"bob@secret.example"},' +
  '{"id":3,"name":"Cid","email":"cid@secret.example"},{"id":4,"name":"Dan","email":"dan@secret.example"}]'

/** What comes out until it ends or breaks. */
async function decode(...pieces: readonly Buffer[]): Promise<{ bytes: Buffer; error?: Error }> {
  const stream = createZstdDecompress()
  const chunks: Buffer[] = []
  const writing = (async (): Promise<void> => {
    for (const piece of pieces)
      if (!stream.write(piece) && !stream.destroyed) await new Promise<void>(resolve => stream.once('drain', resolve))
    stream.end()
  })()
  try {
    for await (const chunk of stream) chunks.push(chunk as Buffer)
    await writing
    return { bytes: Buffer.concat(chunks) }
  } catch (thrown) {
    return { bytes: Buffer.concat(chunks), error: thrown as Error }
  }
}

const pieces = (bytes: Buffer, size: number): Buffer[] =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) => bytes.subarray(index * size, (index + 1) * size))

const code = ({ error }: { error?: Error }): string =>
  error === undefined ? 'none' : 'code' in error ? String(error.code) : 'unnamed'

t.test('what another program made, however it is cut', async t => {
  for (let size = 1; size <= made.length; size += 1)
    t.equal((await decode(...pieces(made, size))).bytes.toString(), content, `in pieces of ${size}`)
  const twice = Buffer.concat([made, zstdSkipped(Buffer.from('not for you'), 9), made])
  t.equal((await decode(...pieces(twice, 7))).bytes.toString(), content + content, 'frames behind each other')
  t.equal((await decode(zstdSkipped(Buffer.alloc(0)))).bytes.length, 0)
})

t.test('large ones of all levels', { skip: existsSync(ZSTD) ? false : 'no zstd on this machine' }, async t => {
  const lines = Array.from({ length: 40_000 }, (_, id) => JSON.stringify({ id, email: `user${id}@secret.example` }))
  for (const bytes of [Buffer.from(lines.join('\n')), randomBytes(300_000)]) {
    for (const level of ['-1', '-3', '-9', '-19', '--fast=5']) {
      const { stdout } = spawnSync(ZSTD, ['-c', '-q', level], { input: bytes, maxBuffer: 64 * 1024 * 1024 })
      for (const size of [1_000, 65_536]) {
        const decoded = await decode(...pieces(stdout, size))
        t.ok(decoded.bytes.equals(bytes), `${level} in pieces of ${size}: ${decoded.error?.message ?? 'no error'}`)
      }
    }
  }
})

const block: fc.Arbitrary<Block> = fc.oneof(
  fc.uint8Array({ maxLength: 300 }).map(bytes => ({ stored: Buffer.from(bytes) })),
  fc.record({ repeated: fc.nat(255), times: fc.nat(3_000) }),
)

t.test('any frames, any cut', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(block, { minLength: 1, maxLength: 4 }), { maxLength: 4 }),
      fc.integer({ min: 1, max: 50 }),
      async (frames, size) => {
        const bytes = Buffer.concat(frames.map(blocks => zstdFrame(blocks)))
        const { bytes: decoded, error } = await decode(...pieces(bytes, size))
        return error === undefined && decoded.equals(Buffer.concat(frames.map(zstdContent)))
      },
    ),
    { numRuns: 200 },
  )
})

t.test('any bytes break it with an error, and with nothing else', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 100 }), fc.nat(60), async (noise, at) => {
      const damaged = Buffer.concat([made.subarray(0, at), Buffer.from(noise), made.subarray(at)])
      const { error } = await decode(damaged)
      return error === undefined || error instanceof Error
    }),
    { numRuns: 500 },
  )
})

t.test('what is cut off, or followed by something else, is broken', async t => {
  for (let length = 1; length < made.length; length += 1)
    t.not(code(await decode(made.subarray(0, length))), 'none', `${length} bytes of it`)
  t.equal(code(await decode(made, Buffer.from('and more'))), 'ERR_GATE_TARGET_PROTOCOL')
  t.equal(code(await decode(Buffer.from('{"email": "clear"}'))), 'ERR_GATE_TARGET_PROTOCOL')
})

t.test('what asks for too much is not given it', async t => {
  const asking = (descriptor: number, ...rest: number[]): Buffer =>
    Buffer.concat([made.subarray(0, 4), Buffer.of(descriptor, ...rest), Buffer.alloc(12)])
  const window = (exponent: number, mantissa = 0): number => (exponent << 3) | mantissa
  const limit = Math.log2(MAX_WINDOW_BYTES) - 10
  for (const bytes of [
    asking(0, window(limit, 1)),
    asking(0, window(31, 7)),
    asking(0b10100000, 1, 0, 0x80, 0),
    asking(0b11100000, ...new Array<number>(8).fill(0xff)),
  ]) {
    t.throws(() => new ZstdFrames().push(bytes), { code: 'ERR_GATE_LIMIT' }, bytes.toString('hex'))
    t.equal(code(await decode(bytes)), 'ERR_GATE_LIMIT')
    const second = await decode(Buffer.concat([zstdStored(Buffer.from('first')), bytes]))
    t.equal(code(second), 'ERR_GATE_LIMIT', 'also of a second frame')
  }
  t.doesNotThrow(() => new ZstdFrames().push(asking(0, window(limit))))
  for (const descriptor of [1, 2, 3, 8])
    t.throws(() => new ZstdFrames().push(asking(descriptor, window(5))), { code: 'ERR_GATE_TARGET_PROTOCOL' })
})

t.test('what grows too much is cut off before it fills the memory', async t => {
  const blocks = Array.from({ length: 10_000 }, () => ({ repeated: 0x20, times: MAX_BLOCK_BYTES }))
  const before = process.memoryUsage().rss
  const { bytes, error } = await decode(zstdFrame(blocks))
  t.match(error, { code: 'ERR_GATE_LIMIT', message: /grows more than 200 times/ })
  t.ok(bytes.length < 16 * 1024 * 1024, `${bytes.length} bytes came out`)
  t.ok(process.memoryUsage().rss - before < 128 * 1024 * 1024)
})
