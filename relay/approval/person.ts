// Who counts as one person. Pure.

/** Two accounts with one verified e-mail address are one person. */
export function isSamePerson(
  a: { readonly id: string; readonly email: string | undefined },
  b: { readonly id: string; readonly email: string | undefined },
): boolean {
  return a.id === b.id || (a.email !== undefined && a.email.toLowerCase() === b.email?.toLowerCase())
}
