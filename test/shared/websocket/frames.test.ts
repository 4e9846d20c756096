// The form of what a tunnel carries: whatever is packed comes out again, and whatever bytes come, they are frames or a GateError.
import { GateError } from '@gate/shared/errors'
import { FramePacker, FrameReader, type Kind } from '@gate/shared/websocket/frames'
import { MAX_FRAME_BYTES } from '@gate/shared/websocket/limits'
import fc from 'fast-check'
import t from 'tap'

type Packed = [channel: number, kind: Exclude<Kind, 'data-follows' | 'credit'>, payload: Buffer]

const channel = fc.integer({ min: 0, max: 0xffff_ffff })
const kinds = fc.constantFrom('open', 'data', 'message', 'close') as fc.Arbitrary<Packed[1]>
const lengths = fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 4000, max: 66_000 }))
const packed = fc
  .tuple(channel, kinds, lengths)
  .map(([id, kind, length]): Packed => [id, kind, Buffer.alloc(kind === 'data' ? length : length % 4000, id % 256)])

t.test('frames come out as they were packed, in order', t => {
  fc.assert(
    fc.property(fc.array(fc.array(packed, { maxLength: 30 }), { maxLength: 5 }), turns => {
      const packer = new FramePacker()
      const reader = new FrameReader()
      const sent: Packed[] = []
      const read: Packed[] = []
      for (const frames of turns) {
        for (const [id, kind, payload] of frames) packer.add(id, kind, payload)
        sent.push(...frames)
        for (const message of packer.take())
          reader.read(message, (id, kind, payload) => read.push([id, kind as Packed[1], Buffer.from(payload)]))
        if (packer.bytes !== 0) return false
      }
      return (
        read.length === sent.length &&
        read.every(([id, kind, payload], at) => {
          const [wantedId, wantedKind, wanted] = sent[at] as Packed
          return id === wantedId && kind === wantedKind && payload.equals(wanted)
        })
      )
    }),
  )
  t.end()
})

t.test('what was taken stays as it is while more is packed', t => {
  const packer = new FramePacker()
  packer.add(1, 'data', Buffer.from('first'))
  const [first] = packer.take()
  const before = Buffer.from(first as Buffer)
  for (let count = 0; count < 10_000; count += 1) packer.add(2, 'data', Buffer.from('something else'))
  t.same(first, before)
  t.end()
})

t.test('credit is a number', t => {
  const packer = new FramePacker()
  packer.addCredit(3, 131_072)
  const [message] = packer.take()
  new FrameReader().read(message as Buffer, (id, kind, payload) => {
    t.same([id, kind, payload.readUInt32BE()], [3, 'credit', 131_072])
  })
  t.end()
})

t.test('any bytes are frames or a GateError', t => {
  const header = fc
    .tuple(channel, fc.integer({ min: 0, max: 7 }), fc.integer({ min: 0, max: 20 }), fc.uint8Array({ maxLength: 20 }))
    .map(([id, kind, length, rest]) => {
      const bytes = Buffer.alloc(8)
      bytes.writeUInt32BE(id)
      bytes.writeUInt32BE(kind * 2 ** 24 + length, 4)
      return Buffer.concat([bytes, rest])
    })
  const message = fc.oneof(
    fc.uint8Array({ maxLength: 64 }).map(bytes => Buffer.from(bytes)),
    fc.array(header, { maxLength: 4 }).map(parts => Buffer.concat(parts)),
  )
  fc.assert(
    fc.property(fc.array(message, { maxLength: 4 }), messages => {
      const reader = new FrameReader()
      try {
        for (const bytes of messages) {
          reader.read(bytes, (_id, _kind, payload) => {
            if (payload.length > MAX_FRAME_BYTES) throw new RangeError('a payload over the limit')
          })
        }
      } catch (thrown) {
        if (!(thrown instanceof GateError)) throw thrown
      }
    }),
    { numRuns: 3000 },
  )
  t.end()
})
