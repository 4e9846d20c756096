// Parameters with which a request chooses fields of the answer: whether one may ask for what is masked under another name. Pure.
import type { Paths } from './masking/paths.ts'
import type { Member } from './members.ts'

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
 * Whether members of a query or a body name a masked field, or what is around it, where they give others names: which of them
 * they are about is for the service to say.
 */
export function renamesFieldsIn(members: readonly Member[], fieldsOf: () => Paths | undefined): boolean {
  return members.some(([name, value]) => {
    const plain = plainOf(name)
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

const plainOf = (name: string): string => /[\p{L}_]+/u.exec(name)?.[0].toLowerCase() ?? ''

/**
 * The same members in a document, as Solr and Directus take them: texts under a name, also in a list, and all that is in an
 * object under a name that gives others.
 */
export function membersIn(document: unknown): Member[] {
  if (typeof document !== 'object' || document === null) return []
  if (Array.isArray(document)) return document.flatMap(membersIn)
  return Object.entries(document as Record<string, unknown>).flatMap(([name, value]): Member[] => {
    const texts = [value].flat().filter(each => typeof each === 'string')
    const given = renaming.test(plainOf(name)) ? wordsIn(value) : []
    // Of a text by itself nobody knows whether it is a name: MongoDB has that of a collection there.
    const own = renaming.test(plainOf(name)) ? [] : texts
    return [...own, ...given].map((each): Member => [name, each]).concat(membersIn(value))
  })
}

/** Names and texts in an object, at any depth. */
function wordsIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([name, member]: [string, unknown]) => [
    name,
    ...(typeof member === 'string' ? [member] : wordsIn(member)),
  ])
}
