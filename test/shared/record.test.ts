// Trees, proofs and checkpoints: what RFC 6962 says, what nobody may believe, and that tiles give the same trees.
import { generateKeyPairSync } from 'node:crypto'
import { createVerifier, openCheckpoint, parseVerifier, signCheckpoint } from '@gate/shared/record/checkpoint'
import {
  bundlePath,
  edgeRoot,
  emptyEdge,
  formatBundle,
  grow,
  hashesAt,
  levelsOf,
  nodesOf,
  parseBundle,
  TILE_WIDTH,
  tilePath,
  tileWidth,
} from '@gate/shared/record/tiles'
import {
  consistencyProof,
  EMPTY_ROOT,
  inclusionProof,
  leafHash,
  type Nodes,
  nodeHash,
  rootOf,
  treeRoot,
  verifyConsistency,
  verifyInclusion,
} from '@gate/shared/record/tree'
import fc from 'fast-check'
import t from 'tap'

const record = (index: number): Buffer => Buffer.from(`record ${index}`)
const hex = (bytes: Buffer | undefined): string | undefined => bytes?.toString('hex')

/** RFC 6962, 2.1, word by word. */
function plainRoot(records: readonly Buffer[]): Buffer {
  const [only] = records
  if (only === undefined) return EMPTY_ROOT
  if (records.length === 1) return leafHash(only)
  let split = 1
  while (split * 2 < records.length) split *= 2
  return nodeHash(plainRoot(records.slice(0, split)), plainRoot(records.slice(split)))
}

const plainNodes = (records: readonly Buffer[]): Nodes => ({
  hash: async (level, index) => plainRoot(records.slice(index * 2 ** level, (index + 1) * 2 ** level)),
})

t.test('the hashes are those of other implementations', async t => {
  // The vectors of the reference implementation of Certificate Transparency (merkletree tests).
  const records = [
    '',
    '00',
    '10',
    '2021',
    '3031',
    '40414243',
    '5051525354555657',
    '606162636465666768696a6b6c6d6e6f',
  ].map(text => Buffer.from(text, 'hex'))
  const roots = [
    '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
    'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
    'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
    'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
    '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
    'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
    '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
  ]
  for (const [index, root] of roots.entries()) {
    const some = records.slice(0, index + 1)
    t.equal(hex(await treeRoot(plainNodes(some), some.length)), root)
    t.equal(hex(edgeRoot(grow(emptyEdge, some.map(leafHash)).edge)), root)
  }
  t.equal(hex(EMPTY_ROOT), 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
})

t.test('every proof of every small tree holds, and no other does', async t => {
  const records = Array.from({ length: 40 }, (_, index) => record(index))
  const roots = records.map((_, index) => plainRoot(records.slice(0, index + 1)))
  const believed: string[] = []
  for (let size = 1; size <= records.length; size += 1) {
    const nodes = plainNodes(records.slice(0, size))
    const root = roots[size - 1] ?? EMPTY_ROOT
    for (let index = 0; index < size; index += 1) {
      const proof = await inclusionProof(nodes, index, size)
      verifyInclusion(record(index), index, size, root, proof)
      const lies: [string, () => void][] = [
        ['another record', () => verifyInclusion(record(index + 1), index, size, root, proof)],
        ['another place', () => verifyInclusion(record(index), (index + 1) % (size + 1), size, root, proof)],
        ['no such place', () => verifyInclusion(record(index), size, size, root, proof)],
        ['another root', () => verifyInclusion(record(index), index, size, leafHash(root), proof)],
        ['longer', () => verifyInclusion(record(index), index, size, root, [...proof, root])],
        ...proof.map((_, at): [string, () => void] => [
          `without ${at}`,
          () => verifyInclusion(record(index), index, size, root, proof.toSpliced(at, 1)),
        ]),
      ]
      for (const [what, lie] of lies) if (!fails(lie)) believed.push(`${what}: ${index} of ${size}`)
    }
    for (let older = 1; older <= size; older += 1) {
      const proof = await consistencyProof(nodes, older, size)
      const then = { size: older, root: roots[older - 1] ?? EMPTY_ROOT }
      const now = { size, root }
      verifyConsistency(then, now, proof)
      const other = { size: older, root: leafHash(then.root) }
      const lies: [string, () => void][] = [
        ['another past', () => verifyConsistency(other, now, proof)],
        ['another present', () => verifyConsistency(then, { size, root: leafHash(root) }, proof)],
        ['longer', () => verifyConsistency(then, now, [...proof, root])],
        ...proof.map((part, at): [string, () => void] => [
          `changed ${at}`,
          () => verifyConsistency(then, now, proof.with(at, leafHash(part))),
        ]),
      ]
      if (older < size) lies.push(['backwards', () => verifyConsistency(now, then, proof)])
      for (const [what, lie] of lies) if (!fails(lie)) believed.push(`${what}: ${older} of ${size}`)
    }
  }
  t.same(believed, [])
})

function fails(work: () => void): boolean {
  try {
    work()
    return false
  } catch (thrown) {
    if ((thrown as { code?: string }).code === 'ERR_GATE_TAMPERED') return true
    throw thrown
  }
}

t.test('roots over any number of hashes, many or few, are those of the specification', async t => {
  const records = Array.from({ length: 1024 }, (_, index) => record(index))
  const leaves = records.map(leafHash)
  for (const size of [0, 1, 2, 3, 4, 127, 128, 129, 255, 256, 257, 511, 512, 513, 1023, 1024])
    t.equal(hex(rootOf(leaves.slice(0, size))), hex(plainRoot(records.slice(0, size))), `${size}`)
  t.equal(hex(rootOf(leaves)), hex(rootOf(leaves)), 'and leave what they were made of as it was')
  t.same(leaves.map(hex), records.map(leafHash).map(hex))
})

t.test('tiles give the same trees and proofs, however they grew', async t => {
  const total = 70_000
  const leaves = Array.from({ length: total }, (_, index) => leafHash(record(index)))
  const tiles = new Map<string, readonly Buffer[]>()
  let edge = emptyEdge
  for (let from = 0; from < total; ) {
    const step = 1 + ((from * 7919) % 1500)
    const grown = grow(edge, leaves.slice(from, from + step))
    for (const { level, index, hashes } of grown.whole) tiles.set(tilePath(level, index), hashes)
    edge = grown.edge
    from += step
  }
  t.equal(edge.size, total)
  t.equal(tiles.size, 273 + 1)
  t.same(
    edge.levels.map(level => level.length),
    [112, 17, 1],
    'the example of the specification: 70,000 records',
  )
  const nodes = nodesOf(total, async (level, index, width) =>
    width < TILE_WIDTH ? (edge.levels[level] ?? []) : (tiles.get(tilePath(level, index)) ?? []),
  )
  const root = edgeRoot(edge)
  t.equal(hex(await treeRoot(nodes, total)), hex(root))
  for (const index of [0, 1, 255, 256, 65_535, 65_536, 69_999]) {
    verifyInclusion(record(index), index, total, root, await inclusionProof(nodes, index, total))
    const older = { size: index + 1, root: edgeRoot(grow(emptyEdge, leaves.slice(0, index + 1)).edge) }
    verifyConsistency(older, { size: total, root }, await consistencyProof(nodes, index + 1, total))
  }
})

t.test('paths and widths are those of the specification', async t => {
  t.equal(tilePath(0, 1_234_067), 'tile/0/x001/x234/067')
  t.equal(tilePath(3, 5, 17), 'tile/3/005.p/17')
  t.equal(bundlePath(999), 'tile/entries/999')
  t.equal(bundlePath(1000, 1), 'tile/entries/x001/000.p/1')
  t.same(
    [tileWidth(0, 0, 70_000), tileWidth(0, 273, 70_000), tileWidth(0, 274, 70_000), tileWidth(2, 0, 70_000)],
    [256, 112, 0, 1],
  )
  t.same([levelsOf(0), levelsOf(1), levelsOf(255), levelsOf(256), levelsOf(70_000)], [0, 1, 1, 2, 3])
  t.equal(hashesAt(1, 511), 1)
})

t.test('bundles are read back, and refused when bytes are missing', async t => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 }), fc.nat(), (arrays, cut) => {
      const records = arrays.map(array => Buffer.from(array))
      const bundle = formatBundle(records)
      t.same(parseBundle(bundle), records)
      const end = cut % (bundle.length + 1)
      try {
        t.same(parseBundle(bundle.subarray(0, end)), records.slice(0, parseBundle(bundle.subarray(0, end)).length))
      } catch (thrown) {
        t.match(thrown, { code: 'ERR_GATE_TAMPERED' })
      }
    }),
    { numRuns: 200 },
  )
  t.throws(() => formatBundle([Buffer.alloc(65_536)]), { code: 'ERR_GATE_TAMPERED' })
})

t.test('a checkpoint says who signed it, and nothing else is believed', async t => {
  const { privateKey } = generateKeyPairSync('ed25519')
  const verifier = createVerifier('gate.example.com/relay_1', privateKey)
  t.same(parseVerifier(verifier.text).text, verifier.text)
  const head = { origin: verifier.name, size: 42, root: leafHash(record(1)) }
  const note = signCheckpoint(head, verifier, privateKey)
  t.same(openCheckpoint(note, parseVerifier(verifier.text)), head)
  const [text = '', signature = ''] = note.split('\n\n')
  t.same(openCheckpoint(`${text}\n\n— somebody.else Zm9v\n${signature}`, verifier), head, 'others may sign too')
  const stranger = generateKeyPairSync('ed25519').privateKey
  const lies = [
    note.replace('42', '43'),
    note.replace('42', '042'),
    note.replace('gate.example.com', 'evil.example.com'),
    `${text}\n`,
    `${text}\n\n`,
    note.replace(/— \S+ .{20}/, part => part.slice(0, -1) + (part.endsWith('A') ? 'B' : 'A')),
    signCheckpoint(head, verifier, stranger),
    signCheckpoint({ ...head, origin: 'another' }, verifier, privateKey),
    signCheckpoint({ ...head, size: -1 }, verifier, privateKey),
    signCheckpoint({ ...head, size: 0.5 }, verifier, privateKey),
    signCheckpoint({ ...head, root: Buffer.alloc(31) }, verifier, privateKey),
    `${note}${'x'.repeat(5000)}`,
    '',
  ]
  for (const lie of lies)
    t.throws(() => openCheckpoint(lie, verifier), { code: 'ERR_GATE_TAMPERED' }, lie.slice(0, 200))
  for (const lie of [
    '',
    'a+b+c',
    verifier.text.replace(/\+[0-9a-f]{8}\+/, '+00000000+'),
    verifier.text.replace('gate', 'gite'),
    `${verifier.text}AAAA`,
  ])
    t.throws(() => parseVerifier(lie), { code: 'ERR_GATE_TAMPERED' }, lie)
})
