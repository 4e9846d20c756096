// Who must agree: "1 of dba", "2 of dba", "1 of dba and 1 of managers".
import { GateError } from '@gate/shared/errors'
import type { Quorum } from '@gate/shared/model'

const MAX_PARTS = 8
const MAX_COUNT = 20

/** @throws {GateError} ERR_GATE_CONFIG when the text is no quorum. */
export function parseQuorum(text: string): Quorum {
  const parts = text.split(/\s+and\s+(?=\d)/).map(part => {
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
 * A matching by augmenting paths: trying all assignments takes for ever when twenty people cannot fill the last seat.
 */
export function isFilled(quorum: Quorum, approvers: readonly Approver[]): boolean {
  const people = [...new Map(approvers.map(approver => [approver.id, approver])).values()]
  const seats = quorum.parts.flatMap(part => Array.from({ length: part.count }, () => part.group))
  const seated = new Map<Approver, string>()
  return seats.every(seat => take(seat, people, seated, new Set()))
}

/** Finds somebody for the seat, and another seat for whoever has to move. */
function take(seat: string, people: readonly Approver[], seated: Map<Approver, string>, asked: Set<Approver>): boolean {
  return people.some(person => {
    if (asked.has(person) || !person.groups.includes(seat)) return false
    asked.add(person)
    const other = seated.get(person)
    if (other !== undefined && !take(other, people, seated, asked)) return false
    seated.set(person, seat)
    return true
  })
}

/** Whether this person's word can count at all. */
export function mayApprove(quorum: Quorum, groups: readonly string[]): boolean {
  return quorum.parts.some(part => groups.includes(part.group))
}
