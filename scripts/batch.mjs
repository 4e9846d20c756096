// Runs several test files in one process: most of a small file's time is the start of node and tap.
import { pathToFileURL } from 'node:url'
import t from 'tap'

const files = process.argv.slice(2)
// Their tests come after this one: without it tap may take the end of one file's tests for the end of all.
t.test('test files are read', async t => {
  for (const file of files) await import(pathToFileURL(file).href)
  t.pass(`${files.length} files`)
})
