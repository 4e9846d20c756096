// The worker thread of the embedded store: owns PGlite, answers one message at a time.
import { parentPort, workerData } from 'node:worker_threads'
import { PGlite, types } from '@electric-sql/pglite'
import type { FromWorker, ToWorker } from './embedded.ts'

if (parentPort === null) throw new Error('embedded-worker runs as a worker thread only')
const port = parentPort
const { directory } = workerData as { directory: string }

const database = await PGlite.create({ dataDir: directory, parsers: { [types.INT8]: Number } })

const send = (message: FromWorker): void => port.postMessage(message)

async function answer(message: ToWorker): Promise<void> {
  if ('sql' in message) {
    const result = await database.query(message.sql, [...message.parameters])
    send({
      id: message.id,
      rows: result.rows,
      affectedRows: result.affectedRows ?? 0,
      command: message.sql.trimStart().slice(0, 6).toUpperCase(),
    })
  } else if ('listen' in message) {
    await database.listen(message.listen, payload => send({ channel: message.listen, payload }))
    send({ id: message.id, rows: [], affectedRows: 0, command: 'LISTEN' })
  } else {
    await database.close()
    send({ id: message.id, rows: [], affectedRows: 0, command: 'CLOSE' })
  }
}

let last: Promise<void> = Promise.resolve()
port.on('message', (message: ToWorker) => {
  last = last.then(async () => {
    try {
      await answer(message)
    } catch (thrown) {
      const error = thrown as Error & { code?: string }
      send({ id: message.id, error: { message: error.message, code: error.code } })
    }
  })
})
send({ ready: true })
