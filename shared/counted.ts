// Numbers with what they count, in the plural where it is one. Pure.

/** `1 row`, `2 rows`; the plural has to be given where it is more than an s. */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`
}
