// The loop between two ports, with a machine that asks about everything and lets it through.
import { drive } from '@gate/relay/protocols/drive'
import type { Effect, Machine, Side } from '@gate/relay/protocols/machine'
import { GateError } from '@gate/shared/errors'
import { Inbox, type Port } from '@gate/shared/port'
import t from 'tap'

class Asking implements Machine<string, string, 'go'> {
  readonly #effects: Effect<string, string>[] = []
  readonly #asked = new Map<number, string>()
  #questions = 0

  receive(from: Side, unit: string | null): void {
    const to = from === 'client' ? 'target' : 'client'
    if (unit === null) this.#effects.push({ do: 'end', to })
    else if (from === 'target') this.#effects.push({ do: 'send', to, unit })
    else {
      this.#questions += 1
      this.#asked.set(this.#questions, unit)
      this.#effects.push({ do: 'ask', id: this.#questions, question: unit })
    }
  }
  poll(): Effect<string, string> | undefined {
    return this.#effects.shift()
  }
  wants(): boolean {
    return true
  }
  settle(id: number): void {
    this.#effects.push({ do: 'send', to: 'target', unit: this.#asked.get(id) ?? '' })
  }
  tell(): void {}
  lastWords(): undefined {
    return undefined
  }
}

function port(): { port: Port<string>; incoming: Inbox<string>; written: string[] } {
  const incoming = new Inbox<string>(
    1024,
    () => {},
    () => {},
  )
  const written: string[] = []
  return {
    incoming,
    written,
    port: {
      [Symbol.asyncIterator]: () => incoming,
      write: unit => void written.push(unit),
      end: () => void written.push('END'),
      destroy: () => {},
    },
  }
}

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

t.test('nothing reaches the target before it is recorded, and its order stays', async t => {
  const client = port()
  const target = port()
  let recorded: Promise<void> | undefined
  let written = (): void => {}
  const driving = drive(
    new Asking(),
    client.port,
    target.port,
    {
      answer: question => {
        if (question.startsWith('write'))
          recorded = new Promise(resolve => {
            written = () => {
              recorded = undefined
              resolve()
            }
          })
        return 'go'
      },
      observe: () => {},
      now: () => 0,
      declare: () => {},
      get recorded() {
        return recorded
      },
    },
    new AbortController().signal,
  )
  client.incoming.push('read 1')
  await turn()
  t.same(target.written, ['read 1'])
  client.incoming.push('write 2')
  client.incoming.push('read 3')
  client.incoming.finish()
  await turn()
  target.incoming.push('meanwhile')
  await turn()
  t.same(target.written, ['read 1'], 'waits for the disk')
  t.same(client.written, ['meanwhile'], 'the other direction goes on')
  written()
  await turn()
  t.same(target.written, ['read 1', 'write 2', 'read 3', 'END'])
  target.incoming.finish()
  await driving
})

/** A session whose disk is broken, and what of it reached the target. */
function withoutDisk(answer: () => 'go' | Promise<'go'>) {
  const [client, target] = [port(), port()]
  const recorded = Promise.reject(new GateError('ERR_GATE_RECORD', 'the disk is broken'))
  recorded.catch(() => {})
  const driving = drive(
    new Asking(),
    client.port,
    target.port,
    { answer, observe: () => {}, now: () => 0, declare: () => {}, recorded },
    new AbortController().signal,
  )
  return { client, target, driving }
}

t.test('what could not be recorded is never sent, nor anything after it', async t => {
  const { client, target, driving } = withoutDisk(() => 'go')
  client.incoming.push('write 1')
  client.incoming.push('read 2')
  await t.rejects(driving, { code: 'ERR_GATE_RECORD' })
  await turn()
  t.same(target.written, [])
})

t.test('also where the answer had to be waited for, and nothing is left that nobody catches', async t => {
  const uncaught: unknown[] = []
  const catchIt = (thrown: unknown): number => uncaught.push(thrown)
  process.on('unhandledRejection', catchIt)
  t.teardown(() => process.off('unhandledRejection', catchIt))
  const { client, target, driving } = withoutDisk(() => turn().then(() => 'go'))
  client.incoming.push('write 1')
  await t.rejects(driving, { code: 'ERR_GATE_RECORD' })
  await turn()
  await turn()
  t.same(target.written, [])
  t.same(uncaught, [])
})
