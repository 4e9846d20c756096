// What is written down of a command: its text and parameters without what is masked for anybody on the target. Pure.
import type { MaskObligation, Parameter } from '@gate/shared/model'
import { replaceFindings } from '../../mask/detectors.ts'
import { placeholderOf, recordedPlaceholder } from '../../mask/placeholder.ts'
import { findRecorded, hideFound } from '../../mask/recorded.ts'
import type { Recorded, RecordedParameter } from '../protocol.ts'
import type { StatementFacts } from './analysis/facts.ts'
import type { Meeting } from './analysis/meeting.ts'
import type { RelationName } from './analysis/objects.ts'
import { hiddenConstant } from './analysis/pieces.ts'
import { hideConstants, type Recordable } from './analysis/recordable.ts'
import { binaryText } from './binary-values.ts'
import type { Catalog } from './catalog.ts'
import type { Column } from './lineage/scope.ts'
import { type MaskedColumns, resolveMasks } from './masked-columns.ts'
import { systemMasks } from './masking-rules.ts'
import type { BoundValue } from './questions.ts'

/** Of a value no more is recorded; detectors look a little further, so that nothing is cut in two. */
const RECORDED_VALUE_BYTES = 1024
const SEARCHED_VALUE_BYTES = 2048
const TEXT_FORMAT = 0

/** A statement, as far as it matters here. */
export interface Recordables {
  readonly facts: StatementFacts
  readonly effective: StatementFacts
  readonly text: string
  /** A name that gate did not see being defined. */
  readonly unknown: unknown
}

export interface Values {
  readonly parameters: readonly BoundValue[]
  readonly types: readonly number[]
  readonly uninspectedBytes: number
}

/** What a statement reaches, and which of its columns are clear. */
interface Reach {
  /** Something masked can be read or written. */
  readonly masked: boolean
  isClear(meeting: Meeting): boolean
  /** The type of a column that a parameter meets; 0 when it is not known. */
  typeOf(meeting: Meeting): number
}

const nothingMasked: Reach = { masked: false, isClear: () => true, typeOf: () => 0 }
/** Something masked can be anywhere. */
const anythingMasked: Reach = { masked: true, isClear: meeting => meeting === 'nothing', typeOf: () => 0 }

/** What pg_attribute has of old rows is met by no constant, and everybody who looks at tables reads it. */
const statisticsMasks = systemMasks.filter(({ predicates }) => predicates !== 'deny')

/** Masks of one policy in one catalog, for all sessions. */
const resolved = new WeakMap<Catalog, WeakMap<readonly MaskObligation[], MaskedColumns>>()

function columnsOf(masks: readonly MaskObligation[], catalog: Catalog): MaskedColumns {
  const byMasks = resolved.get(catalog) ?? new WeakMap<readonly MaskObligation[], MaskedColumns>()
  resolved.set(catalog, byMasks)
  const columns = byMasks.get(masks) ?? resolveMasks(masks, catalog, statisticsMasks)
  byMasks.set(masks, columns)
  return columns
}

interface Known {
  readonly reach: Reach
  readonly text: string
}

export class Recording {
  readonly #masks: () => readonly MaskObligation[]
  readonly #key: Uint8Array
  /** Of statements that were recorded before; by masked columns, since these keep their catalog alive. */
  readonly #known = new WeakMap<MaskedColumns, WeakMap<StatementFacts, Known>>()
  readonly #knownUnmasked = new WeakMap<StatementFacts, Known>()

  /** `masks` are those that name columns and bind anybody on the target; the same list while policy is the same. */
  constructor(masks: () => readonly MaskObligation[], key: Uint8Array) {
    this.#masks = masks
    this.#key = key
  }

  of(statement: Recordables, values: Values, shown: readonly Parameter[], catalog: Catalog): Recorded {
    const masks = this.#masks()
    const columns = masks.length === 0 ? undefined : columnsOf(masks, catalog)
    const { facts, effective, text } = statement
    const { recordable } = facts
    const known = facts === effective ? this.#remembered(statement, columns) : this.#make(statement, columns)
    const redacted = known.text !== text
    return {
      text: known.text,
      isCut: redacted && recordable.isCut,
      parameters: this.#parameters(known.reach, effective.recordable, values, shown),
      parameterCount: values.parameters.length,
    }
  }

  /** What was not read: `hidden` is its text without constants, undefined when there is none that can be told from them. */
  unread(hidden: string | undefined, wholeBytes?: number): Recorded {
    const isCut = hidden === undefined || wholeBytes !== undefined
    return {
      text: hidden ?? '',
      isCut,
      parameters: [],
      parameterCount: 0,
      ...(wholeBytes === undefined ? {} : { wholeBytes }),
    }
  }

  /** What was not analysed; of `wholeBytes` when these are only their beginning. */
  unanalysed(text: Buffer, wholeBytes?: number): Recorded {
    return this.unread(hideConstants(text, this.#key, wholeBytes !== undefined), wholeBytes)
  }

  #remembered(statement: Recordables, columns: MaskedColumns | undefined): Known {
    const known = columns === undefined ? this.#knownUnmasked : this.#knownOf(columns)
    const found = known.get(statement.facts)
    if (found !== undefined) return found
    const made = this.#make(statement, columns)
    known.set(statement.facts, made)
    return made
  }

  #knownOf(columns: MaskedColumns): WeakMap<StatementFacts, Known> {
    const known = this.#known.get(columns) ?? new WeakMap<StatementFacts, Known>()
    this.#known.set(columns, known)
    return known
  }

  #make(statement: Recordables, columns: MaskedColumns | undefined): Known {
    const { facts, effective, text, unknown } = statement
    const reach =
      columns === undefined
        ? nothingMasked
        : unknown !== undefined || reachesAnything(effective, columns.catalog)
          ? anythingMasked
          : reachOf(facts, effective, columns)
    const { recordable } = facts
    // gate wrote the text itself: it holds a name and nothing else.
    if (recordable.pieces.length === 0) return { reach, text: hideFound(text, this.#key) }
    return { reach, text: reach.masked ? compose(recordable, reach, this.#key) : (recordable.clear ?? text) }
  }

  #parameters(reach: Reach, { parameters: meetings }: Recordable, values: Values, shown: readonly Parameter[]) {
    if (values.uninspectedBytes > 0) return shown
    return shown.map((parameter, index): RecordedParameter => {
      const { format, value } = values.parameters[index] ?? { format: TEXT_FORMAT, value: null }
      if (value === null) return parameter
      const met = meetings[index] ?? []
      const type = values.types[index] || met.map(meeting => reach.typeOf(meeting)).find(oid => oid !== 0) || 0
      const isClear = !reach.masked || (met.length > 0 && met.every(meeting => reach.isClear(meeting)))
      if (isClear) return this.#searched(parameter, value, format, type)
      return this.#hidden(parameter, value, format === TEXT_FORMAT ? value.toString('utf8') : binaryText(value, type))
    })
  }

  #hidden({ format }: Parameter, value: Buffer, text: string | undefined): RecordedParameter {
    const placeholder = text === undefined ? placeholderOf(this.#key, value) : recordedPlaceholder(this.#key, text)
    return { text: placeholder, format }
  }

  /** A clear value, with what detectors find in it replaced. */
  #searched(parameter: Parameter, value: Buffer, format: number, type: number): RecordedParameter {
    const text = format === TEXT_FORMAT ? undefined : binaryText(value, type)
    const searched = (text === undefined ? value : Buffer.from(text, 'utf8')).subarray(0, SEARCHED_VALUE_BYTES)
    const found = search(searched)
    if (found === undefined && text === undefined) return parameter
    if (found === undefined) return { ...parameter, text: searched.toString('utf8', 0, RECORDED_VALUE_BYTES) }
    if (format !== TEXT_FORMAT && text === undefined) return this.#hidden(parameter, value, undefined)
    const replaced = replaceFindings(searched, found, each => placeholderOf(this.#key, each))
    return { text: replaced.toString('utf8', 0, RECORDED_VALUE_BYTES), bytes: value.length, format: parameter.format }
  }
}

/** Findings that begin in what is recorded; the rest is cut off. */
function search(value: Buffer): ReturnType<typeof findRecorded> {
  const found = findRecorded(value)?.filter(({ start }) => start < RECORDED_VALUE_BYTES)
  return found === undefined || found.length === 0 ? undefined : found
}

function compose({ pieces }: Recordable, reach: Reach, key: Uint8Array): string {
  return pieces
    .map(piece => {
      if (typeof piece === 'string') return piece
      return 'clear' in piece && reach.isClear(piece.meeting) ? piece.clear : hiddenConstant(key, piece.value)
    })
    .join('')
}

/** Commands that run, define or carry what gate does not look into. */
const opaqueStatements: ReadonlySet<string> = new Set([
  ...['DoStmt', 'CallStmt', 'FunctionCall', 'CreateFunctionStmt', 'AlterFunctionStmt', 'CreateTrigStmt', 'RuleStmt'],
  ...['AlterRoleSetStmt', 'AlterDatabaseSetStmt', 'AlterSystemStmt', 'NotifyStmt', 'CommentStmt', 'SecLabelStmt'],
  ...['CreateDomainStmt', 'AlterDomainStmt', 'CreateCastStmt', 'DefineStmt', 'CreatePolicyStmt', 'AlterPolicyStmt'],
  ...['CreateForeignTableStmt', 'ImportForeignSchemaStmt', 'LoadStmt', 'CreateTransformStmt', 'CreateEnumStmt'],
])

/** Whether the statement can reach any table, by what it calls. */
function reachesAnything(facts: StatementFacts, catalog: Catalog): boolean {
  if (opaqueStatements.has(facts.node)) return true
  // A setting of somebody's own is read again by current_setting(), whatever with.
  if (facts.settings.some(name => name === undefined || name.includes('.'))) return true
  return (
    facts.functions.some(name => !catalog.functions.showsOnlyItsArguments(name)) ||
    facts.operators.some(name => !catalog.isBuiltInOperator(name)) ||
    facts.fields.some(name => catalog.functions.isCalledOfRows(name)) ||
    facts.types.some(type => catalog.isCastByFunction(type))
  )
}

function reachOf(facts: StatementFacts, effective: StatementFacts, columns: MaskedColumns): Reach {
  // `NULL::customers`: a row of the table, with its columns; and what is made of such.
  const rows = effective.types
    .flatMap(type => columns.catalog.typesOfRows.namesIn(type))
    .filter(name => columns.catalog.resolve(undefined, name).length > 0)
    .map(name => ({ schema: undefined, name }))
  const names = [...effective.parts.flatMap(part => [...part.reads, ...part.written]), ...rows]
  const sources = names.map(({ schema, name }) => columns.source(schema, name))
  const known = sources.flatMap(source => (source === undefined || source.others !== undefined ? [] : [source]))
  if (known.length < sources.length) return anythingMasked
  const all = known.flatMap(source => source.columns)
  const masked = all.some(column => column.flows.size > 0)
  // Constants of EXECUTE meet what its statement says, which is another text.
  if (masked && facts.recordable !== effective.recordable) return anythingMasked
  return new NamedReach(masked, facts.recordable, all, (relation, place) => columnAt(columns, relation, place))
}

function columnAt(columns: MaskedColumns, { schema, name }: RelationName, place: number): Column | undefined {
  return columns.source(schema, name)?.star?.[place]
}

/** Columns are told by their names alone: one that is masked in any table of the statement makes its name masked. */
class NamedReach implements Reach {
  readonly masked: boolean
  readonly #clear: ReadonlySet<string>
  readonly #types = new Map<string, number>()
  readonly #columnAt: (relation: RelationName, place: number) => Column | undefined

  constructor(
    isMasked: boolean,
    { introduced, together }: Recordable,
    columns: readonly Column[],
    at: (relation: RelationName, place: number) => Column | undefined,
  ) {
    this.masked = isMasked
    this.#columnAt = at
    const masked = new Set(columns.flatMap(({ name, flows }) => (flows.size > 0 ? [name ?? ''] : [])))
    spread(masked, together)
    const certain = columns.every(({ name }) => name !== undefined)
    const clear = columns.flatMap(({ name }) =>
      name === undefined || masked.has(name) || introduced.has(name) ? [] : [name],
    )
    this.#clear = new Set(certain ? clear : [])
    for (const { name, type } of columns) if (name !== undefined && type !== undefined) this.#types.set(name, type)
  }

  #name(meeting: Exclude<Meeting, 'nothing'>): string | undefined {
    return 'column' in meeting ? meeting.column : this.#columnAt(meeting.relation, meeting.place)?.name
  }

  isClear(meeting: Meeting): boolean {
    if (meeting === 'nothing') return true
    const name = this.#name(meeting)
    return name !== undefined && this.#clear.has(name)
  }

  typeOf(meeting: Meeting): number {
    const name = meeting === 'nothing' ? undefined : this.#name(meeting)
    return name === undefined ? 0 : (this.#types.get(name) ?? 0)
  }
}

/** What is compared with a masked column, and what with that, is masked too. */
function spread(masked: Set<string>, together: readonly (readonly string[])[]): void {
  for (let before = -1; before !== masked.size; ) {
    before = masked.size
    for (const group of together) if (group.some(name => masked.has(name))) for (const name of group) masked.add(name)
  }
}
