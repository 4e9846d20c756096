// An HTTP request in words, as people are asked about it: the same for the relay that asks and an agent that checks. Pure.
import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'

/**
 * The request's first line, and its body with its type where it has one. `content` is the body as `contentText` gives it;
 * with a number in its place, the body was not read and has so many bytes, and -1 says that they were not said.
 */
export function requestText(
  method: string,
  target: string,
  contentType: string | undefined,
  content: string | number | undefined,
): string {
  const line = `${method} ${target}`
  if (content === undefined) return line
  const type = `content-type: ${contentType ?? 'not said'}`
  if (typeof content === 'string') return `${line}\n${type}\n\n${content}`
  return `${line}\n${type}\ncontent-length: ${content === -1 ? 'not said' : content}`
}

/** Text as it is; of other bytes what tells them from others. */
export function contentText(bytes: Buffer): string {
  if (isText(bytes)) return bytes.toString('utf8')
  return `(${bytes.length} bytes, SHA-256 ${createHash('sha256').update(bytes).digest('hex')})`
}

/** Whether bytes can be shown as they are. */
export function isText(bytes: Buffer): boolean {
  return isUtf8(bytes) && !bytes.includes(0)
}

/** Headers by which a request asks to be taken for one of another method; some servers look for them in forms as well. */
export const methodOverrides: readonly string[] = [
  ...['x-http-method-override', 'x-http-method', 'x-method-override', 'x-method', 'http-method-override'],
]
