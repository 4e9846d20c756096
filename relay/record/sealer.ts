// Texts that only the operator's recipients can read: small age files (X25519), made without waiting. The only file that knows age-encryption.
import { createCipheriv, hkdfSync, randomBytes } from 'node:crypto'
import type { Clock } from '@gate/shared/clock'
import { GateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import { Encrypter } from 'age-encryption'

/**
 * A file key serves that many texts, for that long, and is then forgotten. Wrapping one for the recipients takes about a
 * millisecond of curve arithmetic each; encrypting a text under one that is at hand takes microseconds. Who reads the
 * relay's memory reads the texts of these minutes, which pass through it in clear anyway.
 */
const KEY_TEXTS = 10_000
const KEY_MS = 10 * 60_000

/** One chunk of age's STREAM holds that much, and needs no other. */
export const MAX_SEALED_BYTES = 64 * 1024
const NONCE_BYTES = 16
const TAG_BYTES = 16
const KEY_BYTES = 32
/** The counter of the first chunk, and that it is the last: https://age-encryption.org/v1 */
const ONLY_CHUNK = Uint8Array.from({ length: 12 }, (_, index) => (index === 11 ? 1 : 0))

interface FileKey {
  readonly key: Uint8Array
  readonly header: Uint8Array
  readonly madeMs: number
  texts: number
}

export class Sealer {
  readonly #recipients: readonly string[]
  readonly #clock: Clock
  readonly #log: Log
  #current: FileKey
  #making = false

  private constructor(recipients: readonly string[], clock: Clock, log: Log, first: FileKey) {
    this.#recipients = recipients
    this.#clock = clock
    this.#log = log
    this.#current = first
  }

  /** @throws {GateError} ERR_GATE_CONFIG when something is no recipient. */
  static async open(recipients: readonly string[], clock: Clock, log: Log): Promise<Sealer> {
    return new Sealer(recipients, clock, log, await makeFileKey(recipients, clock.monotonic()))
  }

  /** The text as an age file in base64. @throws {GateError} ERR_GATE_LIMIT above MAX_SEALED_BYTES. */
  seal(text: string): string {
    const plain = Buffer.from(text, 'utf8')
    if (plain.length > MAX_SEALED_BYTES) throw new GateError('ERR_GATE_LIMIT', `${plain.length} bytes to be sealed`)
    const { key, header, madeMs, texts } = this.#current
    this.#current.texts += 1
    if (texts >= KEY_TEXTS || this.#clock.monotonic() - madeMs >= KEY_MS) this.#renew()
    // The nonce makes another key of the file key for every text: one header can stand before all of them.
    const nonce = randomBytes(NONCE_BYTES)
    const streamKey = new Uint8Array(hkdfSync('sha256', key, nonce, 'payload', KEY_BYTES))
    const cipher = createCipheriv('chacha20-poly1305', streamKey, ONLY_CHUNK, { authTagLength: TAG_BYTES })
    const sealed = [cipher.update(plain), cipher.final(), cipher.getAuthTag()]
    return Buffer.concat([header, nonce, ...sealed]).toString('base64')
  }

  /** Until the next key is there, the old one goes on: nothing waits for it. */
  #renew(): void {
    if (this.#making) return
    this.#making = true
    makeFileKey(this.#recipients, this.#clock.monotonic())
      .then(
        made => {
          this.#current.key.fill(0)
          this.#current = made
        },
        error => this.#log.error('record.sealing-key-failed', { error }),
      )
      .finally(() => {
        this.#making = false
      })
  }
}

/** @throws {GateError} ERR_GATE_CONFIG when something is no recipient. */
async function makeFileKey(recipients: readonly string[], nowMs: number): Promise<FileKey> {
  const encrypter = new Encrypter()
  let key: Uint8Array | undefined
  for (const recipient of recipients) {
    try {
      encrypter.addRecipient(recipient)
    } catch (cause) {
      throw new GateError('ERR_GATE_CONFIG', `record.recipients: ${recipient.slice(0, 80)} is no recipient of age`, {
        cause,
        hint: 'age-keygen prints one: age1…',
      })
    }
  }
  // One more "recipient", which adds nothing to the header: it is told the key.
  encrypter.addRecipient({
    wrapFileKey: fileKey => {
      key = Uint8Array.from(fileKey)
      return []
    },
  })
  const empty = await encrypter.encrypt('')
  if (key === undefined) throw new GateError('ERR_GATE_INTERNAL', 'age made no file key')
  return { key, header: empty.subarray(0, empty.length - NONCE_BYTES - TAG_BYTES), madeMs: nowMs, texts: 0 }
}
