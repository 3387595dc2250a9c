// Stop strings that may span tokens: holds back text that could be the beginning of one, so that no
// part of it is ever emitted.

import { OptionError } from '../../base/errors.ts'

export interface StopMatcher {
  /**
   * Takes a piece of text; returns what is final now. After a stop string was found it returns
   * nothing more.
   */
  push(text: string): string
  /** What was held back, when no text follows. */
  end(): string
  /** The stop string that was found, if any. */
  readonly found: string | undefined
}

/** Length of the longest end of `text` with which a stop string may begin. */
function countHeldBack(text: string, stops: readonly string[]): number {
  const longest = Math.max(0, ...stops.map((stop) => stop.length - 1))
  for (let length = Math.min(longest, text.length); length > 0; length--) {
    const end = text.slice(text.length - length)
    if (stops.some((stop) => stop.startsWith(end))) return length
  }
  return 0
}

/** Where the earliest stop string begins; of those that begin together the longest. */
function findEarliest(
  text: string,
  stops: readonly string[],
): { at: number; stop: string } | undefined {
  let best: { at: number; stop: string } | undefined
  for (const stop of stops) {
    const at = text.indexOf(stop)
    if (at >= 0 && (!best || at < best.at || (at === best.at && stop.length > best.stop.length)))
      best = { at, stop }
  }
  return best
}

/**
 * A matcher of stop strings, one for each answer. Throws OptionError for an empty string, which
 * would stop everything.
 */
export function createStopMatcher(stops: readonly string[]): StopMatcher {
  if (stops.includes(''))
    throw new OptionError('A stop string is empty; every text would end before it begins.')
  let held = ''
  let found: string | undefined
  return {
    push(text) {
      if (found !== undefined) return ''
      const pending = held + text
      const match = findEarliest(pending, stops)
      found = match?.stop
      const keep = match ? 0 : countHeldBack(pending, stops)
      held = pending.slice(pending.length - keep)
      return match ? pending.slice(0, match.at) : pending.slice(0, pending.length - keep)
    },
    end() {
      const rest = found === undefined ? held : ''
      held = ''
      return rest
    },
    get found() {
      return found
    },
  }
}
