// The measurements of a run so far. The loss curve is drawn from them, and a resumed run appends to
// them.

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
