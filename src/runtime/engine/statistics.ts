// Counts the engine's time by part of a step, and its work. Independent of clocks.

/**
 * The parts of a step: scheduling, prefill ('read'), decoding ('write'), and the choice of tokens.
 */
export const stepParts = ['schedule', 'read', 'write', 'choose'] as const
export type StepPart = (typeof stepParts)[number]

/** Upper bounds of a step's tokens; they are vLLM's, so that its dashboards fit. */
export const stepTokenBounds = [1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384]

/** A histogram of the tokens that a step computed, of prompts and answers together. */
export interface StepSizes {
  readonly bounds: readonly number[]
  /** Steps of at most that bound, and of more than the bound before. */
  readonly counts: readonly number[]
  /** Steps that computed any token. */
  readonly steps: number
}

export interface StepTotals {
  readonly steps: number
  readonly sizes: StepSizes
  /** Milliseconds by part, since the engine was made. */
  readonly milliseconds: Readonly<Record<StepPart, number>>
  /** Tokens of prompts and of answers that were computed. */
  readonly readTokens: number
  readonly writtenTokens: number
  /** Drafted tokens, and those of them that the model accepted. */
  readonly draftedTokens: number
  readonly acceptedTokens: number
  /** Sequences that lost their row to an older one. */
  readonly preemptions: number
  readonly finished: number
  readonly cancelled: number
  readonly failed: number
}

type Count = Exclude<keyof StepTotals, 'milliseconds' | 'sizes'>

export class StepClock {
  readonly #now: () => number
  readonly #milliseconds: Record<StepPart, number> = { schedule: 0, read: 0, write: 0, choose: 0 }
  readonly #counts: Record<Count, number> = {
    steps: 0,
    readTokens: 0,
    writtenTokens: 0,
    draftedTokens: 0,
    acceptedTokens: 0,
    preemptions: 0,
    finished: 0,
    cancelled: 0,
    failed: 0,
  }

  readonly #sizes = { counts: stepTokenBounds.map(() => 0), steps: 0, tokens: 0 }

  constructor(now: () => number) {
    this.#now = now
  }

  /** Called after each step: counts it in the histogram. */
  finishStep(): void {
    const { readTokens, writtenTokens } = this.#counts
    const sizes = this.#sizes
    const tokens = readTokens + writtenTokens - sizes.tokens
    if (tokens === 0) return
    const at = stepTokenBounds.findIndex((bound) => tokens <= bound)
    if (at >= 0) sizes.counts[at]!++
    sizes.steps++
    sizes.tokens += tokens
  }

  async time<Result>(part: StepPart, work: () => Promise<Result>): Promise<Result> {
    const started = this.#now()
    try {
      return await work()
    } finally {
      this.#milliseconds[part] += this.#now() - started
    }
  }

  count(what: Count, by = 1): void {
    this.#counts[what] += by
  }

  get totals(): StepTotals {
    const milliseconds = { ...this.#milliseconds }
    const { counts, steps } = this.#sizes
    const sizes = { bounds: stepTokenBounds, counts: [...counts], steps }
    return { ...this.#counts, milliseconds, sizes }
  }
}
