// How well each detector tells its values from others, measured over the labelled sample and held against docs/detectors.md.
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { compileFinder, type DetectorKind, detectorKinds } from '@gate/relay/mask/detectors'
import { policyFile } from '@gate/relay/policy/schema'
import t from 'tap'
import { type Sample, sample } from '#support/detector-sample'

const LEAST = 0.97

interface Measured {
  readonly values: number
  /** Of the values that there are, those that are covered by a finding. */
  readonly recall: number
  /** Of the findings, those that overlap a value. */
  readonly precision: number
  /** Of the values, those whose finding has exactly their beginning and end. */
  readonly exact: number
}

function measure(kind: DetectorKind, samples: readonly Sample[]): Measured {
  const find = compileFinder([kind])
  const count = { values: 0, covered: 0, exact: 0, findings: 0, right: 0 }
  for (const { text, expected } of samples) {
    const value = Buffer.from(text)
    const findings = find(value) ?? []
    const spans = expected
      .filter(each => each.kind === kind)
      .map(each => ({
        start: value.indexOf(each.value),
        end: value.indexOf(each.value) + Buffer.byteLength(each.value),
      }))
    count.values += spans.length
    count.findings += findings.length
    count.covered += spans.filter(span =>
      findings.some(({ start, end }) => start <= span.start && end >= span.end),
    ).length
    count.exact += spans.filter(span =>
      findings.some(({ start, end }) => start === span.start && end === span.end),
    ).length
    count.right += findings.filter(({ start, end }) => spans.some(span => start < span.end && span.start < end)).length
  }
  return {
    values: count.values,
    recall: count.covered / count.values,
    precision: count.right / count.findings,
    exact: count.exact / count.values,
  }
}

const samples = sample(detectorKinds)

t.test('the sample is large, the same every time, and half of it holds nothing', async t => {
  t.ok(samples.length >= 2000)
  t.same(sample(detectorKinds), samples)
  t.ok(samples.filter(({ expected }) => expected.length === 0).length >= 800)
  t.ok(new Set(samples.map(({ text }) => text)).size > samples.length * 0.85, 'few are the same')
  for (const { text, expected } of samples) {
    for (const { value } of expected) if (!text.includes(value)) t.fail(`${text} does not hold ${value}`)
  }
})

const measured = new Map(detectorKinds.map(kind => [kind, measure(kind, samples)]))

for (const [kind, { values, recall, precision, exact }] of measured) {
  t.test(`${kind}: finds nearly all and nearly nothing else`, async t => {
    t.ok(values >= 150)
    t.ok(recall >= LEAST, `recall ${recall}`)
    t.ok(precision >= LEAST, `precision ${precision}`)
    t.ok(exact >= LEAST, `exact ${exact}`)
  })
}

t.test('docs/detectors.md shows these figures', async t => {
  const text = await readFile(fileURLToPath(new URL('../../../../docs/detectors.md', import.meta.url)), 'utf8')
  const figure = (value: number): string => value.toFixed(3)
  const rows = [...measured].map(
    ([kind, { values, recall, precision, exact }]) =>
      `| \`${kind}\` | ${values} | ${figure(recall)} | ${figure(precision)} | ${figure(exact)} |`,
  )
  t.same(
    text.split('\n').filter(line => /^\| `[a-z-]+` \| \d+ \|/.test(line)),
    rows,
    'the table says what was measured',
  )
  t.match(text, `${samples.length} texts`)
})

t.test('policy knows the detectors that there are, and no others', async t => {
  const load = (kind: string): boolean =>
    policyFile.safeParse({
      targets: [{ match: { name: 'x' }, allow: { groups: ['g'] }, mask: [{ detect: [kind], with: 'redact' }] }],
    }).success
  for (const kind of detectorKinds) t.ok(load(kind), kind)
  t.notOk(load('passport'))
})
