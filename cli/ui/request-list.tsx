// The rows of the live list.
import { counted } from '@gate/shared/counted'
import { Box, Text } from 'ink'
import type { ReactNode } from 'react'
import { headline } from '../request-text.ts'
import type { RequestView } from '../request-view.ts'
import { oneLine, span } from '../text.ts'

/** Requests in which every word of the filter occurs: in who asks, where, for what, and in the command. */
export function filtered(requests: readonly RequestView[], filter: string): readonly RequestView[] {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean)
  if (words.length === 0) return requests
  return requests.filter(request => {
    const { id, subject, target, task, rule, action, resources } = request
    const texts = [
      id,
      subject.id,
      subject.email,
      target,
      task,
      rule,
      action,
      headline(request),
      ...resources.map(({ name }) => name),
    ]
    const all = texts.join('\n').toLowerCase()
    return words.every(word => all.includes(word))
  })
}

export interface RequestListProps {
  readonly requests: readonly RequestView[]
  readonly selectedId: string | undefined
  readonly color: boolean
  readonly now: number
  readonly columns: number
  readonly height: number
}

export function RequestList({ requests, selectedId, color, now, columns, height }: RequestListProps): ReactNode {
  const index = Math.max(
    0,
    requests.findIndex(request => request.id === selectedId),
  )
  const first = Math.max(0, Math.min(index - Math.floor(height / 2), requests.length - height))
  return (
    <Box flexDirection="column">
      {requests.slice(first, first + height).map((request, row) => {
        const isSelected = first + row === index
        const left = span(request.expiresMs - now)
        const rows = request.rows === undefined ? '' : `[${counted(request.rows, 'row')} locked] `
        const head = `${isSelected ? '›' : ' '} ${request.id} ${left.padStart(4)} ${oneLine(request.subject.email ?? request.subject.id, 24)} ${request.target} ${rows}`
        return (
          <Text key={request.id} inverse={isSelected && color} wrap="truncate">
            {head + oneLine(headline(request), Math.max(10, columns - head.length))}
          </Text>
        )
      })}
    </Box>
  )
}
