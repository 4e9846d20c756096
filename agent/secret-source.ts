// Where a secret comes from, as a configuration says it.
import * as z from 'zod'

/** It is read anew for each use, so that it can be rotated. */
export const secret = z.union([
  z.strictObject({ file: z.string() }),
  z.strictObject({ environment: z.string() }),
  z.strictObject({ command: z.array(z.string()).min(1) }),
])
export type SecretSource = z.infer<typeof secret>

/** Makes a path of one that is relative to the configuration file. */
export type ResolvePath = (relative: string) => string

export function secretWithPath(source: SecretSource, path: ResolvePath): SecretSource {
  return 'file' in source ? { file: path(source.file) } : source
}
