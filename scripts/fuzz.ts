// Random statements against two databases that differ in their masked values alone, and random bytes against the machine: `npm run fuzz`.
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { GateError } from '@gate/shared/errors'
import { Harness, split } from '#support/machine'
import { RandomSql, seeded } from '#support/random-sql'
import { startTwins, type Twins } from '#support/twins'

const usage = `node scripts/dist/fuzz.js [--seconds <n>] [--seed <n>]

Fails, with the statement, when two databases that differ only in masked values answer differently to a person from whom
they are masked; and with the bytes, when the machine of the protocol throws anything but a GateError.

  --seconds <n>  how long, half of it for each (60)
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
  const half = seconds * 500
  const found = (await fuzzStatements(twins, seed, Date.now() + half)) ?? fuzzBytes(seed, Date.now() + half)
  if (found === undefined) return 0
  process.stdout.write(`seed ${seed}: ${found}\n`)
  return 1
}

process.exitCode = await main()
