// What becomes of the program when nobody reads its output any more.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const gate = fileURLToPath(new URL('../../../cli/bin/gate.js', import.meta.url))

t.test('a reader that has read enough is no error', async t => {
  const child = spawn(process.execPath, [gate, '--help'], { stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  child.stderr.on('data', chunk => {
    said += String(chunk)
  })
  child.stdout.destroy()
  const [code] = await once(child, 'close')
  t.equal(said, '')
  t.equal(code, 141)
})
