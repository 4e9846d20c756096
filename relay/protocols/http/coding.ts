// Content codings (RFC 9110 section 8.4): undone under a limit before a body is masked, and done again afterwards.
import { Transform } from 'node:stream'
import {
  constants,
  createBrotliCompress,
  createBrotliDecompress,
  createDeflate,
  createGunzip,
  createGzip,
  createInflate,
} from 'node:zlib'
import { GateError } from '@gate/shared/errors'

/** A body may become this many times longer when it is decoded; gzip's own limit is about 1030. */
const MAX_RATIO = 200
/** Short bodies may have any ratio. */
const FREE_BYTES = 1024 * 1024
const MAX_CODINGS = 2

/** Speed matters more than size between programs of one machine. */
const BROTLI_QUALITY = 4

interface Coding {
  decode(): Transform
  encode(isLive: boolean): Transform
}

const flushing = (isLive: boolean): { flush?: number } => (isLive ? { flush: constants.Z_SYNC_FLUSH } : {})

const codings: ReadonlyMap<string, Coding> = new Map([
  ['gzip', { decode: () => createGunzip(), encode: isLive => createGzip(flushing(isLive)) }],
  ['x-gzip', { decode: () => createGunzip(), encode: isLive => createGzip(flushing(isLive)) }],
  ['deflate', { decode: () => createInflate(), encode: isLive => createDeflate(flushing(isLive)) }],
  [
    'br',
    {
      decode: () => createBrotliDecompress(),
      encode: isLive =>
        createBrotliCompress({
          params: { [constants.BROTLI_PARAM_QUALITY]: BROTLI_QUALITY },
          ...(isLive ? { flush: constants.BROTLI_OPERATION_FLUSH } : {}),
        }),
    },
  ],
])

/** The codings of a body, as they were applied; undefined when one of them cannot be undone here. */
export function readCodings(contentEncoding: string | undefined): readonly string[] | undefined {
  const names = (contentEncoding ?? '')
    .split(',')
    .map(name => name.trim().toLowerCase())
    .filter(name => name !== '' && name !== 'identity')
  return names.length <= MAX_CODINGS && names.every(name => codings.has(name)) ? names : undefined
}

/** Of what a client accepts, what can be undone here; `identity` when that is nothing. */
export function acceptedCodings(acceptEncoding: string | undefined): string {
  const kept = (acceptEncoding ?? '')
    .split(',')
    .filter(each => codings.has(each.split(';')[0]?.trim().toLowerCase() ?? ''))
  return kept.length === 0 ? 'identity' : kept.map(each => each.trim()).join(', ')
}

/** Undoes codings; the last applied first. A stream of them breaks when a body grows beyond the limit. */
export function decoders(names: readonly string[]): Transform[] {
  return [...names].reverse().flatMap(name => {
    const coding = codings.get(name)
    if (coding === undefined) throw new GateError('ERR_GATE_INTERNAL', `the coding ${name} cannot be undone`)
    return bounded(coding.decode())
  })
}

/** `isLive`: what is encoded leaves at once, at the price of some length. */
export function encoders(names: readonly string[], isLive: boolean): Transform[] {
  return names.flatMap(name => codings.get(name)?.encode(isLive) ?? [])
}

/** Counts what goes in and what comes out of a decoder. */
function bounded(decoder: Transform): Transform[] {
  let inBytes = 0
  let outBytes = 0
  const before = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      inBytes += chunk.length
      done(null, chunk)
    },
  })
  const after = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      outBytes += chunk.length
      const tooMuch = outBytes > FREE_BYTES && outBytes > inBytes * MAX_RATIO
      done(
        tooMuch
          ? new GateError('ERR_GATE_LIMIT', `the answer grows more than ${MAX_RATIO} times when it is decoded`)
          : null,
        chunk,
      )
    },
  })
  return [before, decoder, after]
}
