// How often a drafter is right for one answer, and when it is asked.

/**
 * A drafter is thought to be right this often before anything is known: hopeful, so that it is
 * tried.
 */
const PRIOR_RATE = 0.75
const PRIOR_TOKENS = 2
/** What a token counted counts after one more call. */
const MEMORY = 0.85
/** Tokens that pass before a drafter that did not pay is tried again: doubled each time. */
const FIRST_PAUSE = 8
const LONGEST_PAUSE = 256

export class Acceptance {
  #right = PRIOR_RATE * PRIOR_TOKENS
  #tried = PRIOR_TOKENS
  #pause = FIRST_PAUSE
  /** Length of the sequence from which on it is asked again. */
  #resumesAt = 0
  /** It was paused, and one call decides whether it is asked again. */
  #isOnTrial = false

  /** Chance that a token is right where all before it were. */
  get rate(): number {
    return this.#right / this.#tried
  }

  isPaused(length: number): boolean {
    return length < this.#resumesAt
  }

  /** The next call is a trial, whatever the rate is. */
  get isOnTrial(): boolean {
    return this.#isOnTrial
  }

  /**
   * Tokens that `count` proposed ones are expected to give, with the one that the call always
   * gives.
   */
  expectTokens(count: number): number {
    let sum = 1
    let chance = 1
    for (let i = 0; i < count; i++) sum += chance *= this.rate
    return sum
  }

  /** It does not pay: not asked for a while. */
  pause(length: number): void {
    this.#resumesAt = length + this.#pause
    this.#pause = Math.min(LONGEST_PAUSE, this.#pause * 2)
    this.#isOnTrial = true
  }

  /** Of `proposed` tokens the first `accepted` were right. */
  count(proposed: number, accepted: number): void {
    const tried = Math.min(proposed, accepted + 1) // those behind a wrong one are not known
    this.#right = this.#right * MEMORY + accepted
    this.#tried = this.#tried * MEMORY + tried
    if (!this.#isOnTrial) return
    this.#isOnTrial = false
    if (accepted === proposed) this.#pause = FIRST_PAUSE
  }
}
