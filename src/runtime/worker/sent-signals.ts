// The abort signals among the arguments of one call: watched as long as the call runs.

import { encodeReason } from './encode-value.ts'
import type { CallMessage } from './messages.ts'

let count = 0

export class SentSignals {
  readonly #post: (message: CallMessage) => void
  readonly #tellers = new Map<AbortSignal, { readonly number: number; tell(): void }>()

  constructor(post: (message: CallMessage) => void) {
    this.#post = post
  }

  /** The signal's number, the same for the same signal. */
  name(signal: AbortSignal): number {
    const known = this.#tellers.get(signal)
    if (known) return known.number
    const number = count++
    const tell = (): void =>
      this.#post({ type: 'abort', signal: number, reason: encodeReason(signal.reason) })
    this.#tellers.set(signal, { number, tell })
    return number
  }

  watch(): void {
    for (const [signal, { tell }] of this.#tellers)
      signal.addEventListener('abort', tell, { once: true })
  }

  unwatch(): void {
    for (const [signal, { tell }] of this.#tellers) signal.removeEventListener('abort', tell)
  }
}
