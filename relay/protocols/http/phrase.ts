// The words behind the status of an answer (RFC 9112 section 4). Pure.
import { STATUS_CODES } from 'node:http'

/** Tab, blank, what is visible, and bytes beyond ASCII. */
const allowed = /^[\t\x20-\x7e\x80-\xff]+$/

/** What the target said, one character for each byte, where it can be said again; else what everybody says. */
export function phraseOf(status: number, said: string | undefined): string {
  return said !== undefined && allowed.test(said) ? said : (STATUS_CODES[status] ?? '')
}
