// What an agent needs of a protocol: reach the target, log in with the service identity, hand over the stream.
import type { GateError } from '@gate/shared/errors'
import type { Target } from '@gate/shared/model'
import type { Port } from '@gate/shared/port'
import type { ApprovalGuard } from '../approvals/guard.ts'
import type { TargetConfig } from '../config.ts'

export interface Connection {
  /** The logged-in stream. */
  readonly port: Port<Buffer>
  readonly detail: Readonly<Record<string, string>>
  /** Cancels what runs on the stream, in the protocol's own way; resolves when the target has taken the request. */
  cancel(): Promise<void>
}

export interface Connector<Config extends TargetConfig = TargetConfig> {
  /** What the relay learns of the target. Never a credential or an address. */
  announce(config: Config): Target
  /**
   * Opens a stream. With a guard no command reaches the target that it did not let pass. `failed` is told what goes wrong
   * with the target on a stream that goes on nevertheless.
   * @throws {GateError} ERR_GATE_TARGET_UNREACHABLE or ERR_GATE_TARGET_LOGIN.
   */
  connect(
    config: Config,
    parameters: Readonly<Record<string, string>>,
    signal: AbortSignal,
    guard: ApprovalGuard | undefined,
    failed?: (error: GateError) => void,
  ): Promise<Connection>
}
