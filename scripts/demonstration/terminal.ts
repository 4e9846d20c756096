// What the demo says, in colour only where somebody looks at it.
export interface Style {
  bold(text: string): string
  dim(text: string): string
  good(text: string): string
  bad(text: string): string
}

const paint =
  (code: number) =>
  (text: string): string =>
    `\u001b[${code}m${text}\u001b[0m`
const plain = (text: string): string => text

/** @see https://no-color.org: any value that is not empty. */
function hasColor(): boolean {
  return process.stdout.isTTY === true && (process.env['NO_COLOR'] ?? '') === '' && process.env['TERM'] !== 'dumb'
}

export const style: Style = hasColor()
  ? { bold: paint(1), dim: paint(2), good: paint(32), bad: paint(31) }
  : { bold: plain, dim: plain, good: plain, bad: plain }

export function say(text = ''): void {
  process.stdout.write(`${text}\n`)
}
