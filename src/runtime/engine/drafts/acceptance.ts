// The acceptance rate of one drafter in one answer, and when the drafter is used.

/** The assumed acceptance rate before any is measured: high, so that the drafter is tried. */
const PRIOR_RATE = 0.75
const PRIOR_TOKENS = 2
/** Decay of a counted token's weight with each further call. */
const MEMORY = 0.85
/** Tokens until a drafter that did not pay off is tried again; doubled each time. */
const FIRST_PAUSE = 8
const LONGEST_PAUSE = 256

export class Acceptance {
  #right = PRIOR_RATE * PRIOR_TOKENS
  #tried = PRIOR_TOKENS
  #pause = FIRST_PAUSE
  /** Length of the sequence at which the drafter is used again. */
  #resumesAt = 0
  /** It was paused, and the next call decides whether it is used again. */
  #isOnTrial = false

  /** Probability that a token is accepted if all drafted tokens before it were. */
  get rate(): number {
    return this.#right / this.#tried
  }

  isPaused(length: number): boolean {
    return length < this.#resumesAt
  }

  /** Whether the next call is a trial, independent of the rate. */
  get isOnTrial(): boolean {
    return this.#isOnTrial
  }

  /**
   * Expected tokens of a call with `count` drafted ones, including the one that every call yields.
   */
  expectTokens(count: number): number {
    let sum = 1
    let chance = 1
    for (let i = 0; i < count; i++) sum += chance *= this.rate
    return sum
  }

  /** Pauses the drafter, because it does not pay off. */
  pause(length: number): void {
    this.#resumesAt = length + this.#pause
    this.#pause = Math.min(LONGEST_PAUSE, this.#pause * 2)
    this.#isOnTrial = true
  }

  /** Records that the first `accepted` of `proposed` tokens were accepted. */
  count(proposed: number, accepted: number): void {
    const tried = Math.min(proposed, accepted + 1) // nothing is known about those after a rejected one
    this.#right = this.#right * MEMORY + accepted
    this.#tried = this.#tried * MEMORY + tried
    if (!this.#isOnTrial) return
    this.#isOnTrial = false
    if (accepted === proposed) this.#pause = FIRST_PAUSE
  }
}
