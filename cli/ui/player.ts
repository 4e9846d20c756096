// What keys and time do to a replay. Pure: a state, and a key or a moment, give the next state.
import type { Key } from 'ink'
import type { Frame } from '../frames.ts'

/** Nobody waits for somebody who thought: longer pauses are played as this. */
export const MAX_PAUSE_MS = 3_000
const SPEEDS = [0.25, 0.5, 1, 2, 4, 8, 16, 32] as const
const MAX_PROMPT_LENGTH = 12

export interface Player {
  readonly frames: readonly Frame[]
  /** How many frames are shown. */
  readonly shown: number
  readonly playing: boolean
  readonly speed: number
  /** Time that has passed since the newest frame shown, as it is played. */
  readonly waitedMs: number
  /** What is typed after `g`; undefined when nothing is asked. */
  readonly prompt: string | undefined
}

export function startPlayer(frames: readonly Frame[], speed: number, fromMs: number): Player {
  return { frames, shown: shownAt(frames, fromMs), playing: true, speed, waitedMs: 0, prompt: undefined }
}

/** Frames up to a time, at least the first. */
function shownAt(frames: readonly Frame[], timeMs: number): number {
  const next = frames.findIndex(frame => frame.timeMs > timeMs)
  return Math.max(Math.min(1, frames.length), next === -1 ? frames.length : next)
}

/** Where the replay stands. */
export function positionMs({ frames, shown }: Player): number {
  return frames[shown - 1]?.timeMs ?? 0
}

/** Time passes. */
export function advance(player: Player, ms: number): Player {
  if (!player.playing) return player
  let { shown, waitedMs } = player
  waitedMs += ms * player.speed
  for (;;) {
    const next = player.frames[shown]
    if (next === undefined) return { ...player, shown, waitedMs: 0, playing: false }
    const pauseMs = Math.min(MAX_PAUSE_MS, next.timeMs - (player.frames[shown - 1]?.timeMs ?? 0))
    if (waitedMs < pauseMs) return { ...player, shown, waitedMs }
    waitedMs -= pauseMs
    shown += 1
  }
}

/** A key; undefined ends the replay. */
export function pressed(player: Player, input: string, key: Key): Player | undefined {
  if (player.prompt !== undefined) return typed(player, player.prompt, input, key)
  if (input === 'q' || key.escape) return undefined
  if (input === ' ') {
    const over = player.shown >= player.frames.length
    return {
      ...player,
      shown: over && !player.playing ? shownAt(player.frames, 0) : player.shown,
      playing: !player.playing,
    }
  }
  const stepTo = (shown: number): Player => ({
    ...player,
    shown: Math.max(Math.min(1, player.frames.length), Math.min(shown, player.frames.length)),
    playing: false,
    waitedMs: 0,
  })
  if (key.rightArrow || input === 'n') return stepTo(player.shown + 1)
  if (key.leftArrow || input === 'p') return stepTo(player.shown - 1)
  if (input === '0') return stepTo(1)
  if (input === '$') return stepTo(player.frames.length)
  if (input === '+' || key.upArrow) return { ...player, speed: otherSpeed(player.speed, 1) }
  if (input === '-' || key.downArrow) return { ...player, speed: otherSpeed(player.speed, -1) }
  if (input === 'g') return { ...player, prompt: '' }
  return player
}

function typed(player: Player, prompt: string, input: string, key: Key): Player {
  if (key.escape) return { ...player, prompt: undefined }
  if (key.backspace || key.delete) return { ...player, prompt: prompt.slice(0, -1) }
  if (!key.return) return { ...player, prompt: (prompt + input.replace(/[^0-9:.]/g, '')).slice(0, MAX_PROMPT_LENGTH) }
  const toMs = parsePosition(prompt)
  if (toMs === undefined) return { ...player, prompt: undefined }
  return { ...player, prompt: undefined, shown: shownAt(player.frames, toMs), waitedMs: 0 }
}

function otherSpeed(speed: number, by: 1 | -1): number {
  const faster = SPEEDS.filter(each => (by === 1 ? each > speed : each < speed))
  return (by === 1 ? faster[0] : faster.at(-1)) ?? speed
}

/** 90, 1:30 and 1:01:30 in milliseconds; undefined for anything else. */
export function parsePosition(text: string): number | undefined {
  if (!/^\d{1,6}(?::[0-5]?\d){0,2}(?:\.\d{1,3})?$/.test(text)) return undefined
  return Math.round(text.split(':').reduce((sum, part) => sum * 60 + Number(part), 0) * 1000)
}

/** 1:05:09. */
export function formatPosition(ms: number): string {
  const seconds = Math.floor(ms / 1000)
  const two = (value: number): string => String(value).padStart(2, '0')
  const hours = Math.floor(seconds / 3600)
  const rest = `${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`
  return hours === 0 ? rest : `${hours}:${rest}`
}
