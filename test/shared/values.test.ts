// The small pure parts: errors, durations, canonical JSON, ids, logs, clean-up and the clock.
import { getEventListeners } from 'node:events'
import { isDeepStrictEqual } from 'node:util'
import { canonicalJson } from '@gate/shared/canonical'
import { Cleanup } from '@gate/shared/cleanup'
import { systemClock } from '@gate/shared/clock'
import { duration, formatDuration } from '@gate/shared/duration'
import { abortReason, asGateError, errorCodes, errorFromBody, GateError } from '@gate/shared/errors'
import { hashSecret, newId, newSecret } from '@gate/shared/id'
import { createLog } from '@gate/shared/log'
import fc from 'fast-check'
import t from 'tap'
import * as z from 'zod'

t.test('an error', async t => {
  await t.test('keeps its code, fault, hint and the target’s own fields on its way through JSON', async t => {
    const error = new GateError('ERR_GATE_TARGET_LOGIN', 'prod refused', {
      hint: 'Rotate it.',
      detail: 'role gate',
      fields: { C: '28P01' },
      cause: new Error('the password was hunter2'),
    })
    const text = JSON.stringify(error)
    t.notMatch(text, 'hunter2', 'the cause stays where it is')
    const back = errorFromBody(JSON.parse(text))
    t.match(back, { code: 'ERR_GATE_TARGET_LOGIN', fault: 'target', message: 'prod refused', hint: 'Rotate it.' })
    t.match(back, { detail: 'role gate', fields: { C: '28P01' }, cause: undefined })
  })

  await t.test(
    'of a code that only the other side knows is a defect, also when the code is a name of Object',
    async t => {
      for (const code of ['ERR_GATE_FROM_THE_FUTURE', '__proto__', 'constructor', 'toString', '']) {
        t.equal(errorFromBody({ code, message: 'x' }).code, 'ERR_GATE_INTERNAL', code)
      }
    },
  )

  await t.test('that is foreign is wrapped without its text, and one of ours stays itself', async t => {
    const foreign = new Error('select secret from t')
    const wrapped = asGateError(foreign, 'ERR_GATE_STORE', 'the store does not answer')
    t.equal(wrapped.message, 'the store does not answer')
    t.equal(wrapped.cause, foreign)
    t.equal(asGateError(wrapped, 'ERR_GATE_INTERNAL'), wrapped)
    t.equal(asGateError('thrown text').message, 'something went wrong inside gate')
  })

  await t.test('has an exit code and an HTTP status that say failure', async t => {
    for (const [code, { exit, status, meaning }] of Object.entries(errorCodes)) {
      t.ok(exit > 0 && exit < 256 && status >= 400 && status < 600 && meaning.endsWith('.'), code)
    }
  })

  await t.test('is what an aborted signal gives as its reason', async t => {
    const reason = new GateError('ERR_GATE_SHUTDOWN', 'going down')
    t.equal(abortReason(AbortSignal.abort(reason)), reason)
    t.equal(abortReason(AbortSignal.abort()).code, 'ERR_GATE_CANCELLED')
  })
})

t.test('a duration', async t => {
  const any = duration(0, 1e12)

  await t.test('is read in its own unit and written back the same', async t => {
    t.equal(any.parse('90s'), 90_000)
    t.equal(any.parse('15m'), 900_000)
    t.equal(any.parse('8h'), 28_800_000)
    t.equal(any.parse('30d'), 2_592_000_000)
    t.same([0, 1000, 90_000, 900_000, 3_600_000, 86_400_000].map(formatDuration), [
      '0s',
      '1s',
      '90s',
      '15m',
      '1h',
      '1d',
    ])
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 999_999 }), seconds => {
        const ms = seconds * 1000
        return any.parse(formatDuration(ms)) === ms
      }),
    )
  })

  await t.test('of another form or outside its limits is refused with an example', async t => {
    for (const text of [
      '',
      '15',
      '15 m',
      'm',
      '-1m',
      '+1m',
      '1.5h',
      '15M',
      '15ms',
      '1h30m',
      '9999999s',
      '١٥m',
      '15m\n',
    ]) {
      const parsed = any.safeParse(text)
      t.match(parsed.error?.issues[0]?.message, /for example 15m/, JSON.stringify(text))
    }
    const narrow = duration(10_000, 60_000)
    t.match(narrow.safeParse('9s').error?.issues[0]?.message, 'from 10s to 1m')
    t.match(narrow.safeParse('61s').error?.issues[0]?.message, 'got "61s"')
    t.equal(narrow.parse('1m'), 60_000)
  })

  await t.test('that is any other text gives an issue and never a number outside the limits', async t => {
    const narrow = duration(10_000, 60_000)
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^\d{0,8}[smhd]?$/)), text => {
        const parsed = narrow.safeParse(text)
        return !parsed.success || (parsed.data >= 10_000 && parsed.data <= 60_000)
      }),
    )
    t.pass()
  })
})

t.test('canonical JSON', async t => {
  await t.test('is that of RFC 8785 for its own examples', async t => {
    // Section 3.2.2: numbers, literals and the one spelling of a string.
    const input = JSON.parse(
      `{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\"\\/","literals":[null,true,false]}`,
    )
    t.equal(
      canonicalJson(input),
      `{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\\u000f\\nA'B\\"\\\\\\\\\\"/"}`,
    )
    // Section 3.2.3: keys by UTF-16 code units, in which U+1F600 comes before U+FB33.
    const keys = { '\u20ac': 'Euro Sign', '\r': 'Carriage Return', '\ufb33': 'Hebrew Letter Dalet With Dagesh' }
    const more = {
      '1': 'One',
      '\u{1f600}': 'Emoji: Grinning Face',
      '\u0080': 'Control',
      '\u00f6': 'Latin Small Letter O',
    }
    t.same(Object.values(JSON.parse(canonicalJson([{ ...keys, ...more }]))[0]), [
      'One',
      'Carriage Return',
      'Control',
      'Latin Small Letter O',
      'Euro Sign',
      'Emoji: Grinning Face',
      'Hebrew Letter Dalet With Dagesh',
    ])
    // Appendix B: numbers.
    const numbers: [number, string][] = [
      [-0, '0'],
      [5e-324, '5e-324'],
      [-1.7976931348623157e308, '-1.7976931348623157e+308'],
      [9007199254740992, '9007199254740992'],
      [295147905179352830000, '295147905179352830000'],
      [9.999999999999997e22, '9.999999999999997e+22'],
      [1e21, '1e+21'],
      [333333333.33333325, '333333333.33333325'],
      [0.000001, '0.000001'],
      [1e-7, '1e-7'],
      [1424953923781206.2, '1424953923781206.2'],
    ]
    for (const [value, text] of numbers) t.equal(canonicalJson(value), text)
  })

  await t.test('refuses what JSON cannot say', async t => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, [1n], { a: () => 1 }, Symbol('x'), undefined]) {
      t.throws(() => canonicalJson(value), TypeError)
    }
  })

  await t.test('is one text whatever the order of the keys, and says the same as the value', async t => {
    const shuffled = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(shuffled)
      if (typeof value !== 'object' || value === null) return value
      const copy: Record<string, unknown> = Object.create(null) as Record<string, unknown>
      for (const [key, member] of Object.entries(value).reverse()) copy[key] = shuffled(member)
      return copy
    }
    fc.assert(
      fc.property(fc.jsonValue(), value => {
        const text = canonicalJson(value)
        const back: unknown = JSON.parse(text)
        return (
          text === canonicalJson(shuffled(value)) &&
          text === canonicalJson(back) &&
          isDeepStrictEqual(back, JSON.parse(JSON.stringify(value)))
        )
      }),
    )
    t.equal(canonicalJson({ b: undefined, a: [undefined] }), '{"a":[null]}')
  })
})

t.test('ids and secrets', async t => {
  const ids = new Set(Array.from({ length: 10_000 }, () => newId('s')))
  t.equal(ids.size, 10_000, 'ten thousand ids are ten thousand')
  t.ok(
    [...ids].every(id => /^s_[0-9abcdefghjkmnpqrstvwxyz]{12}$/.test(id)),
    'an id can be read aloud',
  )
  const used = new Set([...ids].flatMap(id => [...id.slice(2)]))
  t.equal(used.size, 32, 'every letter of the alphabet occurs')
  t.match(newSecret(), /^[\w-]{43}$/)
  t.not(newSecret(), newSecret())
  t.equal(hashSecret('abc'), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
})

t.test('a log', async t => {
  const lines: string[] = []
  const log = createLog('relay', 'debug', { write: text => void lines.push(text) })
  const last = (): Record<string, unknown> => JSON.parse(lines.at(-1) ?? '{}') as Record<string, unknown>

  await t.test('drops every field that is not listed', async t => {
    const fields = { session: 's_1', sql: 'select secret', token: 'abc', constructor: 'x' }
    log.info('command.refused', fields)
    t.match(last(), { event: 'command.refused', program: 'relay', session: 's_1' })
    t.same(Object.keys(last()).sort(), ['event', 'level', 'pid', 'program', 'session', 'time'])
  })

  await t.test('writes one line for a field with line feeds, and cuts long ones', async t => {
    log.warn('session.ended', { reason: `a\n{"event":"forged"}\r\n${'x'.repeat(5000)}` })
    t.equal(lines.at(-1)?.trimEnd().includes('\n'), false)
    t.equal(String(last()['reason']).length, 1024)
  })

  await t.test('tells of a foreign error its name, code and place, never its text', async t => {
    const secret = 'hunter2'
    const texts = [secret, `first line\n${secret}`, `x\n    at ${secret} (file.js:1:1)\n${secret}`]
    for (const text of texts) {
      log.error('store.failed', { error: Object.assign(new TypeError(text), { code: 'ECONNRESET' }) })
      t.notMatch(lines.at(-1), secret)
      t.match(last(), { error: { name: 'TypeError', code: 'ECONNRESET', at: [/^at .*values\.test/] } })
    }
    const { error } = z.object({ a: z.literal('b') }).safeParse({ a: 1 })
    log.error('store.failed', { error })
    t.notMatch(lines.at(-1), 'expected', 'a message of several lines does not pass for the stack')
    log.error('store.failed', { error: secret })
    t.notMatch(lines.at(-1), secret)
    const renamed = new Error(secret)
    renamed.message = 'another'
    log.error('store.failed', { error: renamed })
    t.notMatch(lines.at(-1), /hunter2|another/, 'also when the message was changed after the stack was taken')
  })

  await t.test('tells of an error of ours its code and message, and of its causes what may be told', async t => {
    const cause = new GateError('ERR_GATE_STORE', 'no store', { cause: new Error('password=hunter2') })
    log.error('relay.failed', { error: new GateError('ERR_GATE_RECORD', 'no record', { cause, hint: 'wait' }) })
    t.match(last()['error'], {
      code: 'ERR_GATE_RECORD',
      message: 'no record',
      hint: 'wait',
      cause: { code: 'ERR_GATE_STORE', cause: { name: 'Error' } },
    })
    t.notMatch(lines.at(-1), 'hunter2')
  })

  await t.test('below its level writes nothing', async t => {
    const before = lines.length
    createLog('relay', 'error', { write: text => void lines.push(text) }).warn('x')
    t.equal(lines.length, before)
  })
})

t.test('clean-up', async t => {
  await t.test('undoes in the opposite order, also when some of it fails, and says what failed', async t => {
    const done: string[] = []
    const cleanup = new Cleanup()
    cleanup.use({ [Symbol.dispose]: () => void done.push('first') })
    cleanup.adopt('second', async name => {
      throw new Error(name)
    })
    cleanup.use({ [Symbol.asyncDispose]: async () => void done.push('third') })
    cleanup.adopt('fourth', name => {
      done.push(name)
      throw new Error(name)
    })
    const thrown = await cleanup[Symbol.asyncDispose]().then(
      () => undefined,
      (error: unknown) => error,
    )
    t.same(done, ['fourth', 'third', 'first'])
    t.match(thrown, { errors: [{ message: 'fourth' }, { message: 'second' }] })
    await cleanup[Symbol.asyncDispose]()
    t.equal(done.length, 3, 'nothing is undone twice')
  })

  await t.test('that was handed on is the new owner’s', async t => {
    const done: string[] = []
    let moved: Cleanup
    {
      await using opening = new Cleanup()
      opening.adopt('resource', name => done.push(name))
      moved = opening.move()
    }
    t.same(done, [])
    await moved[Symbol.asyncDispose]()
    t.same(done, ['resource'])
  })
})

t.test('the clock sleeps until its signal aborts, and leaves no listener behind', async t => {
  const controller = new AbortController()
  const reason = new GateError('ERR_GATE_SHUTDOWN', 'going down')
  const sleeping = systemClock.sleep(1e9, controller.signal)
  controller.abort(reason)
  t.equal(await sleeping.catch((thrown: unknown) => thrown), reason)
  const calm = new AbortController()
  await systemClock.sleep(1, calm.signal)
  t.equal(getEventListeners(calm.signal, 'abort').length, 0)
})
