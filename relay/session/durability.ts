// Which commands wait until their record is on the disk, and not only with the system. Pure.
import type { Operation } from '@gate/shared/model'

/** `fsync`: all of them. `write`: none; then a crash of the machine can take the records of the last second. */
export const durabilities = ['write', 'fsync'] as const
export type Durability = (typeof durabilities)[number]

/** Where nothing is said, commands that write wait: what they did stays, so the record of it has to. */
export function waitsForDisk(
  durability: Durability | undefined,
  operations: readonly Pick<Operation, 'writes' | 'routine'>[],
): boolean {
  if (durability !== undefined) return durability === 'fsync'
  return operations.some(({ writes, routine }) => writes && !routine)
}
