// Values in paths that a template names, `/cars/{vin}`, where a mask names them as well: what the record has instead. Pure.
import type { FieldMaskObligation } from '@gate/shared/model'
import { recordedPlaceholder } from '../../mask/placeholder.ts'
import { masksName } from './masking/recorded.ts'

/** The path without such values; the same string when it has none. `templates` are those that it fits. */
export function withoutValues(
  path: string,
  templates: readonly string[],
  masks: readonly FieldMaskObligation[],
  key: Uint8Array,
): string {
  const hidden = new Set(templates.flatMap(template => maskedParts(template, masks)))
  if (hidden.size === 0) return path
  const segments = path.split('/').map((segment, at) => {
    const [value = '', ...parameters] = segment.split(';')
    if (value === '' || !hidden.has(at)) return segment
    return [recordedPlaceholder(key, decoded(value)), ...parameters].join(';')
  })
  return segments.join('/')
}

/** Which segments of a template have a parameter that a mask names. */
function maskedParts(template: string, masks: readonly FieldMaskObligation[]): number[] {
  return template.split('/').flatMap((segment, at) => {
    const names = [...segment.matchAll(/\{([^}]*)\}/g)].map(([, name = '']) => name)
    return names.some(name => masksName(name, masks)) ? [at] : []
  })
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    // A path that was refused for it.
    return segment
  }
}
