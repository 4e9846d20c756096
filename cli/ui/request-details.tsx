// One request whole, line by line: nothing of it is left out, whatever the terminal's size.
import { Box, Text } from 'ink'
import type { ReactNode } from 'react'
import { boundValue, earlier, factsOf } from '../request-text.ts'
import type { RequestDetail } from '../request-view.ts'
import { printable, wrapped } from '../text.ts'

/** Everything about the request in lines of at most so many columns. */
export function detailLines(request: RequestDetail, columns: number): string[] {
  const facts = factsOf(request).map(([label, value]) => `${label.padEnd(8)} ${value}`)
  const statement = request.kind === 'grant' ? [] : printable(request.text).split('\n')
  const values = request.parameters.map(boundValue)
  const before = request.history.length === 0 ? [] : ['', 'before in this session:', ...earlier(request)]
  const indented = [...statement, ...values].flatMap(line => wrapped(line, columns - 2).map(part => `│ ${part}`))
  return [
    ...facts.flatMap(line => wrapped(line, columns)),
    ...indented,
    ...before.flatMap(line => wrapped(line, columns)),
  ]
}

export interface DetailsProps {
  /** Undefined while it is on its way. */
  readonly request: RequestDetail | undefined
  readonly scroll: number
  readonly columns: number
  readonly height: number
}

export function Details({ request, scroll, columns, height }: DetailsProps): ReactNode {
  if (request === undefined) return <Text dimColor>asking the relay…</Text>
  const lines = detailLines(request, columns)
  const hidden = lines.length - scroll - height
  return (
    <Box flexDirection="column">
      {lines.slice(scroll, scroll + (hidden > 0 ? height - 1 : height)).map((line, number) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the lines of one request never change places.
        <Text key={number} wrap="truncate">
          {line === '' ? ' ' : line}
        </Text>
      ))}
      {hidden > 0 ? <Text bold>{`… ${hidden + 1} more lines: ↓ or space`}</Text> : null}
    </Box>
  )
}
