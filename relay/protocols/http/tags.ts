// Entity tags of masked answers (RFC 9110 section 8.8.3): sealed, since a tag is often a hash of the clear body and its length. Pure.
import { createCipheriv, createDecipheriv, createHash, createHmac } from 'node:crypto'
import type { Obligation } from '@gate/shared/model'

const VERSION_LENGTH = 12
const CIPHER = 'aes-256-gcm'
const NONCE_BYTES = 12
const SEAL_BYTES = 16
/** Tags are filled up to multiples of it, so that their length says little. */
const BLOCK_BYTES = 48
/** Stands in a condition for tags that are not gate's: it has to fail, and must not be left out. */
const NO_TAG = '"gate-none"'

/** What masks of tags go by. */
export interface TagSeal {
  /** A name for what is masked. */
  readonly version: string
  readonly key: Uint8Array
}

/** Answers that are masked differently are different. `key` is the relay's, for all that it hides. */
export function tagSeal(obligations: readonly Obligation[], key: Uint8Array): TagSeal {
  const version = createHash('sha256').update(JSON.stringify(obligations)).digest('hex').slice(0, VERSION_LENGTH)
  return { version, key: createHmac('sha256', key).update('entity tags').digest() }
}

/** The tag of the masked form of what has `tag`: the same each time. */
export function maskedTag(tag: string, { version, key }: TagSeal): string {
  const text = Buffer.from(`${version}${tag}`)
  const clear = Buffer.alloc(Math.ceil(text.length / BLOCK_BYTES) * BLOCK_BYTES, ' ')
  text.copy(clear)
  // One nonce for each text and none for two: it is made of the text (RFC 5297 does the same).
  const nonce = createHmac('sha256', key).update(clear).digest().subarray(0, NONCE_BYTES)
  const cipher = createCipheriv(CIPHER, key, nonce)
  const sealed = Buffer.concat([nonce, cipher.update(clear), cipher.final(), cipher.getAuthTag()])
  return `${tag.startsWith('W/') ? 'W/' : ''}"${sealed.toString('base64url')}"`
}

/**
 * The condition as the target understands it. What gate did not seal is left out: whether it fits would tell of the clear
 * body. So are tags of other masks where they would only spare the body, so that it comes again. Undefined when none is left.
 */
export function clearTags(condition: string, seal: TagSeal, spares: boolean): string | undefined {
  if (condition.trim() === '*') return condition
  const kept = (condition.match(/"[^"]*"/g) ?? []).flatMap(tag => opened(tag.slice(1, -1), seal, spares))
  if (kept.length > 0) return kept.join(', ')
  return spares ? undefined : NO_TAG
}

/** The same of WebDAV's `If` (RFC 4918 section 10.4), whose lists hold tags in brackets among other conditions. */
export function clearConditions(lists: string, seal: TagSeal): string {
  return lists.replace(/\[[^\]]*\]?/g, tag => `[${clearTags(tag, seal, false) ?? NO_TAG}]`)
}

function opened(text: string, { version, key }: TagSeal, isOfVersion: boolean): string[] {
  const bytes = Buffer.from(text, 'base64url')
  if (bytes.length < NONCE_BYTES + SEAL_BYTES) return []
  const decipher = createDecipheriv(CIPHER, key, bytes.subarray(0, NONCE_BYTES))
  decipher.setAuthTag(bytes.subarray(-SEAL_BYTES))
  try {
    const clear = Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, -SEAL_BYTES)), decipher.final()])
    const said = clear.toString('utf8').trimEnd()
    return isOfVersion && !said.startsWith(version) ? [] : [said.slice(VERSION_LENGTH)]
  } catch {
    // It was sealed by nobody, or with another key.
    return []
  }
}
