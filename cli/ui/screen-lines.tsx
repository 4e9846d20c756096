// Lines of a screen, each on its own, so that one that is too long hides no other.
import { Box, Text } from 'ink'
import type { ReactNode } from 'react'

export function ScreenLines({ lines }: { readonly lines: readonly string[] }): ReactNode {
  return (
    <Box flexDirection="column">
      {lines.map((line, row) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: a line is what stands in its row.
        <Text key={row} wrap="truncate">
          {line === '' ? ' ' : line}
        </Text>
      ))}
    </Box>
  )
}
