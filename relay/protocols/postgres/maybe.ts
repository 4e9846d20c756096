// A value that may have to be waited for: most commands need not wait, and then nothing costs a promise. Pure.

export type Maybe<T> = T | Promise<T>

/** Goes on with a value: at once where it is there. */
export function then<T, U>(value: Maybe<T>, next: (value: T) => Maybe<U>): Maybe<U> {
  return value instanceof Promise ? value.then(next) : next(value)
}
