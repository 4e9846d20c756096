// Runs several test files in one process: most of a small file's time is the start of node and tap.
import { pathToFileURL } from 'node:url'

for (const file of process.argv.slice(2)) await import(pathToFileURL(file).href)
