// Random statements against two databases that differ in their masked values alone, random bytes against the machine, random bodies against the masks of fields, and random tunnels: `npm run fuzz`.
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { GateError } from '@gate/shared/errors'
import { Harness, split } from '#support/machine'
import { fields, type Json, maskedFields, maskPieces, masksOf } from '#support/masking'
import { RandomSql, seeded } from '#support/random-sql'
import { randomTunnel } from '#support/random-tunnels'
import { startTwins, type Twins } from '#support/twins'

const usage = `node scripts/dist/fuzz.js [--seconds <n>] [--seed <n>]

Fails, with the statement, when two databases that differ only in masked values answer differently to a person from whom
they are masked; with the bytes, when the machine of the protocol throws anything but a GateError; and with the body, when
fields of JSON are masked otherwise than in the parsed document, or what is no JSON is not refused. Fails as well when bytes
that come out of a tunnel are not those that were sent, in order, when one of its channels hangs, or when one is left over.

  --seconds <n>  how long, a quarter of it for each (60)
  --seed <n>     the first random number; printed at the start, so that a run can be repeated
`

const ways = ['simple', 'extended', 'binary'] as const

async function fuzzStatements(twins: Twins, seed: number, untilMs: number): Promise<string | undefined> {
  const random = new RandomSql(seed)
  const counts = { rows: 0, refused: 0, failed: 0 }
  for (let round = 0; Date.now() < untilMs; round += 1) {
    const sql = random.statement()
    const [one, two] = await twins.ask(sql, ways[round % ways.length] ?? 'simple')
    // A statement that ran out of time says nothing.
    if (/^57014/.test(one.text) || /^57014/.test(two.text)) continue
    if (one.outcome !== two.outcome || one.text !== two.text)
      return `${sql}\n--- one\n${one.text}\n--- two\n${two.text}`
    counts[one.outcome] += 1
  }
  process.stdout.write(
    `statements: ${counts.rows} gave rows, ${counts.refused} were refused, ${counts.failed} failed\n`,
  )
  return undefined
}

/** Message types and lengths that nearly fit take the machine further than pure noise. */
function randomBytes(random: () => number): Buffer {
  const parts: Buffer[] = []
  for (let count = Math.floor(random() * 12); count >= 0; count -= 1) {
    const body = Buffer.from(Array.from({ length: Math.floor(random() * 40) }, () => Math.floor(random() * 256)))
    const head = Buffer.alloc(5)
    head[0] = 'QPBEDSHCXFfpcd1234567890TZKRNAVGWInst'.charCodeAt(Math.floor(random() * 37))
    head.writeInt32BE(random() < 0.9 ? body.length + 4 : Math.floor(random() * 4_294_967_296) - 2_147_483_648, 1)
    parts.push(head, body)
  }
  return Buffer.concat(parts)
}

function fuzzBytes(seed: number, untilMs: number): string | undefined {
  const random = seeded(seed)
  let runs = 0
  for (; Date.now() < untilMs; runs += 1) {
    const client = randomBytes(random)
    const target = randomBytes(random)
    const harness = new Harness()
    try {
      for (const part of split(client, [Math.floor(random() * 99), Math.floor(random() * 99)])) harness.client(part)
      for (const part of split(target, [Math.floor(random() * 99)])) harness.target(part)
    } catch (thrown) {
      if (!(thrown instanceof GateError))
        return `${String(thrown)}\nclient ${client.toString('hex')}\ntarget ${target.toString('hex')}`
    }
  }
  process.stdout.write(`bytes: ${runs} runs\n`)
  return undefined
}

const bodyParts = [
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '"a"',
  '"\\u0061"',
  '"b"',
  '"x\\n"',
  '12',
  '-0.5e1',
  'true',
  'null',
  ' ',
  '\\',
  '"',
]

/** Mostly documents, some of them with a part too many or too few. */
function randomDocument(random: () => number, depth: number): string {
  const pick = (below: number): number => Math.floor(random() * below)
  if (random() < 0.01) return bodyParts[pick(bodyParts.length)] ?? ''
  const inner = (): string => randomDocument(random, depth + 1)
  const members = Array.from({ length: pick(4) })
  if (depth < 5 && random() < 0.3) return `[${members.map(inner).join(', ')}]`
  if (depth < 5 && random() < 0.6)
    return `{${members.map(() => `${['"a"', '"\\u0061"', '"b"'][pick(3)]}: ${inner()}`).join()}}`
  return bodyParts[8 + pick(6)] ?? ''
}

function fuzzBodies(seed: number, untilMs: number): string | undefined {
  const random = seeded(seed)
  const patterns = [['a'], ['*.a'], ['**.a'], ['a.**.b'], ['b.*', 'a.a']].map(each => fields(each))
  const counts = { masked: 0, refused: 0 }
  while (Date.now() < untilMs) {
    const text = randomDocument(random, 0)
    const mask = patterns[Math.floor(random() * patterns.length)] ?? fields(['a'])
    const pieces = split(Buffer.from(text), [Math.floor(random() * 40), Math.floor(random() * 40)])
    const expected = outcome(() => maskedFields(JSON.parse(text), [mask]))
    const found = outcome(() => JSON.parse(maskPieces('application/json', masksOf(mask), pieces)))
    if (found.thrown !== undefined && !(found.thrown instanceof GateError)) return `${found.thrown}\nbody ${text}`
    const isEmpty = text === ''
    const isSame = JSON.stringify(expected.value) === JSON.stringify(found.value)
    if (!isEmpty && (!isSame || (expected.thrown === undefined) !== (found.thrown === undefined)))
      return `${mask.fields}: ${text}\n--- expected\n${JSON.stringify(expected)}\n--- found\n${JSON.stringify(found)}`
    counts[found.thrown === undefined ? 'masked' : 'refused'] += 1
  }
  process.stdout.write(`bodies: ${counts.masked} were masked, ${counts.refused} refused\n`)
  return undefined
}

function outcome(run: () => Json): { value?: Json; thrown?: unknown } {
  try {
    return { value: run() }
  } catch (thrown) {
    return { thrown }
  }
}

async function fuzzTunnels(seed: number, untilMs: number): Promise<string | undefined> {
  let runs = 0
  for (; Date.now() < untilMs; runs += 1) {
    const found = await randomTunnel(seed + runs)
    if (found !== undefined) return `tunnel ${seed + runs}: ${found}`
  }
  process.stdout.write(`tunnels: ${runs} runs\n`)
  return undefined
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { seconds: { type: 'string', default: '60' }, seed: { type: 'string' }, help: { type: 'boolean' } },
  })
  if (values.help === true) {
    process.stdout.write(usage)
    return 0
  }
  const seconds = Number(values.seconds)
  const seed = Number(values.seed ?? randomInt(2 ** 31))
  if (!Number.isInteger(seconds) || seconds < 1 || !Number.isInteger(seed)) throw new Error(usage)
  process.stdout.write(`seed ${seed}\n`)
  await using twins = await startTwins()
  const quarterMs = (seconds * 1_000) / 4
  const found =
    (await fuzzStatements(twins, seed, Date.now() + quarterMs)) ??
    fuzzBytes(seed, Date.now() + quarterMs) ??
    fuzzBodies(seed, Date.now() + quarterMs) ??
    (await fuzzTunnels(seed, Date.now() + quarterMs))
  if (found === undefined) return 0
  process.stdout.write(`seed ${seed}: ${found}\n`)
  return 1
}

process.exitCode = await main()
