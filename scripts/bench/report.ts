// The table that people read.
import type { IdleMemory, StreamMemory } from './memory.ts'
import type { Result } from './rounds.ts'
import { roles } from './setup.ts'
import type { Summary } from './statistics.ts'

export interface Report {
  readonly machine: {
    readonly cpu: string
    readonly cores: number
    readonly node: string
    readonly postgres: string
    /** Load averages of the machine before and after: others may have worked on it. */
    readonly loadBefore: number
    readonly loadAfter: number
  }
  readonly rounds: number
  readonly results: readonly Result[]
  readonly idle: readonly IdleMemory[]
  readonly stream: readonly StreamMemory[]
}

/** Columns side by side; numbers to the right. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map(row => row[column]?.length ?? 0)))
  return rows
    .map(row => row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))))
    .map(row => row.join('  ').trimEnd())
    .join('\n')
}

const megabytes = (bytes: number | undefined): string =>
  bytes === undefined ? '' : `${(bytes / 2 ** 20).toFixed(0)} MB`
const kilobytes = (bytes: number | undefined): string => (bytes === undefined ? '' : `${(bytes / 1024).toFixed(0)} kB`)
const figure = (value: number): string =>
  value >= 1000 ? Math.round(value).toLocaleString('en') : value.toPrecision(3)
const ratio = ({ median, low, high }: Summary): string => `${median.toFixed(2)} (${low.toFixed(2)}–${high.toFixed(2)})`

function verdict({ target, ofForwarder }: Result): string {
  if (target === undefined) return ''
  return `≥ ${target.toFixed(2)} ${ofForwarder.median >= target ? 'met' : 'MISSED'}`
}

function rates(results: readonly Result[]): string {
  const head = ['workload', 'per s', 'direct', 'forwarder', 'gate', 'gate/forwarder', 'gate/direct', 'target']
  return table([
    head,
    ...results.map(result => [
      result.name,
      result.unit,
      figure(result.rate.direct.median),
      figure(result.rate.forwarder.median),
      figure(result.rate.gate.median),
      ratio(result.ofForwarder),
      ratio(result.ofDirect),
      verdict(result),
    ]),
  ])
}

function cpu(results: readonly Result[]): string {
  const cell = (summary: Summary | undefined): string => (summary === undefined ? '' : figure(summary.median))
  const head = [
    'workload',
    'µs of CPU for',
    ...['forwarder', 'gate'].flatMap(route => roles.map(role => `${route} ${role}`)),
  ]
  return table([
    [...head, 'relay ×'],
    ...results.map(({ name, unit, per, cpu: { forwarder, gate } }) => [
      name,
      `${per} ${per === 1 ? unit.replace(/s$/, '') : unit}`,
      ...[forwarder, gate].flatMap(route => roles.map(role => cell(route[role]))),
      ((gate.relay?.median ?? Number.NaN) / (forwarder.relay?.median ?? Number.NaN)).toFixed(2),
    ]),
  ])
}

function idleTable(idle: readonly IdleMemory[]): string {
  return table([
    ['resident memory', ...roles.map(role => `${role} before`), ...roles.map(role => `${role} per connection`)],
    ...idle.map(({ route, before, perConnection }) => [
      route,
      ...roles.map(role => megabytes(before[role])),
      ...roles.map(role => kilobytes(perConnection[role])),
    ]),
  ])
}

function streamTable(stream: readonly StreamMemory[]): string {
  return table([
    ['relay while one client reads', 'of', 'MB/s', 'before', 'peak', 'first fifth', 'last fifth', 'while stalled'],
    ...stream.map(each => [
      `${each.route}: ${each.what}`,
      megabytes(each.bytes),
      (each.bytes / 1e6 / each.seconds).toFixed(0),
      megabytes(each.before),
      megabytes(each.peak),
      megabytes(each.early),
      megabytes(each.late),
      `${each.whileStalled >= 0 ? '+' : '-'}${megabytes(Math.abs(each.whileStalled))}`,
    ]),
  ])
}

export function format({ machine, rounds, results, idle, stream }: Report): string {
  const title =
    `${machine.cores} cores of ${machine.cpu}, Node ${machine.node}, ${machine.postgres}; ` +
    `load ${machine.loadBefore.toFixed(1)} before and ${machine.loadAfter.toFixed(1)} after`
  return [
    title,
    ...(results.length === 0
      ? []
      : [
          `Rates: medians of ${rounds} rounds; ratios: median (lowest–highest) of the rounds' own ratios.`,
          rates(results),
          cpu(results),
        ]),
    ...(idle.length === 0 ? [] : [`${idle[0]?.connections} idle connections`, idleTable(idle)]),
    ...(stream.length === 0 ? [] : [streamTable(stream)]),
  ].join('\n\n')
}
