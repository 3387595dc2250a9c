// Where the engine's time goes, and how much it did. Independent of what is measured.

/** The parts of a step: what runs next, prompts, tokens of answers, the choice of tokens. */
export const stepParts = ['schedule', 'read', 'write', 'choose'] as const
export type StepPart = (typeof stepParts)[number]

export interface StepTotals {
  readonly steps: number
  /** Milliseconds by part, since the engine was made. */
  readonly milliseconds: Readonly<Record<StepPart, number>>
  /** Tokens of prompts and of answers that were computed. */
  readonly readTokens: number
  readonly writtenTokens: number
  /** Tokens that were tried before the model had chosen them, and those of them that it chose. */
  readonly draftedTokens: number
  readonly acceptedTokens: number
  /** Sequences that lost their row to an older one. */
  readonly preemptions: number
  readonly finished: number
  readonly cancelled: number
  readonly failed: number
}

type Count = Exclude<keyof StepTotals, 'milliseconds'>

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

  constructor(now: () => number) {
    this.#now = now
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
    return { ...this.#counts, milliseconds }
  }
}
