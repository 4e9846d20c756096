// Texts in client encodings other than UTF8 → the characters that the server takes them for. Pure.

/**
 * PostgreSQL's names of encodings with one byte for a character → the encoding of the web platform that has the same table
 * (src/backend/utils/mb/Unicode). Bytes for which the server knows no character stand for control characters there.
 */
const webNames: Readonly<Record<string, string>> = {
  LATIN2: 'iso-8859-2',
  LATIN3: 'iso-8859-3',
  LATIN4: 'iso-8859-4',
  LATIN6: 'iso-8859-10',
  LATIN7: 'iso-8859-13',
  LATIN8: 'iso-8859-14',
  LATIN9: 'iso-8859-15',
  ISO_8859_5: 'iso-8859-5',
  ISO_8859_6: 'iso-8859-6',
  ISO_8859_7: 'iso-8859-7',
  ISO_8859_8: 'iso-8859-8',
  WIN1250: 'windows-1250',
  WIN1251: 'windows-1251',
  WIN1253: 'windows-1253',
  WIN1254: 'windows-1254',
  WIN1255: 'windows-1255',
  WIN1256: 'windows-1256',
  WIN1257: 'windows-1257',
  WIN1258: 'windows-1258',
  WIN866: 'ibm866',
  KOI8R: 'koi8-r',
  KOI8U: 'koi8-u',
}

/** 0x80 to 0x9F of WIN1252; some platforms take the web's `windows-1252` for LATIN1. */
const win1252 = '€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ'
const CONTROLS = /[\u0080-\u009f]/
const HIGH = /[\u0080-\uffff]/

/** Encodings whose statements may hold other characters than those of ASCII; of others gate reads ASCII alone. */
export const readEncodings: readonly string[] = ['LATIN1', 'WIN1252', ...Object.keys(webNames)]

type Decoder = InstanceType<typeof TextDecoder>

const decoders = new Map<string, Decoder | undefined>()

function decoderOf(name: string): Decoder | undefined {
  if (!decoders.has(name)) decoders.set(name, makeDecoder(webNames[name]))
  return decoders.get(name)
}

/** Undefined where the platform lacks the table. */
function makeDecoder(label: string | undefined): Decoder | undefined {
  try {
    return label === undefined ? undefined : new TextDecoder(label, { fatal: true })
  } catch (thrown) {
    if (thrown instanceof RangeError) return undefined
    throw thrown
  }
}

/**
 * The text as the server reads it under `encoding`, a name as ParameterStatus gives it (pg_enc2name_tbl in
 * src/common/encnames.c). ASCII means the same in every client encoding. Undefined where gate cannot tell.
 */
export function decode(bytes: Buffer, encoding: string): string | undefined {
  const plain = bytes.toString('latin1')
  if (!HIGH.test(plain) || encoding === 'LATIN1') return plain
  // Bytes without a character are left as control characters by the web's tables, and refused by the server.
  const text = encoding === 'WIN1252' ? plain.replace(/[\u0080-\u009f]/g, fromWin1252) : byTable(bytes, encoding)
  return text === undefined || (encoding.startsWith('WIN1') && CONTROLS.test(text)) ? undefined : text
}

function fromWin1252(character: string): string {
  return win1252[character.charCodeAt(0) - 0x80] ?? character
}

function byTable(bytes: Buffer, encoding: string): string | undefined {
  try {
    return decoderOf(encoding)?.decode(bytes)
  } catch (thrown) {
    // What no character stands for.
    if (thrown instanceof TypeError) return undefined
    throw thrown
  }
}
