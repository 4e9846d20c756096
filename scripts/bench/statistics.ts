// Medians and spreads: what a shared machine lets one say. Pure.

export interface Summary {
  readonly median: number
  readonly low: number
  readonly high: number
  readonly count: number
}

/** The value below which a share `q` of the sorted values lies, between two values in proportion. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const place = (sorted.length - 1) * q
  const below = sorted[Math.floor(place)] ?? Number.NaN
  const above = sorted[Math.ceil(place)] ?? below
  return below + (above - below) * (place - Math.floor(place))
}

export function summarise(values: readonly number[]): Summary {
  return {
    median: quantile(values, 0.5),
    low: Math.min(...values),
    high: Math.max(...values),
    count: values.length,
  }
}
