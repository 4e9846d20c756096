// Tables that a command is about without naming them: all of a schema, all of a role, those that refer to what it names. Pure.
import { as, type Json, type JsonObject, list, strings, text } from './tree.ts'

export type Beyond =
  | { readonly kind: 'schemas'; readonly names: readonly string[] }
  /** Undefined: of whoever runs it, or of a role that only the server knows. */
  | { readonly kind: 'owned'; readonly roles: readonly string[] | undefined }
  /** TRUNCATE … CASCADE: tables with foreign keys to those that it names, and so on. */
  | { readonly kind: 'referring' }

const inSchemas: ReadonlySet<string> = new Set(['OBJECT_TABLE', 'OBJECT_SEQUENCE'])

/** What a command is about beside the tables that it names; undefined: nothing, or it is not known. */
export function beyondOf(name: string, content: JsonObject): Beyond | undefined {
  const cascades = content['behavior'] === 'DROP_CASCADE'
  switch (name) {
    case 'GrantStmt': {
      const isAll = content['targtype'] === 'ACL_TARGET_ALL_IN_SCHEMA' && inSchemas.has(text(content['objtype']))
      return isAll ? { kind: 'schemas', names: strings(content['objects']) } : undefined
    }
    case 'DropStmt': {
      const isSchema = content['removeType'] === 'OBJECT_SCHEMA'
      return isSchema && cascades ? { kind: 'schemas', names: strings(content['objects']) } : undefined
    }
    case 'DropOwnedStmt':
    case 'ReassignOwnedStmt':
      return { kind: 'owned', roles: rolesOf(content['roles']) }
    case 'TruncateStmt':
      return cascades ? { kind: 'referring' } : undefined
    default:
      return undefined
  }
}

function rolesOf(roles: Json | undefined): readonly string[] | undefined {
  const names = list(roles).map(role => text(as(role, 'RoleSpec')?.['rolename']))
  return names.includes('') ? undefined : names
}
