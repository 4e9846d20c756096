// http [-d BODY] URL: what the demo has in the place of curl, where a machine has none.
const args = process.argv.slice(2)
const body = args[0] === '-d' ? args.splice(0, 2)[1] : undefined
const [url] = args
if (url === undefined) {
  process.stderr.write('usage: http [-d BODY] URL\n')
  process.exit(2)
}
const answer = await fetch(
  url,
  body === undefined ? {} : { method: 'POST', body, headers: { 'content-type': 'application/json' } },
)
process.stdout.write(await answer.text())
