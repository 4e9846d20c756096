// Answers a local client in its own protocol while the relay cannot: plays what the relay gave for that moment.
import type { Duplex } from 'node:stream'
import type { OfflineAnswer } from '@gate/shared/model'
import * as z from 'zod'

const hex = z.string().regex(/^(?:[0-9a-f]{2})*$/)

const answer = z.object({
  need: z.int().min(0).max(1024),
  rules: z
    .array(z.object({ when: hex.optional(), take: z.int().min(0).max(1024).optional(), reply: hex, end: z.boolean() }))
    .max(20),
})

export const offlineAnswers = z.object({ unreachable: answer, unauthenticated: answer })

/** A client that says nothing is not told anything. */
const PATIENCE_MS = 5_000
const MAX_ROUNDS = 8

/** Takes over a socket that nobody has read from, answers, and closes it. */
export function answerOffline(socket: Duplex, { need, rules }: OfflineAnswer): void {
  let bytes = Buffer.alloc(0)
  let rounds = 0
  const end = (): void => {
    clearTimeout(patience)
    socket.end()
    // Unread bytes would make the close a reset, and the client would lose the answer.
    socket.resume()
    setTimeout(() => socket.destroy(), PATIENCE_MS).unref()
  }
  const patience = setTimeout(end, PATIENCE_MS).unref()
  socket.on('error', () => socket.destroy())
  socket.on('data', (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk])
    while (bytes.length >= need && !socket.writableEnded) {
      const start = bytes.toString('hex', 0, need)
      const rule = rules.find(({ when }) => when === undefined || start.startsWith(when))
      rounds += 1
      if (rule === undefined || rounds > MAX_ROUNDS) return end()
      socket.write(Buffer.from(rule.reply, 'hex'))
      if (rule.end) return end()
      bytes = bytes.subarray(rule.take ?? need)
      if (bytes.length === 0) return
    }
  })
  socket.resume()
}
