// A command that people are asked about, as the gate asks. Types only.
import type { BoundParameter } from '@gate/shared/approval'
import type { AccessRequest, Estimate, Hold, Operation } from '@gate/shared/model'
import type { EarlierCommand } from './requests.ts'

/** A command that people are asked about. */
export interface Asking {
  readonly session: string
  readonly access: AccessRequest
  readonly hold: Hold
  readonly policy: string
  /** The command's exact text and values, and where it would run. */
  readonly command: string
  readonly parameters: readonly BoundParameter[]
  /** What stays of it when the request is over. */
  readonly recorded: Pick<Operation, 'text' | 'parameters' | 'resources' | 'facts'>
  readonly context: Readonly<Record<string, string>>
  readonly history: readonly EarlierCommand[]
  readonly estimate: Estimate | undefined
}
