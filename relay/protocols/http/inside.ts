// What stands in a document of JSON, without the lists that Object.entries makes: a body may have tens of thousands of members. Pure.

/** Whether it has members, and not elements. */
export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Whether an object has such a member. */
export function someMember(object: object, isOne: (name: string, value: unknown) => boolean): boolean {
  for (const name in object) if (isOne(name, object[name as keyof typeof object])) return true
  return false
}

/** Whether such a value stands in an object or a list. */
export function someInside(value: object, isOne: (each: unknown) => boolean): boolean {
  return Array.isArray(value) ? value.some(each => isOne(each)) : someMember(value, (_name, each) => isOne(each))
}

/** Takes every value that stands in an object or a list. */
export function eachInside(value: object, take: (each: unknown) => void): void {
  if (Array.isArray(value)) for (const each of value) take(each)
  else for (const name in value) take(value[name as keyof typeof value])
}
