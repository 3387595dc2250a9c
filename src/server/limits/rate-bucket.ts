// A rate limit as a token bucket: its capacity is the amount of one minute, and it refills evenly.
// Independent of what is counted; the time is an argument.

const minuteMs = 60_000

export class RateBucket {
  readonly perMinute: number
  #balance: number
  #at: number

  /** Full at the beginning. */
  constructor(perMinute: number, now: number) {
    this.perMinute = perMinute
    this.#balance = perMinute
    this.#at = now
  }

  /** The balance; below zero if more was taken than there was. */
  readBalance(now: number): number {
    const elapsed = Math.max(0, now - this.#at)
    this.#balance = Math.min(this.perMinute, this.#balance + (elapsed * this.perMinute) / minuteMs)
    this.#at = Math.max(this.#at, now)
    return this.#balance
  }

  take(amount: number, now: number): void {
    this.readBalance(now)
    this.#balance -= amount
  }

  /** Milliseconds until the balance is at least `amount`; 0 where it is now. */
  computeWaitMs(amount: number, now: number): number {
    const lacking = Math.min(amount, this.perMinute) - this.readBalance(now)
    return lacking <= 0 ? 0 : (lacking * minuteMs) / this.perMinute
  }
}

/** '0s', '350ms', '1.5s', '6m0s': a duration as OpenAI's headers write it. */
export function formatReset(milliseconds: number): string {
  const rounded = Math.ceil(milliseconds)
  if (rounded === 0) return '0s'
  if (rounded < 1000) return `${rounded}ms`
  const seconds = Math.ceil(rounded / 100) / 10
  if (seconds < 60) return `${seconds}s`
  const whole = Math.ceil(seconds)
  return `${Math.floor(whole / 60)}m${whole % 60}s`
}
