// Texts that are documents of JSON themselves, one or several. Pure.

/** How each begins. To find out by reading takes a hundred times as long. */
const beginning = /^\s*(?:\{\s*["}]|\[\s*["\][{\dtfn-])/

/** The object or array that a text is; undefined for all others. */
export function documentIn(text: string): object | undefined {
  if (!beginning.test(text)) return undefined
  try {
    return JSON.parse(text) as object
  } catch {
    return undefined
  }
}

/** The documents of a text that has one JSON value in each line, or record of hubs; none of any other. */
export function linesOf(text: string): readonly unknown[] {
  const documents: unknown[] = []
  for (const line of text.split(/[\n\u001e]/)) {
    if (line.trim() === '') continue
    try {
      documents.push(JSON.parse(line))
    } catch {
      return []
    }
  }
  return documents
}
