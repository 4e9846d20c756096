// A room with terminals, in place of the SSH room, which there is not: a real shell on a real terminal of the relay's machine.
// No agent and no target are part of it. Everything else is real: policy decides, the record is written, sessions are found,
// followed and ended as those of any room.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Protocol, Session, TerminalSize } from '@gate/relay/protocols/protocol'
import { abortReason, GateError } from '@gate/shared/errors'
import type { Operation } from '@gate/shared/model'
import { SCRIPT } from './at-terminal.ts'

/** What a client sends first: the size of its terminal and a command, on one line. The rest is typed into it. */
function readFirst(bytes: Buffer): { readonly size: TerminalSize; readonly command: string; readonly rest: Buffer } {
  const end = bytes.indexOf('\n')
  const [, columns = '', rows = '', command = ''] =
    /^(\d+)x(\d+) (.+)$/.exec(bytes.toString('utf8', 0, Math.max(0, end))) ?? []
  if (command === '') throw new GateError('ERR_GATE_PROTOCOL', 'the first line is no size and command')
  return { size: { columns: Number(columns), rows: Number(rows) }, command, rest: bytes.subarray(end + 1) }
}

/** Between what is typed: the window has another size now. */
const RESIZE = /^\0(\d+)x(\d+)\n$/

function operationOf(text: string): Operation {
  return {
    protocol: 'http',
    action: 'exec',
    resources: [],
    text,
    parameters: [],
    writes: true,
    routine: false,
    facts: { program: text.split(' ')[0] ?? '' },
  }
}

async function serve(session: Session): Promise<void> {
  const { client, gate, signal } = session
  await session.start({ program: 'terminal' })
  const units = client[Symbol.asyncIterator]()
  const first = await units.next()
  if (first.done === true) return
  const { size, command, rest } = readFirst(first.value)
  const verdict = await gate.decide(
    [
      {
        operation: operationOf(command),
        recorded: { text: command, isCut: false, parameters: [], parameterCount: 0 },
        people: 'now',
      },
    ],
    () => ({ command, parameters: [], context: {}, estimate: () => Promise.resolve(undefined) }),
    () => {},
    () => signal,
  )
  if (verdict.settled.effect === 'deny') {
    await client.write(Buffer.from(`gate: ${verdict.settled.reason}\r\n`))
    return client.end()
  }
  await verdict.recorded
  const [number = 0] = verdict.commands
  const terminal = gate.terminal(number, size)
  const child = spawn(SCRIPT, ['-qefc', `stty cols ${size.columns} rows ${size.rows}; exec ${command}`, '/dev/null'])
  const kill = (): void => void child.kill('SIGKILL')
  signal.addEventListener('abort', kill, { once: true })
  child.stdin.on('error', () => {})
  child.stdin.write(rest)
  const typed = async (): Promise<void> => {
    for (let next = await units.next(); next.done !== true; next = await units.next()) {
      const [, columns, rows] = RESIZE.exec(next.value.toString('latin1')) ?? []
      if (columns === undefined) child.stdin.write(next.value)
      else terminal.resize({ columns: Number(columns), rows: Number(rows) })
    }
    child.stdin.end()
  }
  const typing = typed().catch(kill)
  let bytes = 0
  try {
    for await (const chunk of child.stdout) {
      bytes += (chunk as Buffer).length
      await terminal.output(chunk as Buffer)
      await client.write(chunk as Buffer)
    }
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    if (signal.aborted) throw abortReason(signal)
    gate.observe({ command: number, rows: undefined, bytes, status: `exit ${child.exitCode}` })
    client.end()
    await typing
  } finally {
    signal.removeEventListener('abort', kill)
    kill()
  }
}

export function createTerminalRoom(): Protocol {
  return {
    name: 'http',
    vocabulary: { program: 'string' },
    obligations: [],
    hint: () => ({ lines: [], environment: {}, files: [] }),
    offline: () => ({ unreachable: { need: 1, rules: [] }, unauthenticated: { need: 1, rules: [] } }),
    serve,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}
