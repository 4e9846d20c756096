// Names of fields as they are compared: in any case, spelling and form of their letters. Pure.

/** Between the words of a name: `patient_id`, `patient-id`, `patientId` and `Patient ID` are one to programs that turn one into another. */
const betweenWords = /[\s\p{Pc}\p{Pd}]+/gu
const plainName = /^[!-~]*$/
const digits = /^\d+$/

/**
 * What stands between names where one stands for several: `customer[address][0][city]`, `customer.address.city`, pointers
 * (`/customer/email`), prefixes (`ns:email`) and addresses (`http://schema.org/email`, `…#email`), `@odata.etag`. A name ends at a
 * NUL to programs in C.
 */
const separators = /[.[\]\0:/#@]+/

/** A name without what nobody sees, and with other forms of its letters taken for these, as databases do that ignore case. */
function visible(name: string): string {
  if (plainName.test(name)) return name.toLowerCase()
  const shown = name.normalize('NFKC').replaceAll(/[\p{Cc}\p{Cf}\p{DI}]+/gu, '')
  // By way of capitals: several small letters have the same one. A dot stays of the Turkish capital.
  const folded = shown.toLowerCase().toUpperCase().toLowerCase().replaceAll('i\u0307', 'i')
  return folded.normalize('NFKC').trim()
}

/** A name as it is compared: `ｅmail`, `ſsn`, `İd`, `straße` and `STRASSE`, `e_mail`. One that has nothing but dashes keeps them. */
export function comparedName(name: string): string {
  const shown = visible(name)
  return shown.replaceAll(betweenWords, '') || shown
}

/** Whether a name is a number, as of an element: programs write lists with gaps as objects. */
export function isIndexName(name: string): boolean {
  return digits.test(visible(name))
}

/** The names of which one is made that stands for several: an index has no name, as in arrays. None of one that stands for itself. */
export function partsOf(name: string): string[] {
  const written = plainName.test(name) ? name : name.normalize('NFKC')
  return separators.test(written) ? written.split(separators).filter(part => !/^\d*$/.test(part)) : []
}

/** What stands behind a prefix or an address, which is the name itself then: `email` of `ns:email`. Undefined where there is none. */
export function localName(name: string): string | undefined {
  return /[:/#@]([^:/#@]+)$/.exec(plainName.test(name) ? name : name.normalize('NFKC'))?.[1]
}

/** A byte that is left out of a name. */
export const LEFT_OUT = 0
/** A byte that makes more than one name of a name, or needs more than itself to be compared. */
export const ODD = 1

/** What a byte is in a name as it is compared: LEFT_OUT, ODD, or the byte that it is compared as. */
export const comparedBytes: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) => {
  const sign = String.fromCharCode(byte)
  if (byte <= 0x20 || byte >= 0x7f || separators.test(sign)) return ODD
  if (sign === '_' || sign === '-') return LEFT_OUT
  return sign.toLowerCase().charCodeAt(0)
})

/** More than the bytes of a name are worth together. */
export const ODD_WORTH = 65_536

/** What a byte adds to the length of a name as it is compared; an odd one more than all others together. */
export const worthOfBytes: Uint32Array = Uint32Array.from(comparedBytes, byte =>
  byte === ODD ? ODD_WORTH : Number(byte !== LEFT_OUT),
)
