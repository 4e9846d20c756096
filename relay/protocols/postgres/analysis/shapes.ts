// Statements that differ in nothing but whole numbers that a WHERE clause compares columns with: read once, not once for each number. Pure.
//
// What is left out is the parser, so this takes only what surely parses to the same tree. The text holds no quote, comment,
// parameter or operator in which a number could be a part of something else; each number stands between delimiters, and has so
// few digits that the grammar takes it for an integer. The tree of the first text says where its numbers are: every one of
// them beside a column in a comparison of the outermost WHERE. Whatever is known of a statement (that its WHERE chooses rows,
// what it reads, what masks do to it) asks there whether something is a constant and the same as another, and never which.
import { findRecorded } from '../../../mask/recorded.ts'
import type { StatementFacts } from './facts.ts'
import type { Piece } from './pieces.ts'
import type { Analysis } from './read.ts'
import { as, isObject, type Json, type JsonObject, list, node, object, strings, walk } from './tree.ts'

/** Forms that are known; beyond them all are forgotten. */
const MAX_SHAPES = 1_000
const MAX_NUMBERS = 20

const harmless = /^[A-Za-z0-9_ \t\r\n.,;()=<>*+]*$/
/** Ten digits can be more than an integer holds. */
const numbers = /(?<=[ \t\r\n(,=<>])[0-9]{1,9}(?=[ \t\r\n),;]|$)/g
const comparisons: ReadonlySet<string> = new Set(['=', '<>', '<', '>', '<=', '>='])
const statements: ReadonlySet<string> = new Set(['SelectStmt', 'UpdateStmt', 'DeleteStmt'])

interface Shape {
  readonly facts: StatementFacts
  /** Characters of the text behind the statement. */
  readonly behind: number
}

interface Numbered {
  /** The text with a mark, which it cannot hold otherwise, in the place of each number, and which of them are the same. */
  readonly shape: string
  readonly values: readonly string[]
  readonly places: readonly number[]
}

function numberedOf(text: string): Numbered | undefined {
  if (!harmless.test(text)) return undefined
  const values: string[] = []
  const places: number[] = []
  const shape = text.replace(numbers, (value, place: number) => {
    values.push(value)
    places.push(place)
    return '?'
  })
  if (values.length === 0 || values.length > MAX_NUMBERS) return undefined
  // `x = 1 OR x <> 1` leaves nothing out, and `x = 1 OR x <> 2` does.
  const equal = values.map(value => values.findIndex(other => Number(other) === Number(value)))
  return { shape: `${shape}${equal.join()}`, values, places }
}

export class Shapes {
  /** Undefined: a text of this form has to be read. */
  readonly #known = new Map<string, Shape | undefined>()

  /** What readText would say of the text; undefined when it has to be asked. */
  find(text: string): Analysis | undefined {
    const numbered = numberedOf(text)
    const known = numbered === undefined ? undefined : this.#known.get(numbered.shape)
    if (numbered === undefined || known === undefined) return undefined
    // Numbers can look like a card's or a telephone's.
    if (findRecorded(Buffer.from(text, 'latin1')) !== undefined) return undefined
    const { facts, behind } = known
    return {
      statements: [
        {
          ...facts,
          length: text.length - behind,
          recordable: { ...facts.recordable, pieces: this.#pieces(facts, numbered.values) },
        },
      ],
    }
  }

  #pieces({ recordable }: StatementFacts, values: readonly string[]): Piece[] {
    let next = 0
    return recordable.pieces.map(piece => {
      if (typeof piece === 'string' || !('meeting' in piece)) return piece
      const clear = values[next] ?? ''
      next += 1
      return { clear, value: clear, meeting: piece.meeting }
    })
  }

  /** Remembers the form of a text that was read, if others of it need not be; `tree` is what the parser said. */
  learn(text: string, tree: Json, analysis: Analysis): void {
    const numbered = numberedOf(text)
    if (numbered === undefined || this.#known.has(numbered.shape)) return
    if (this.#known.size >= MAX_SHAPES) this.#known.clear()
    this.#known.set(numbered.shape, shapeOf(text, tree, analysis, numbered))
  }
}

function shapeOf(text: string, tree: Json, analysis: Analysis, { values, places }: Numbered): Shape | undefined {
  if ('syntaxError' in analysis) return undefined
  const [facts, second] = analysis.statements
  const [parsed] = list(object(tree)['stmts'])
  if (facts === undefined || second !== undefined || facts.start !== 0) return undefined
  const [name, statement] = node(object(parsed)['stmt'])
  if (!statements.has(name)) return undefined
  const compared = new Set(comparedNumbers(statement['whereClause']))
  if (compared.size !== places.length || !places.every(place => compared.has(place))) return undefined
  if (countConstants(tree) !== places.length) return undefined
  // What is recorded has each number in a place of its own, and nothing else that was replaced.
  const { clear, isCut, pieces } = facts.recordable
  const choices = pieces.filter(piece => typeof piece !== 'string')
  if (clear !== undefined || isCut || choices.length !== values.length) return undefined
  if (!choices.every((choice, index) => 'clear' in choice && choice.clear === values[index])) return undefined
  return { facts, behind: text.length - facts.length }
}

/** Where the numbers stand that AND, OR and NOT lead to, each compared with a plain column. */
function comparedNumbers(where: Json | undefined): number[] {
  const [name, content] = node(where)
  if (name === 'BoolExpr') return list(content['args']).flatMap(comparedNumbers)
  if (name !== 'A_Expr' || content['kind'] !== 'AEXPR_OP') return []
  const [operator, schema] = strings(content['name']).toReversed()
  if (operator === undefined || schema !== undefined || !comparisons.has(operator)) return []
  const { lexpr, rexpr } = content
  if (as(lexpr, 'ColumnRef') !== undefined) return placeOf(as(rexpr, 'A_Const'))
  return as(rexpr, 'ColumnRef') === undefined ? [] : placeOf(as(lexpr, 'A_Const'))
}

function placeOf(constant: JsonObject | undefined): number[] {
  return constant !== undefined && isObject(constant['ival']) ? [Number(constant['location'] ?? 0)] : []
}

function countConstants(tree: Json): number {
  let count = 0
  walk(tree, name => {
    if (name === 'A_Const') count += 1
    return false
  })
  return count
}
