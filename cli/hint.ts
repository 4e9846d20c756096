// What a room says about using an open port: lines to show, variables to set, files of gate's own; with the port filled in.
import { join } from 'node:path'
import type { ConnectHint } from '@gate/shared/model'
import * as z from 'zod'
import { ownDirectory, readOwnFile, writeOwnFile } from './files.ts'

const text = z.string().max(4096)

/** A hint as the relay gives it. */
export const connectHint = z.object({
  lines: z.array(z.object({ label: text, text })).max(20),
  environment: z.record(z.string().regex(/^[A-Z][A-Z0-9_]*$/), text),
  /** By their names none of them is one of gate's other files. */
  files: z.array(z.object({ name: z.string().regex(/^[a-z0-9_]+\.conf$/), section: text, text })).max(5),
})

/** Environment variables that a hint may set: where the port is and whose. Others could run code (PAGER, LD_PRELOAD, PGSYSCONFDIR …). */
const allowedVariables = /^(?:PG(?:HOST|PORT|DATABASE|USER)|TARGET_[A-Z_]+)$/

/** What a hint leaves open: where the port is, and whose. */
export interface OpenPort {
  readonly host: string
  readonly port: string
  readonly target: string
  readonly user: string
}

/** What there is to show and to set once the port is open. */
export interface FilledHint {
  readonly environment: Readonly<Record<string, string>>
  readonly lines: readonly { readonly label: string; readonly text: string }[]
}

/** Fills a hint in, and writes its files. */
export async function fillHint(home: string, hint: ConnectHint, place: OpenPort): Promise<FilledHint> {
  const fill = filler(home, place)
  await writeFiles(home, hint, fill)
  const environment = Object.fromEntries(
    Object.entries(hint.environment)
      .filter(([name]) => allowedVariables.test(name))
      .map(([name, value]) => [name, fill(value)]),
  )
  return { environment, lines: hint.lines.map(line => ({ label: line.label, text: fill(line.text) })) }
}

function filler(home: string, place: OpenPort): (template: string) => string {
  return template =>
    template.replace(
      /\{(host|port|target|user|file:([a-z0-9_.]+))\}/g,
      (_whole, name: string, file: string | undefined) => {
        if (file !== undefined) return join(home, file)
        return place[name as keyof OpenPort]
      },
    )
}

/** Keeps one section per target in files of gate's own; the user's files are left alone. */
async function writeFiles(home: string, hint: ConnectHint, fill: (template: string) => string): Promise<void> {
  await ownDirectory(home)
  for (const file of hint.files) {
    const section = fill(file.section)
    const old = (await readOwnFile(home, file.name)) ?? ''
    const others = old.split(/^(?=\[)/m).filter(part => part !== '' && !part.startsWith(`[${section}]`))
    await writeOwnFile(home, file.name, [...others, fill(file.text)].join(''))
  }
}
