// Times as people type them: a duration from now, or an ISO date with or without a time. Pure.
import { duration } from '@gate/shared/duration'
import { GateError } from '@gate/shared/errors'

const TEN_YEARS_MS = 3_650 * 86_400_000
const span = duration(1_000, TEN_YEARS_MS)
const iso = /^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?(?:Z|[+-]\d{2}:\d{2})?)?$/

/**
 * The time that a text means: `2h` is so long before or after now; what has no zone is local time.
 * @throws {GateError} ERR_GATE_USAGE naming the option.
 */
export function parseTime(option: string, text: string, nowMs: number, direction: 'before' | 'after'): number {
  const length = span.safeParse(text)
  if (length.success) return direction === 'before' ? nowMs - length.data : nowMs + length.data
  // A date alone would be taken for one in UTC.
  const full = text.length === 10 ? `${text}T00:00` : text.replace(' ', 'T')
  const time = iso.test(text) ? Date.parse(full) : Number.NaN
  if (!Number.isNaN(time)) return time
  throw new GateError(
    'ERR_GATE_USAGE',
    `${option}: expected a duration such as 2h or 3d, or a time such as 2030-01-31 or 2030-01-31T14:00, got "${text}"`,
  )
}

/** 2030-01-31 14:00:05Z: the one form in which times are shown, and one that parseTime takes. The same for colleagues in other places. */
export function utc(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')}Z`
}

/** 14:00:05Z, where the day is known. */
export function utcTime(ms: number): string {
  return utc(ms).slice(11)
}
