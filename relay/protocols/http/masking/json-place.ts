// Where a reader of JSON is: what comes next, and what is around. Pure.
import type { PathState } from './paths.ts'

/** Objects and arrays within each other. */
export const MAX_DEPTH = 512
/** A name, quotes and escapes included; longer ones could not be compared while they stream by. */
export const MAX_NAME_BYTES = 65_536

export const COMMA = 0x2c
export const MINUS = 0x2d
export const ZERO = 0x30
export const NINE = 0x39
export const COLON = 0x3a
export const OPEN_ARRAY = 0x5b
export const CLOSE_ARRAY = 0x5d
export const LETTER_N = 0x6e
export const OPEN_OBJECT = 0x7b
export const CLOSE_OBJECT = 0x7d

// What comes next. Up to AT_STRING one is inside a token.
export const IN_STRING = 0
export const IN_NAME = 1
export const IN_NUMBER = 2
export const IN_WORD = 3
export const AT_STRING = 4
export const START_OF_BODY = 5
export const VALUE = 6
export const FIRST_ELEMENT = 7
export const FIRST_NAME = 8
export const NAME = 9
export const COLON_NEXT = 10
export const AFTER_VALUE = 11
export const BETWEEN = 12

export interface JsonPlace {
  next: number
  depth: number
  /** Of the containers around: whether each is an array, and its path; the last is the one we are in. */
  readonly isArray: boolean[]
  readonly states: PathState[]
  /** The path of the value that comes next. */
  state: PathState
}
