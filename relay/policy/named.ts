// Routes and headers that a condition names, which have to be among those of the policy: a fact never has another. Pure.
import type { Located } from '@gate/shared/yaml'

export interface Named {
  readonly routes: readonly string[]
  /** As facts have them: in lower case. */
  readonly headers: readonly string[]
}

interface RuleFile extends Located {
  readonly value: { readonly targets: readonly { readonly rules: readonly { readonly when?: string | undefined }[] }[] }
}

/** Mistakes: conditions about routes and headers that no block names would never hold, and a deny let everything pass. */
export function unknownNames(
  file: RuleFile,
  blocks: readonly Named[],
  namedBy: (condition: string) => Named,
): string[] {
  const known = {
    routes: new Set(blocks.flatMap(block => block.routes)),
    headers: new Set(blocks.flatMap(block => block.headers)),
  }
  return file.value.targets.flatMap((block, index) =>
    block.rules.flatMap(({ when }, at) => {
      const named = when === undefined ? { routes: [], headers: [] } : namedBy(when)
      const place = ['targets', index, 'rules', at, 'when']
      return (['routes', 'headers'] as const)
        .flatMap(kind =>
          named[kind].filter(name => !known[kind].has(name)).map(name => `${name} is none of the ${kind}`),
        )
        .map(what => `${file.locate(place)}: ${place.join('.')}: ${what} that a block names`)
    }),
  )
}

/** What of a tree of CEL is looked at. */
interface Node {
  readonly op: string
  readonly args: unknown
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'op' in value && 'args' in value
}

/** What `op.route` is compared with, and which headers are looked for in `op.headers`. */
export function namedIn(tree: unknown): Named {
  const nodes = nodesOf(tree)
  const routes = nodes.flatMap(({ op, args }) => {
    const [left, right] = Array.isArray(args) ? (args as unknown[]) : []
    if (op === '==' || op === '!=')
      return isFact(left, 'route') ? textsOf(right) : isFact(right, 'route') ? textsOf(left) : []
    return op === 'in' && isFact(left, 'route') ? textsOf(right) : []
  })
  const headers = nodes.flatMap(({ op, args }) => {
    const [left, right] = Array.isArray(args) ? (args as unknown[]) : []
    return op === 'in' && isFact(right, 'headers') ? textsOf(left) : []
  })
  return {
    routes: routes.filter(route => route !== ''),
    headers: headers.map(header => header.split(':', 1)[0] ?? ''),
  }
}

function nodesOf(value: unknown): Node[] {
  if (Array.isArray(value)) return value.flatMap(nodesOf)
  return isNode(value) ? [value, ...nodesOf(value.args)] : []
}

function isFact(value: unknown, name: string): boolean {
  if (!isNode(value) || value.op !== '.' || !Array.isArray(value.args)) return false
  const [of, fact] = value.args as unknown[]
  return fact === name && isNode(of) && of.op === 'id' && of.args === 'op'
}

/** A text, or those of a list. */
function textsOf(value: unknown): string[] {
  if (!isNode(value)) return []
  if (value.op === 'list') return Array.isArray(value.args) ? value.args.flatMap(textsOf) : []
  return value.op === 'value' && typeof value.args === 'string' ? [value.args] : []
}
