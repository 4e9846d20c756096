// Texts that are documents of JSON themselves. Pure.

/** The object or array that a text is; undefined for all others. */
export function documentIn(text: string): object | undefined {
  if (!/^\s*[[{]/.test(text)) return undefined
  try {
    return JSON.parse(text) as object
  } catch {
    return undefined
  }
}
