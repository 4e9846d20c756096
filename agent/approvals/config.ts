// What a target's configuration says of approvals that the agent checks itself.
import * as z from 'zod'

/** Keys with which this agent checks approvals itself, so that a relay that was taken over cannot make them up. */
export const approvalFields = {
  /** Actions that need an approval that the agent believes; `*` stands for every command. Of HTTP they are methods in lower case. */
  require_approval: z.array(z.string().min(1).max(64)).min(1).max(100).optional(),
  /** Approvers' public keys, as `gate keys` prints them. */
  approver_keys: z
    .array(z.string().regex(/^[A-Za-z0-9_-]{20,200}$/, 'expected a public key as gate keys prints it'))
    .min(1)
    .max(1000)
    .optional(),
  /** Different keys that have to agree. */
  approvals_needed: z.int().min(1).max(20).default(1),
}

type ApprovalConfig = z.infer<z.ZodObject<typeof approvalFields>>

/** What is wrong with it, in words. */
export function approvalFaults(config: ApprovalConfig): string[] {
  const { require_approval: actions, approver_keys: keys, approvals_needed: needed } = config
  const faults: string[] = []
  if ((actions === undefined) !== (keys === undefined)) faults.push('require_approval and approver_keys go together')
  if (keys !== undefined && keys.length < needed)
    faults.push(`approvals_needed is ${needed}, and there are ${keys.length} keys`)
  return faults
}
