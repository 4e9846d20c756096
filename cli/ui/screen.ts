// A terminal that nobody sees: what stands on it after something was written to it. Nothing in it acts. The only file that knows xterm.
import xterm from '@xterm/headless'
import type { Frame, Size } from '../frames.ts'
import { printable } from '../text.ts'

/** Characters that xterm may have before it. */
const MAX_UNSETTLED = 64 * 1024

type Line = NonNullable<ReturnType<InstanceType<typeof xterm.Terminal>['buffer']['active']['getLine']>>
type Cell = NonNullable<ReturnType<Line['getCell']>>

export class Screen {
  readonly #terminal: InstanceType<typeof xterm.Terminal>
  readonly #colour: boolean
  /** Frames that were written. */
  #shown = 0
  /** Characters that were added and may not stand there yet. */
  #unsettled = 0

  constructor({ columns, rows }: Size, colour: boolean) {
    this.#terminal = new xterm.Terminal({ cols: columns, rows, scrollback: 0, allowProposedApi: true, logLevel: 'off' })
    this.#colour = colour
  }

  /** Resolves when so many of the frames stand there. Always the same frames, and one call at a time. */
  async show(frames: readonly Frame[], count: number): Promise<void> {
    if (count < this.#shown) {
      this.#terminal.reset()
      this.#shown = 0
    }
    let text = ''
    for (const frame of frames.slice(this.#shown, count)) {
      if (frame.size !== undefined) {
        await this.#write(text)
        text = ''
        this.#terminal.resize(frame.size.columns, frame.size.rows)
      }
      text += frame.text
    }
    await this.#write(text)
    this.#shown = count
  }

  /** Writes one more frame; of many, most need not be waited for. */
  async add({ text, size }: Frame): Promise<void> {
    if (size !== undefined) {
      await this.settle()
      this.#terminal.resize(size.columns, size.rows)
    }
    this.#terminal.write(text)
    this.#unsettled += text.length
    if (this.#unsettled > MAX_UNSETTLED) await this.settle()
  }

  /** Resolves when everything that was added stands there. */
  async settle(): Promise<void> {
    this.#unsettled = 0
    await new Promise<void>(resolve => this.#terminal.write('', resolve))
  }

  #write(text: string): Promise<void> {
    return text === '' ? Promise.resolve() : new Promise(resolve => this.#terminal.write(text, resolve))
  }

  /** The lines, without the empty ones at the end. */
  lines(): string[] {
    const { active } = this.#terminal.buffer
    const lines = Array.from({ length: this.#terminal.rows }, (_, row) => active.getLine(active.viewportY + row))
    const said = lines.map(line => (line === undefined ? '' : this.#textOf(line)))
    return said.slice(0, said.findLastIndex(line => line !== '') + 1)
  }

  #textOf(line: Line): string {
    if (!this.#colour) return printable(line.translateToString(true))
    const width = line.translateToString(true).length
    let text = ''
    let style = ''
    for (let column = 0; column < line.length && (column < width || style !== ''); column += 1) {
      const cell = line.getCell(column)
      if (cell === undefined || cell.getWidth() === 0) continue
      const next = column < width ? styleOf(cell) : ''
      if (next !== style) text += next === '' ? '\u001b[0m' : `\u001b[0m\u001b[${next}m`
      style = next
      if (column < width) text += printable(cell.getChars() || ' ')
    }
    return style === '' ? text : `${text}\u001b[0m`
  }
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
