// The way out to one relay: a control socket that proves who we are, and a tunnel in which the relay opens streams.
import { Backoff, type BackoffLimits } from '@gate/shared/backoff'
import type { Clock } from '@gate/shared/clock'
import { asGateError, type ErrorCode, errorFromBody, GateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import { type ControlMessage, helloBytes, PROTOCOL_VERSION, packControl, unpackControl } from '@gate/shared/messages'
import type { Target } from '@gate/shared/model'
import type { ControlSocket } from '@gate/shared/websocket/control-socket'
import { dialControl, dialTunnel, type TlsOptions } from '@gate/shared/websocket/dial'
import type { Tunnel } from '@gate/shared/websocket/tunnel'
import type { Checkpoints } from './checkpoints.ts'
import type { AgentKey } from './identity.ts'
import { forAgent } from './relay-trust.ts'
import type { Streams } from './serve.ts'

const DIAL_TIMEOUT_MS = 10_000
const HELLO_TIMEOUT_MS = 15_000
const BACKOFF: BackoffLimits = { firstMs: 200, longestMs: 10_000 }
/** A connection that lasted this long was a good one: the next failure starts over. */
const STEADY_MS = 30_000
/** How often the agent asks for the newest checkpoint of the relay's record. */
const CHECKPOINT_EVERY_MS = 60_000

export interface UplinkContext {
  readonly relay: string
  readonly name: string
  readonly key: AgentKey
  readonly targets: readonly Target[]
  readonly tls: TlsOptions | undefined
  readonly streams: Streams
  readonly checkpoints: Checkpoints
  readonly clock: Clock
  readonly log: Log
}

/** Keeps the agent connected to a relay until the signal aborts. */
export async function uplink(context: UplinkContext, signal: AbortSignal): Promise<void> {
  const { relay, clock, log } = context
  const connect = async (): Promise<void> => {
    try {
      await new Link(context, signal).run()
      log.warn('uplink.lost', { url: relay })
    } catch (thrown) {
      if (!signal.aborted) log.warn('uplink.failed', { url: relay, error: forAgent(thrown) })
    }
  }
  // Jitter, so that a restarted relay is not met by all its agents in one moment.
  await keep(connect, clock, signal, () => 0.5 + Math.random())
}

/** Connects again whenever it is over, after a wait that grows with each time that did not last. */
async function keep(
  connect: () => Promise<void>,
  clock: Clock,
  signal: AbortSignal,
  jitter?: () => number,
): Promise<void> {
  const backoff = new Backoff(BACKOFF, clock)
  while (!signal.aborted) {
    const began = clock.monotonic()
    await connect()
    if (signal.aborted) return
    if (clock.monotonic() - began > STEADY_MS) backoff.reset()
    await backoff.wait(signal, jitter?.())
  }
}

class Link {
  readonly #context: UplinkContext
  readonly #signal: AbortSignal
  /** Aborts with the control socket: no stream is opened without it. */
  readonly #over = new AbortController()
  #holding: NodeJS.Timeout | undefined

  constructor(context: UplinkContext, signal: AbortSignal) {
    this.#context = context
    this.#signal = signal
  }

  get #base(): string {
    return this.#context.relay.replace(/^http/, 'ws')
  }

  async run(): Promise<void> {
    const { tls } = this.#context
    const control = await dialControl(`${this.#base}/v1/agent/control`, {
      headers: {},
      tls,
      timeoutMs: DIAL_TIMEOUT_MS,
      signal: this.#signal,
    })
    const stop = (): void => control.destroy()
    this.#signal.addEventListener('abort', stop, { once: true })
    try {
      const welcome = await this.#hello(control)
      this.#context.log.info('uplink.ready', { url: this.#context.relay })
      this.#sayRefused(welcome)
      this.#holdCheckpoints(control)
      await Promise.race([control.closed, this.#keepTunnel(welcome.dataToken)])
    } finally {
      clearInterval(this.#holding)
      this.#signal.removeEventListener('abort', stop)
      this.#over.abort(new GateError('ERR_GATE_RELAY_UNREACHABLE', 'the control socket is closed'))
      control.destroy()
    }
  }

  #hello(control: ControlSocket): Promise<Extract<ControlMessage, { type: 'welcome' }>> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new GateError('ERR_GATE_TIMEOUT', 'the relay did not say welcome in time')),
        HELLO_TIMEOUT_MS,
      )
      control.closed.then(() => reject(new GateError('ERR_GATE_RELAY_UNREACHABLE', 'the relay hung up')), reject)
      control.onBytes = bytes => {
        try {
          const message = unpackControl(bytes)
          if (message.type === 'challenge') this.#prove(control, message)
          else if (message.type === 'welcome') {
            clearTimeout(timer)
            control.onBytes = more => this.#receive(control, more)
            resolve(message)
          } else if (message.type === 'refused') throw errorFromBody(message.error)
          else throw new GateError('ERR_GATE_PROTOCOL', `unexpected ${message.type} from the relay`)
        } catch (thrown) {
          clearTimeout(timer)
          reject(asGateError(thrown))
        }
      }
    })
  }

  #sayRefused({ refusedTargets, contestedTargets }: Extract<ControlMessage, { type: 'welcome' }>): void {
    const { name, log } = this.#context
    const say = (targets: readonly string[], code: ErrorCode, message: string, hint: string): void => {
      for (const target of targets)
        log.error('uplink.target-refused', { target, error: new GateError(code, message, { hint }) })
    }
    say(
      refusedTargets,
      'ERR_GATE_FORBIDDEN',
      'the enrolment does not cover that name',
      `Where the relay runs: gate-relay enroll --agent ${name} --targets PATTERN…, with every pattern that it is to have; then here gate-agent enroll. No restart is needed.`,
    )
    say(
      contestedTargets,
      'ERR_GATE_CONFLICT',
      'another agent serves that name with another protocol, labels or options',
      'Give both the same protocol, labels and options in agent.yaml, or this one another name; then start this agent again.',
    )
  }

  /** Signs for the relay that we dialled and no other: a relay in between could not use the proof elsewhere. */
  #prove(control: ControlSocket, challenge: Extract<ControlMessage, { type: 'challenge' }>): void {
    const { relay, name, key, targets } = this.#context
    if (challenge.version !== PROTOCOL_VERSION) {
      throw new GateError(
        'ERR_GATE_PROTOCOL',
        `the relay speaks version ${challenge.version}, this agent ${PROTOCOL_VERSION}`,
      )
    }
    if (new URL(challenge.relay).origin !== new URL(relay).origin) {
      throw new GateError(
        'ERR_GATE_CONFIG',
        `the relay calls itself ${challenge.relay}, and this agent dialled ${relay}`,
        {
          hint: "Set `relay` here to the relay's own `url`.",
        },
      )
    }
    const signature = key.sign(helloBytes(challenge.relay, challenge.nonce, name, targets))
    control.send(
      packControl({ type: 'hello', version: PROTOCOL_VERSION, agent: name, signature, targets: [...targets] }),
    )
  }

  #receive(control: ControlSocket, bytes: Buffer): void {
    try {
      const message = unpackControl(bytes)
      if (message.type === 'cancel') void this.#cancel(control, message.stream)
      else if (message.type === 'checkpoint') void this.#context.checkpoints.take(message)
      else throw new GateError('ERR_GATE_PROTOCOL', `unexpected ${message.type} from the relay`)
    } catch (thrown) {
      this.#context.log.error('uplink.broken', { error: thrown })
      control.destroy()
    }
  }

  /** Says what is kept of the relay's record, now and from time to time; the relay answers with a proof of what came since. */
  #holdCheckpoints(control: ControlSocket): void {
    const say = (): void => control.send(packControl({ type: 'held', trees: this.#context.checkpoints.held() }))
    say()
    this.#holding = setInterval(say, CHECKPOINT_EVERY_MS)
  }

  async #cancel(control: ControlSocket, stream: string): Promise<void> {
    await this.#context.streams.cancel(stream)
    control.send(packControl({ type: 'cancelled', stream }))
  }

  /** Dials a tunnel, and again when it broke, until the control socket is lost. */
  #keepTunnel(dataToken: string): Promise<void> {
    const { clock, log, relay } = this.#context
    const { signal } = this.#over
    const connect = async (): Promise<void> => {
      try {
        const tunnel = await this.#dialTunnel(dataToken)
        // Streams in use go on when the control socket is lost and comes back.
        const retire = (): void => tunnel.retire()
        if (signal.aborted) retire()
        signal.addEventListener('abort', retire, { once: true })
        await tunnel.closed
        signal.removeEventListener('abort', retire)
        if (!signal.aborted) log.warn('uplink.tunnel-lost', { url: relay })
      } catch (error) {
        if (!signal.aborted) log.warn('uplink.tunnel-failed', { url: relay, error: forAgent(error) })
      }
    }
    return keep(connect, clock, signal)
  }

  #dialTunnel(dataToken: string): Promise<Tunnel> {
    const { tls, streams, log } = this.#context
    return dialTunnel(
      `${this.#base}/v1/agent/data`,
      {
        lost: 'ERR_GATE_RELAY_UNREACHABLE',
        opened: (channel, message) => {
          if (message.type !== 'open')
            return channel.destroy(new GateError('ERR_GATE_PROTOCOL', `unexpected ${message.type} from the relay`))
          channel.onMessage = () => channel.destroy(new GateError('ERR_GATE_PROTOCOL', 'a stream was opened twice'))
          streams.serve(channel, message).catch(error => log.error('stream.broken', { error }))
        },
      },
      { headers: { authorization: `Bearer ${dataToken}` }, tls, timeoutMs: DIAL_TIMEOUT_MS, signal: this.#over.signal },
    )
  }
}
