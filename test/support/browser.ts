// A headless browser by its DevTools protocol: where one is installed, pages run in it as they do for people.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { WebSocket } from 'ws'
import { temporaryDirectory } from './tmp.ts'

const programs = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/usr/bin/google-chrome-stable',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
]

/** Undefined where there is none. */
export const browserProgram = programs.find(program => existsSync(program))

export interface Page {
  /** Opens an address and resolves when its document is loaded; gives what the browser says if it cannot. */
  open(url: string): Promise<string | undefined>
  /** Runs code in the page; a promise is waited for. @throws what the code throws. */
  run(code: string): Promise<unknown>
}

export interface Browser extends AsyncDisposable {
  page(): Promise<Page>
}

interface Message {
  readonly id?: number
  readonly sessionId?: string
  readonly method?: string
  readonly result?: Record<string, unknown>
  readonly error?: { readonly message: string }
}

/** `hosts` are names and the address that the browser is to believe they have, as after DNS rebinding. */
export async function startBrowser(program: string, hosts: Readonly<Record<string, string>> = {}): Promise<Browser> {
  const profile = await temporaryDirectory('browser')
  const rules = Object.entries(hosts).map(([name, address]) => `MAP ${name} ${address}`)
  const child = spawn(
    program,
    [
      '--headless=new',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-dev-shm-usage',
      '--disable-background-networking',
      '--no-first-run',
      '--remote-debugging-port=0',
      `--user-data-dir=${profile.path}`,
      `--host-resolver-rules=${rules.join(',')}`,
      'about:blank',
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  const exited = once(child, 'exit')
  const end = async (): Promise<void> => {
    child.kill('SIGKILL')
    await exited
    await profile[Symbol.asyncDispose]()
  }
  const socket = new WebSocket(await debuggingUrl(child.stderr, exited))
  await once(socket, 'open')
  const waiting = new Map<number, (message: Message) => void>()
  const events = new Set<(message: Message) => void>()
  socket.on('message', data => {
    const message = JSON.parse(String(data)) as Message
    if (message.id !== undefined) waiting.get(message.id)?.(message)
    else for (const each of events) each(message)
  })
  let last = 0
  const call = (method: string, params: object, sessionId?: string): Promise<Record<string, unknown>> =>
    new Promise((resolve, reject) => {
      const id = ++last
      waiting.set(id, ({ result = {}, error }) => {
        waiting.delete(id)
        if (error === undefined) resolve(result)
        else reject(new Error(`${method}: ${error.message}`))
      })
      socket.send(JSON.stringify({ id, method, params, ...(sessionId === undefined ? {} : { sessionId }) }))
    })
  return {
    page: async () => {
      const { targetId } = await call('Target.createTarget', { url: 'about:blank' })
      const attached = await call('Target.attachToTarget', { targetId, flatten: true })
      const session = String(attached['sessionId'])
      await call('Page.enable', {}, session)
      return {
        open: async url => {
          const loaded = new Promise<void>(resolve => {
            const look = ({ method, sessionId }: Message): void => {
              if (method !== 'Page.loadEventFired' || sessionId !== session) return
              events.delete(look)
              resolve()
            }
            events.add(look)
          })
          const { errorText } = await call('Page.navigate', { url }, session)
          await loaded
          return errorText as string | undefined
        },
        run: async code => {
          const params = { expression: `(async () => { ${code} })()`, awaitPromise: true, returnByValue: true }
          const { result, exceptionDetails } = (await call('Runtime.evaluate', params, session)) as {
            result?: { value?: unknown }
            exceptionDetails?: { exception?: { description?: string } }
          }
          if (exceptionDetails !== undefined) throw new Error(exceptionDetails.exception?.description ?? 'thrown')
          return result?.value
        },
      }
    },
    [Symbol.asyncDispose]: async () => {
      socket.terminate()
      await end()
    },
  }
}

async function debuggingUrl(output: NodeJS.ReadableStream, exited: Promise<unknown>): Promise<string> {
  let said = ''
  const found = new Promise<string>(resolve => {
    output.on('data', chunk => {
      said += String(chunk)
      const [, url] = /listening on (ws:\S+)/.exec(said) ?? []
      if (url !== undefined) resolve(url)
    })
  })
  return Promise.race([
    found,
    exited.then(() => {
      throw new Error(`the browser ended: ${said}`)
    }),
  ])
}
