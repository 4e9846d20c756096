// The paths of an OpenAPI description, as routes for rules. Pure.
import { dirname, resolve } from 'node:path'
import { parseYaml } from '@gate/shared/yaml'
import * as z from 'zod'
import { isRouteTemplate, policyFile } from './schema.ts'

const MAX_PATHS = 10_000

/** Only the paths are read; everything else in a description is its owner's business. */
const description = z.looseObject({
  paths: z
    .record(z.string(), z.unknown())
    .refine(paths => Object.keys(paths).length <= MAX_PATHS, `more than ${MAX_PATHS} paths`)
    .refine(paths => routesOf(paths).every(isRouteTemplate), 'a path that is no template such as /users/{id}'),
})

/** OpenAPI 3.1 section 4.8.8: fields that begin with a slash are paths, others are extensions. */
function routesOf(paths: Readonly<Record<string, unknown>>): string[] {
  return Object.keys(paths).filter(path => path.startsWith('/'))
}

/** The descriptions that a policy's text names, as paths of files; none when the text is no policy. */
export function describedBy(file: string, text: string): ReadonlyMap<string, string> {
  let named: (string | undefined)[]
  try {
    named = parseYaml(file, text, policyFile).value.targets.map(({ openapi }) => openapi)
  } catch {
    // Whoever compiles the policy says what is wrong with it.
    return new Map()
  }
  const names = named.filter(name => name !== undefined)
  return new Map(names.map(name => [name, resolve(dirname(file), name)]))
}

/** The routes of a description in YAML or JSON. @throws {GateError} ERR_GATE_CONFIG when it is none. */
export function routesIn(file: string, text: string): readonly string[] {
  return routesOf(parseYaml(file, text, description).value.paths)
}
