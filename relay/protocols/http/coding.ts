// Content codings (RFC 9110 section 8.4): undone under a limit before a body is masked, and done again afterwards.
import { type Duplex, Transform } from 'node:stream'
import {
  brotliCompressSync,
  constants,
  createBrotliCompress,
  createBrotliDecompress,
  createDeflate,
  createGunzip,
  createGzip,
  deflateSync,
  gzipSync,
} from 'node:zlib'
import { GateError } from '@gate/shared/errors'
import { Growth } from './growth.ts'
import { createAnyInflate } from './inflate.ts'
import { createZstdDecompress } from './zstd.ts'

const MAX_CODINGS = 2

/** Speed matters more than size between programs of one machine. */
const BROTLI_QUALITY = 4

interface Coding {
  decode(): Duplex
  /** Left out where it is only undone; then it is not offered to services either. */
  encode?(isLive: boolean): Transform
  /** What nothing is when it is encoded, where a decoder wants that. */
  readonly nothing?: Buffer
}

const flushing = (isLive: boolean): { flush?: number } => (isLive ? { flush: constants.Z_SYNC_FLUSH } : {})

const NOTHING = Buffer.alloc(0)

const gzip: Coding = {
  decode: () => createGunzip(),
  encode: isLive => createGzip(flushing(isLive)),
  nothing: gzipSync(NOTHING),
}

const codings: ReadonlyMap<string, Coding> = new Map<string, Coding>([
  ['gzip', gzip],
  ['x-gzip', gzip],
  [
    'deflate',
    {
      decode: () => createAnyInflate(),
      encode: isLive => createDeflate(flushing(isLive)),
      nothing: deflateSync(NOTHING),
    },
  ],
  [
    'br',
    {
      decode: () => createBrotliDecompress(),
      encode: isLive =>
        createBrotliCompress({
          params: { [constants.BROTLI_PARAM_QUALITY]: BROTLI_QUALITY },
          ...(isLive ? { flush: constants.BROTLI_OPERATION_FLUSH } : {}),
        }),
      nothing: brotliCompressSync(NOTHING),
    },
  ],
  ['zstd', { decode: createZstdDecompress }],
])

/** No coding; some frameworks have their charset in this place, and clients pass over it. */
const plain: ReadonlySet<string> = new Set(['identity', 'none', 'utf-8', 'utf8'])

/** The codings of a body, as they were applied; undefined when one of them cannot be undone here. */
export function readCodings(contentEncoding: string | undefined): readonly string[] | undefined {
  const names = (contentEncoding ?? '')
    .split(',')
    .map(name => name.trim().toLowerCase())
    .filter(name => name !== '' && !plain.has(name))
  return names.length <= MAX_CODINGS && names.every(name => codings.has(name)) ? names : undefined
}

/** Of what a client accepts, what can be undone here and done again; `identity` when that is nothing. */
export function acceptedCodings(acceptEncoding: string | undefined): string {
  const kept = (acceptEncoding ?? '')
    .split(',')
    .filter(each => codings.get(each.split(';')[0]?.trim().toLowerCase() ?? '')?.encode !== undefined)
  return kept.length === 0 ? 'identity' : kept.map(each => each.trim()).join(', ')
}

/** A quality that is not nothing, or none (RFC 9110 section 12.4.2). */
const acceptsGzip = /^\s*gzip\s*(?:;\s*q\s*=\s*(?!0(?:\.0*)?\s*$)[\d.]+\s*)?$/i

/** The codings that are done again: gzip in place of one that is only undone, for clients that accept it. */
export function codingsAgain(undone: readonly string[], acceptEncoding: string | undefined): readonly string[] {
  const again = undone.filter(name => codings.get(name)?.encode !== undefined)
  if (again.length === undone.length) return undone
  const isAccepted = (acceptEncoding ?? '').split(',').some(each => acceptsGzip.test(each))
  return isAccepted && again.length === 0 ? ['gzip'] : again
}

/** Undoes codings; the last applied first. A stream of them breaks when a body grows beyond the limit. */
export function decoders(names: readonly string[]): Duplex[] {
  return [...names].reverse().flatMap(name => {
    const coding = codings.get(name)
    if (coding === undefined) throw new GateError('ERR_GATE_INTERNAL', `the coding ${name} cannot be undone`)
    return bounded(coding)
  })
}

/** `isLive`: what is encoded leaves at once, at the price of some length. */
export function encoders(names: readonly string[], isLive: boolean): Transform[] {
  return names.flatMap(name => codings.get(name)?.encode?.(isLive) ?? [])
}

/** Counts what goes in and what comes out of a decoder. Services say of empty bodies as well that they are encoded. */
function bounded({ decode, nothing }: Coding): Duplex[] {
  const growth = new Growth()
  const decoder = decode()
  let isEmpty = true
  const before = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      isEmpty &&= chunk.length === 0
      growth.took(chunk.length)
      done(null, chunk)
    },
    flush(done) {
      done(null, isEmpty ? nothing : undefined)
    },
  })
  const after = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      try {
        growth.gave(chunk.length)
        done(null, chunk)
      } catch (thrown) {
        done(thrown as Error)
      }
    },
  })
  return [before, decoder, after]
}
