// What the record says of decisions, resources and facts: without what detectors find in them. Pure.
import type { Decision, Operation } from '@gate/shared/model'
import { hideFound } from '../mask/recorded.ts'
import { type CommandBody, cutText } from './record-limits.ts'

/** Longer reasons say nothing more. */
const REASON_BYTES = 2_000

/** Decisions that are used again are said again. */
const verdictsSaidBefore = new WeakMap<Decision, CommandBody['decision']>()

export function verdictOf(decision: Decision, key: Uint8Array): CommandBody['decision'] {
  const known = verdictsSaidBefore.get(decision)
  if (known !== undefined) return known
  const { effect, rule } = decision
  const said =
    effect === 'deny'
      ? { effect, rule, reason: cutText(hideFound(decision.reason, key), REASON_BYTES) }
      : { effect, rule }
  verdictsSaidBefore.set(decision, said)
  return said
}

/** Rooms that know a command from before give the same resources and facts again. */
const resourcesSaidBefore = new WeakMap<Operation['resources'], CommandBody['resources']>()

export function saidResources(resources: Operation['resources'], key: Uint8Array): CommandBody['resources'] {
  const known = resourcesSaidBefore.get(resources)
  if (known !== undefined) return known
  const said = resources.map(({ kind, name, mode }) => ({ kind, name: hideFound(name, key), mode }))
  resourcesSaidBefore.set(resources, said)
  return said
}

type SaidFacts = Record<string, string | number | boolean | null | string[]>

const saidBefore = new WeakMap<Operation['facts'], SaidFacts>()

/** Facts that say nothing are left out of the record: they are the same for every command. */
export function saidFacts(facts: Operation['facts'], key: Uint8Array): SaidFacts {
  const known = saidBefore.get(facts)
  if (known !== undefined) return known
  const said: SaidFacts = {}
  for (const [name, value] of Object.entries(facts)) {
    if (value === '' || value === false || value === null || (Array.isArray(value) && value.length === 0)) continue
    if (Array.isArray(value)) said[name] = value.map(each => hideFound(each, key))
    else said[name] = typeof value === 'string' ? hideFound(value, key) : (value as number | boolean)
  }
  saidBefore.set(facts, said)
  return said
}
