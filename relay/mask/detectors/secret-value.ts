// Whether a text beside a tell-tale name is a secret, or a word, a placeholder, or code. Pure.

const SHORTEST = 8
const FEWEST_DIFFERENT = 5
/** Digits alone are numbers, unless there are too many of them. */
const DIGITS_ALONE = 16
/** Letters of one case alone are words, unless they are as long as the digest of something. */
const LETTERS_ALONE = 32
/** What must not be readable as words, in one piece. */
const UNREADABLE = 6

/** Stands for a value that is somewhere else: `${NAME}`, `{{ name }}`, `<name>`, `%(name)s`, `process.env.NAME`, `f(x)`. */
const elsewhere =
  /^(?:\$[{(A-Z_]|\{\{|<|%[({]|\[|=|process\.|os\.|env[.[:]|ENV[.[:]|vault:|ref[+:]|file:|arn:|secretRef)|[({]|\*\*\*|xxxx|XXXX|\.\.\./
const location = /:\/\/|^(?:\/|\.\/|~\/)[\w.-]+\/|^[A-Za-z]:\\/

/** A piece of a name: a word, a word with a capital, an abbreviation, a short number, a version. */
const readable = /^(?:[a-z]+|[A-Z]+|[A-Z][a-z]+|v?\d{1,4})$/

/** Words joined as names in programs are: with capitals every few letters. Random letters change case more often. */
function isCamelCase(text: string): boolean {
  const rises = [...text].filter(
    (letter, at) => at > 0 && /[A-Z]/.test(letter) && /[a-z]/.test(text[at - 1] ?? ''),
  ).length
  return rises * 6 <= text.length
}

/** The letters and digits in the pieces that are no words. */
function unreadable(text: string): number {
  return text
    .split(/[-_./: ]/)
    .filter(piece => !readable.test(piece))
    .reduce((sum, piece) => sum + piece.length, 0)
}

/** @param text the beginning of the value, at most some hundred characters */
export function looksSecret(text: string): boolean {
  if (text.length < SHORTEST || new Set(text).size < FEWEST_DIFFERENT) return false
  if (elsewhere.test(text) || location.test(text)) return false
  if (/^\d+$/.test(text)) return text.length >= DIGITS_ALONE
  if (/^[A-Za-z]+$/.test(text)) {
    const oneCase = /^[A-Z]?[a-z]*$|^[A-Z]*$/.test(text)
    return oneCase ? text.length >= LETTERS_ALONE : !isCamelCase(text)
  }
  // Of several words a sentence is made; a pass phrase cannot be told from one.
  if (/ .* /.test(text) && !/[^ ]{12}/.test(text)) return false
  return unreadable(text) >= UNREADABLE
}
