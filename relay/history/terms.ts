// What sessions can be found by of one recorded event. Pure.
import type { EventBody } from '../record/events.ts'

/** Longer words are cut, in the index and in the question alike. */
const MAX_WORD_LENGTH = 64
/** Of a recorded text, so many different words can be found. */
const MAX_WORDS_PER_TEXT = 500

/** The different words of a text: runs of letters, digits and underscores, in lower case, two characters or longer. */
export function wordsOf(text: string, limit = MAX_WORDS_PER_TEXT): string[] {
  const words = new Set<string>()
  for (const [word] of text.toLowerCase().matchAll(/[\p{L}\p{N}_]{2,}/gu)) {
    words.add(word.slice(0, MAX_WORD_LENGTH))
    if (words.size >= limit) break
  }
  return [...words]
}

export const actionTerm = (action: string): string => `action:${action}`
export const ruleTerm = (rule: string): string => `rule:${rule}`
export const wordTerm = (word: string): string => `word:${word}`

/** The terms that an event adds to its session. */
export function termsOf(body: EventBody): string[] {
  switch (body.type) {
    case 'command': {
      const rules = [body.decision.rule, ...(body.settled === undefined ? [] : [body.settled.rule])]
      return [actionTerm(body.action), ...rules.map(ruleTerm), ...wordsOf(body.text).map(wordTerm)]
    }
    case 'hold':
    case 'rows':
      return [ruleTerm(body.rule)]
    default:
      return []
  }
}

export interface Tally {
  commands: number
  refused: number
  held: number
}

/** What an event adds to the counts of its session. */
export function tallyOf(body: EventBody): Tally {
  const commands = body.type === 'command' ? 1 : 0
  const denied =
    (body.type === 'command' && (body.settled ?? body.decision).effect === 'deny') ||
    (body.type === 'rows' && body.decision.effect === 'deny')
  return { commands, refused: denied ? 1 : 0, held: body.type === 'hold' ? 1 : 0 }
}
