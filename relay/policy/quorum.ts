// Who must agree: "1 of dba", "2 of dba", "1 of dba and 1 of managers".
import { GateError } from '@gate/shared/errors'
import type { Quorum } from '@gate/shared/model'

const MAX_PARTS = 8
const MAX_COUNT = 20

/** @throws {GateError} ERR_GATE_CONFIG when the text is no quorum. */
export function parseQuorum(text: string): Quorum {
  const parts = text.split(/\s+and\s+/).map(part => {
    const match = /^\s*(\d{1,2})\s+of\s+(\S+)\s*$/.exec(part)
    const count = Number(match?.[1])
    if (match?.[2] === undefined || count < 1 || count > MAX_COUNT) {
      throw new GateError(
        'ERR_GATE_CONFIG',
        `"${text}" is no quorum; expected for example "1 of dba and 1 of managers"`,
      )
    }
    return { count, group: match[2] }
  })
  if (parts.length > MAX_PARTS) throw new GateError('ERR_GATE_CONFIG', `a quorum has at most ${MAX_PARTS} parts`)
  return { text: parts.map(part => `${part.count} of ${part.group}`).join(' and '), parts }
}

export interface Approver {
  readonly id: string
  readonly groups: readonly string[]
}

/**
 * Whether these different people fill the quorum, each counted for one part only: one person in two groups is still one person.
 * Parts are few, so all assignments are tried.
 */
export function isFilled(quorum: Quorum, approvers: readonly Approver[]): boolean {
  const people = [...new Map(approvers.map(approver => [approver.id, approver])).values()]
  const seats = quorum.parts.flatMap(part => Array.from({ length: part.count }, () => part.group))
  return assign(seats, people)
}

function assign(seats: readonly string[], people: readonly Approver[]): boolean {
  const [seat, ...rest] = seats
  if (seat === undefined) return true
  if (people.length < seats.length) return false
  return people.some(
    person =>
      person.groups.includes(seat) &&
      assign(
        rest,
        people.filter(other => other !== person),
      ),
  )
}

/** Whether this person's word can count at all. */
export function mayApprove(quorum: Quorum, groups: readonly string[]): boolean {
  return quorum.parts.some(part => groups.includes(part.group))
}
