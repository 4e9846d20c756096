// A screen between a title and a line that says how it is. Each line stands on its own, so that one that is too long hides no other.
import { Box, Text } from 'ink'
import type { ReactNode } from 'react'
import type { Size } from '../frames.ts'

/** Lines that are not the screen's. */
const FRAME_LINES = 3

/** What of the viewer's terminal there is for the screen. */
export function viewOf({ columns, rows }: { readonly columns?: number; readonly rows?: number }): Size {
  return { columns: columns ?? 80, rows: Math.max(3, (rows ?? 24) - FRAME_LINES) }
}

export interface ScreenViewProps {
  readonly title: string
  readonly lines: readonly string[]
  readonly status: string
}

export function ScreenView({ title, lines, status }: ScreenViewProps): ReactNode {
  return (
    <Box flexDirection="column">
      <Text bold wrap="truncate">
        {title}
      </Text>
      <Box flexDirection="column">
        {lines.map((line, row) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: a line is what stands in its row.
          <Text key={row} wrap="truncate">
            {line === '' ? ' ' : line}
          </Text>
        ))}
      </Box>
      <Text dimColor wrap="truncate">
        {status}
      </Text>
    </Box>
  )
}
