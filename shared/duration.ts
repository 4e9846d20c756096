// Durations as people write them in configuration: 90s, 15m, 8h, 30d.
import * as z from 'zod'

const unitMs: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** A duration such as `15m`, in milliseconds, between the given limits. */
export function duration(minimumMs: number, maximumMs: number): z.ZodType<number, string> {
  return z.string().transform((text, context) => {
    const match = /^(\d{1,6})(s|m|h|d)$/.exec(text)
    const ms = match === null ? Number.NaN : Number(match[1]) * (unitMs[match[2] ?? ''] ?? Number.NaN)
    if (ms >= minimumMs && ms <= maximumMs) return ms
    context.addIssue(
      `expected a duration from ${formatDuration(minimumMs)} to ${formatDuration(maximumMs)}, for example 15m, got "${text}"`,
    )
    return z.NEVER
  })
}

/** The shortest exact form: 900000 → 15m. */
export function formatDuration(ms: number): string {
  for (const unit of ['d', 'h', 'm']) {
    const size = unitMs[unit] ?? 1
    if (ms >= size && ms % size === 0) return `${ms / size}${unit}`
  }
  return `${Math.round(ms / 1000)}s`
}
