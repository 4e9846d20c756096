// Parameters with which a request chooses fields of the answer: whether one may ask for what is masked under another name. Pure.
import type { Paths } from './masking/paths.ts'
import { everyMember } from './members.ts'

/** As PostgREST, Solr, OData and others call them, without what stands before and in brackets behind. */
const choosing =
  /^(?:select|fields?|fl|columns?|projections?|project|compute|apply|attributes|properties|props|returning)$/
/** What these hold is called otherwise in any case (Directus). */
const renaming = /^(?:alias|aliases|aggregates?|rename)$/
/** A name, or several with what joins them. */
const names = /[\p{L}_][\p{L}\p{N}_.-]*/gu
/** `e:email`, `"e":"$email"`, `email as e`, `email with max as m`, `email.max()`; two colons are a cast, which renames nothing. */
const another =
  /[\p{L}\p{N}_"'\])][ ]{0,8}:(?!:)[ ]{0,8}(?!(?:true|false|null)\b)["']?[\p{L}_$]|[\s"'\])](?:as|with)[\s"'[]|\.[\p{L}_]{1,32}\(\)/iu

/**
 * Whether a query, without its question mark, names a masked field, or what is around it, where it gives others names: which of
 * them it is about is for the service to say.
 */
export function renamesFieldsIn(query: string, fieldsOf: () => Paths | undefined): boolean {
  if (query === '') return false
  return everyMember(query).some(([name, value]) => {
    const plain = /[\p{L}_]+/u.exec(name)?.[0].toLowerCase() ?? ''
    const isChosen = choosing.test(plain)
    const asked =
      renaming.test(plain) || (isChosen && another.test(value))
        ? [...value.matchAll(names)].map(([found]) => found)
        : isChosen
          ? leftOut(value)
          : []
    if (asked.length === 0) return false
    const fields = fieldsOf()
    return fields !== undefined && asked.some(found => fields.holds(found))
  })
}

/**
 * Names of which the answer does not say that what it has was in them: PostgREST calls what `billing->card->>iban` leads to
 * `iban`, an element by the name of its list, and `...customers(email)` puts into each row what is in another.
 */
function leftOut(value: string): string[] {
  if (!value.includes('->') && !value.includes('...')) return []
  const within = value.split(/[,()]/).flatMap(path => {
    const keys = path.split(/->>?/).map(key => key.replaceAll(/^[\s"']+|[\s"']+$|::.*/g, ''))
    const last = keys.findLastIndex(key => !/^-?\d+$/.test(key))
    return keys.slice(0, Math.max(0, last))
  })
  const spread = [...value.matchAll(/\.{3}\s{0,8}["']?([\p{L}_][\p{L}\p{N}_]*)/gu)].map(([, found = '']) => found)
  return [...within, ...spread]
}
