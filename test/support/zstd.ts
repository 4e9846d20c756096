// Bodies in Zstandard (RFC 8878) without a compressor, which Node.js 20 has not: frames of blocks that are stored or repeated.

const MAGIC = Buffer.from([0x28, 0xb5, 0x2f, 0xfd])
/** 128 kB, the largest block. */
const WINDOW_DESCRIPTOR = 7 << 3
export const MAX_BLOCK_BYTES = 128 * 1024

export type Block = { readonly stored: Buffer } | { readonly repeated: number; readonly times: number }

function blockBytes(block: Block, isLast: boolean): Buffer {
  const isStored = 'stored' in block
  const header = Buffer.alloc(3)
  const size = isStored ? block.stored.length : block.times
  header.writeUIntLE((size << 3) | (isStored ? 0 : 0b010) | (isLast ? 1 : 0), 0, 3)
  return Buffer.concat([header, isStored ? block.stored : Buffer.of(block.repeated)])
}

/** One frame. */
export function zstdFrame(blocks: readonly Block[], window = WINDOW_DESCRIPTOR): Buffer {
  const bytes = blocks.map((block, index) => blockBytes(block, index === blocks.length - 1))
  return Buffer.concat([MAGIC, Buffer.of(0, window), ...bytes])
}

/** What the blocks stand for. */
export function zstdContent(blocks: readonly Block[]): Buffer {
  return Buffer.concat(
    blocks.map(block => ('stored' in block ? block.stored : Buffer.alloc(block.times, block.repeated))),
  )
}

/** Bytes in one frame of stored blocks. */
export function zstdStored(bytes: Buffer): Buffer {
  const blocks: Block[] = []
  for (let at = 0; at === 0 || at < bytes.length; at += MAX_BLOCK_BYTES)
    blocks.push({ stored: bytes.subarray(at, at + MAX_BLOCK_BYTES) })
  return zstdFrame(blocks)
}

/** A frame that decoders pass over. */
export function zstdSkipped(bytes: Buffer, kind = 0): Buffer {
  const header = Buffer.alloc(8)
  header.writeUInt32LE(0x184d2a50 + kind, 0)
  header.writeUInt32LE(bytes.length, 4)
  return Buffer.concat([header, bytes])
}
