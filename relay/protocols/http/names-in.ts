// Names of fields that a text may hold. Pure.

/** Without escapes, and with one blank where several signs are that nobody sees. */
export const plainValue = (value: string): string =>
  value.replaceAll('\\', '').replaceAll(/[\s\p{Z}\p{Cc}\p{Cf}\p{DI}]+/gu, ' ')

/** Words, what dashes join, and words with blanks between, as columns are called. */
export function namesIn(value: string): string[] {
  const words = value.match(/[\p{L}\p{N}\p{M}_.-]+/gu) ?? []
  const phrases = value.split(/[,()[\]{}"'`:;|!]|->>?|\s(?:as|with)\s/iu).map(each => each.trim())
  return [...words, ...words.flatMap(each => (each.includes('-') ? each.split('-') : [])), ...phrases]
}
