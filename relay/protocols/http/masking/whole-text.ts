// What an event or a message is as a whole: JSON, or nothing but a sign that a stream goes on, or is over. Pure.

/** Whole, and in any case: there is no field in it. What stands beside such a word could be anything. */
const bare = /^\s*(?:\[DONE\]|ping|pong|heartbeat|keep-?alive)\s*$/i
const MAX_BARE_LENGTH = 64

/** A text, and whether it is JSON: to find out reads all of it. */
export interface WholeText {
  readonly text: string
  readonly isJson: boolean
}

export function isBare(text: string): boolean {
  return text.trim() === '' || (text.length <= MAX_BARE_LENGTH && bare.test(text))
}

export const wholeText = (text: string): WholeText => ({ text, isJson: isJson(text) })

export function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
