// How commands are written down where a test does not care: the default limits, a key of its own, nothing sealed.
import { randomBytes } from 'node:crypto'
import { defaultRecordLimits, TargetBytes } from '@gate/relay/session/record-limits'
import type { RecordTerms } from '@gate/relay/session/recorded-text'

export function recordTerms(more: Partial<RecordTerms> = {}): RecordTerms {
  return {
    limits: defaultRecordLimits,
    key: randomBytes(32),
    targetBytes: new TargetBytes(),
    seal: undefined,
    durability: undefined,
    ...more,
  }
}
