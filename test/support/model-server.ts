// As much of a PostgreSQL server as transactions need, without rows: a stand-in that can be asked thousands of times a
// second what a real one is asked in the end-to-end tests. Statements: select, delete N, begin, commit, rollback, fail.
import { messages, server } from './wire.ts'

type Status = 'I' | 'T' | 'E'

interface Ran {
  readonly answer: Buffer
  readonly failed: boolean
}

export class ModelServer {
  /** Rows of each DELETE that was committed. */
  readonly committed: number[] = []
  status: Status = 'I'
  #open: number[] = []
  #skipping = false
  #prepared = ''
  #portal = ''
  /** Answers in the extended protocol stay here until Flush, Sync or an error. */
  #buffered: Buffer[] = []

  /** Takes whole messages and returns what a server would send. */
  receive(bytes: Buffer): Buffer {
    return Buffer.concat(messages(bytes).map(({ type, body }) => this.#message(type, body)))
  }

  #message(type: string, body: Buffer): Buffer {
    if (this.#skipping && type !== 'S') return Buffer.alloc(0)
    const strings = body.toString('latin1').split('\0')
    switch (type) {
      case 'Q':
        return this.#query(strings[0] ?? '')
      case 'P':
        this.#prepared = strings[1] ?? ''
        return this.#prepared === 'refused_by_gate' ? this.#extendedError() : this.#buffer(server.parseComplete)
      case 'B':
        this.#portal = this.#prepared
        return this.#buffer(server.bindComplete)
      case 'E': {
        if (strings[0] === 'unguessable') return this.#extendedError()
        const { answer, failed } = this.#run(this.#portal)
        return failed ? this.#extendedError() : this.#buffer(answer)
      }
      case 'H':
        return this.#flush()
      case 'S':
        this.#skipping = false
        this.#end()
        this.#buffer(server.ready(this.status))
        return this.#flush()
      default:
        throw new Error(`the model does not know ${type}`)
    }
  }

  #buffer(answer: Buffer): Buffer {
    this.#buffered.push(answer)
    return Buffer.alloc(0)
  }

  #flush(): Buffer {
    return Buffer.concat(this.#buffered.splice(0))
  }

  #extendedError(): Buffer {
    this.#skipping = true
    this.#fail()
    this.#buffer(server.error('XX000', 'failed'))
    return this.#flush()
  }

  #query(text: string): Buffer {
    const answers = [this.#flush()]
    for (const statement of text === 'refused_by_gate' ? ['fail'] : text.split(';')) {
      const { answer, failed } = this.#run(statement.trim())
      if (failed) {
        this.#fail()
        answers.push(server.error('XX000', 'failed'))
        break
      }
      answers.push(answer)
    }
    this.#end()
    return Buffer.concat([...answers, server.ready(this.status)])
  }

  #run(statement: string): Ran {
    const [verb = '', count = '0'] = statement.toLowerCase().split(' ')
    const done = (tag: string): Ran => ({ answer: server.complete(tag), failed: false })
    if (verb === 'rollback' || (verb === 'commit' && this.status === 'E')) {
      this.#open = []
      this.status = 'I'
      return done('ROLLBACK')
    }
    if (verb === 'fail' || this.status === 'E') return { answer: Buffer.alloc(0), failed: true }
    if (verb === 'begin') {
      this.status = 'T'
      return done('BEGIN')
    }
    if (verb === 'commit') {
      this.#commit()
      return done('COMMIT')
    }
    if (verb !== 'delete') return done('SELECT 1')
    this.#open.push(Number(count))
    return { answer: Buffer.concat([server.dataRow(['x']), server.complete(`DELETE ${count}`)]), failed: false }
  }

  #commit(): void {
    this.committed.push(...this.#open.splice(0))
    this.status = 'I'
  }

  #fail(): void {
    this.#open = []
    if (this.status === 'T') this.status = 'E'
  }

  /** The end of a message that ends what is not in a transaction of its own. */
  #end(): void {
    if (this.status === 'I') this.#commit()
  }
}
