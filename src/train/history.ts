// What a run has measured so far, as plain numbers. The loss curve is drawn from it, and a resumed
// run continues it.

export interface StepRecord {
  readonly step: number
  /** Mean loss of a scored token. */
  readonly loss: number
  readonly learningRate: number
  readonly gradientNorm: number
}

export interface ValidationRecord {
  readonly step: number
  readonly loss: number
}

export interface History {
  readonly steps: readonly StepRecord[]
  readonly validations: readonly ValidationRecord[]
}
