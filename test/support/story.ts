// The commands that a document tells as a story, and who types them.

export interface Told {
  /** What stands behind `sh`: whoever types it. */
  readonly person: string
  readonly line: string
}

/** Every line of the document's blocks of commands, in order. */
export function told(markdown: string): Told[] {
  return [...markdown.matchAll(/^```sh (\w+)\n([\s\S]*?)^```$/gm)].flatMap(([, person = '', text = '']) =>
    text
      .trimEnd()
      .split('\n')
      .map(line => ({ person, line })),
  )
}

/** The words of a command line; quotes are those that the documents use. */
export function words(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(
    ([, single, double, plain]) => single ?? double ?? plain ?? '',
  )
}
