// demo-browser URL: does in the provider's pages what the person whose shell this is would do, where there is no browser.
import { browse } from '#support/oidc'

const [, , url] = process.argv
const person = process.env['GATE_DEMO_PERSON']
if (url === undefined || person === undefined) {
  process.stderr.write(
    "usage: demo-browser 'URL that gate login shows', in a shell that somebody's file was read into\n",
  )
  process.exitCode = 2
} else {
  try {
    await browse(url, person, 'allow')
    process.stdout.write(`${person} has confirmed the login.\n`)
  } catch (thrown) {
    process.stderr.write(`demo-browser: ${thrown instanceof Error ? thrown.message : String(thrown)}\n`)
    process.exitCode = 1
  }
}
