// A terminal that nobody sees: what stands on it after something was written to it. Nothing in it acts. The only file that knows xterm.
import xterm from '@xterm/headless'
import type { Frame, Size } from '../frames.ts'
import { DrawingOnly } from '../terminal-text.ts'
import { printable } from '../text.ts'

/** Characters that xterm may have before it. */
const MAX_UNSETTLED = 64 * 1024
/** Of a screen; the relay records no larger ones. */
const MAX_SIDE = 1_000

type Terminal = InstanceType<typeof xterm.Terminal>
type Line = NonNullable<ReturnType<Terminal['buffer']['active']['getLine']>>
type Cell = NonNullable<ReturnType<Line['getCell']>>

const bounded = ({ columns, rows }: Size): { cols: number; rows: number } => ({
  cols: Math.min(MAX_SIDE, Math.max(1, columns)),
  rows: Math.min(MAX_SIDE, Math.max(1, rows)),
})

export class Screen {
  readonly #size: Size
  readonly #colour: boolean
  #terminal: Terminal
  /** What only asks or acts is no business of xterm's either. */
  #drawing = new DrawingOnly()
  /** Frames that were written. */
  #shown = 0
  /** Characters that were added and may not stand there yet. */
  #unsettled = 0

  constructor(size: Size, colour: boolean) {
    this.#size = size
    this.#colour = colour
    this.#terminal = this.#fresh()
  }

  #fresh(): Terminal {
    return new xterm.Terminal({ ...bounded(this.#size), scrollback: 0, allowProposedApi: true, logLevel: 'off' })
  }

  /** Resolves when so many of the frames stand there. Always the same frames, and one call at a time. */
  async show(frames: readonly Frame[], count: number): Promise<void> {
    if (count < this.#shown) {
      // What had begun, a sequence as well, must not go on.
      this.#terminal.dispose()
      this.#terminal = this.#fresh()
      this.#drawing = new DrawingOnly()
      this.#shown = 0
    }
    for (const frame of frames.slice(this.#shown, count)) await this.add(frame)
    await this.settle()
    this.#shown = count
  }

  /** Writes one more frame; of many, most need not be waited for. */
  async add({ text, size }: Frame): Promise<void> {
    if (size !== undefined) {
      await this.settle()
      const { cols, rows } = bounded(size)
      this.#terminal.resize(cols, rows)
    }
    const drawn = this.#drawing.take(text)
    this.#terminal.write(drawn)
    this.#unsettled += drawn.length
    if (this.#unsettled > MAX_UNSETTLED) await this.settle()
  }

  /** Resolves when everything that was added stands there. */
  async settle(): Promise<void> {
    this.#unsettled = 0
    await new Promise<void>(resolve => this.#terminal.write('', resolve))
  }

  /** What of the last lines that are not empty has room in such a view. */
  lines(view: Size): string[] {
    const { active } = this.#terminal.buffer
    let last = this.#terminal.rows - 1
    while (last >= 0 && (active.getLine(active.viewportY + last)?.translateToString(true) ?? '') === '') last -= 1
    const first = Math.max(0, last + 1 - view.rows)
    return Array.from({ length: last + 1 - first }, (_, row) => {
      const line = active.getLine(active.viewportY + first + row)
      return line === undefined ? '' : this.#textOf(line, view.columns)
    })
  }

  #textOf(line: Line, columns: number): string {
    let text = ''
    let style = ''
    const end = Math.min(columns, widthOf(line))
    for (let column = 0; column < end; column += 1) {
      const cell = line.getCell(column)
      if (cell === undefined || cell.getWidth() === 0) continue
      if (column + cell.getWidth() > columns) break
      const next = this.#colour ? styleOf(cell) : ''
      if (next !== style) text += next === '' ? '\u001b[0m' : `\u001b[0m\u001b[${next}m`
      style = next
      text += printable(cell.getChars() || ' ')
    }
    return style === '' ? text : `${text}\u001b[0m`
  }
}

/** Columns up to the last that has a character. */
function widthOf(line: Line): number {
  let width = line.length
  while (width > 0 && (line.getCell(width - 1)?.getChars() ?? '').trim() === '') width -= 1
  // The second half of a wide character is a cell without one.
  return line.getCell(width - 1)?.getWidth() === 2 ? width + 1 : width
}

/** The parameters of Select Graphic Rendition (ECMA-48, 8.3.117) that make a cell look as it does. */
function styleOf(cell: Cell): string {
  const flags = [
    cell.isBold() && 1,
    cell.isDim() && 2,
    cell.isItalic() && 3,
    cell.isUnderline() && 4,
    cell.isInverse() && 7,
    cell.isStrikethrough() && 9,
  ].filter(Boolean)
  const colour = (base: number, isRgb: boolean, isPalette: boolean, value: number): string[] => {
    if (isRgb) return [`${base + 8};2;${(value >> 16) & 255};${(value >> 8) & 255};${value & 255}`]
    return isPalette ? [`${base + 8};5;${value}`] : []
  }
  return [
    ...flags,
    ...colour(30, cell.isFgRGB(), cell.isFgPalette(), cell.getFgColor()),
    ...colour(40, cell.isBgRGB(), cell.isBgPalette(), cell.getBgColor()),
  ].join(';')
}
