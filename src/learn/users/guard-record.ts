// What canary checks found for one user.

/** What canary checks found for a user; `learned` counts the turns. */
export interface GuardRecord {
  /** Factor of every step, at most 1. */
  stepScale: number
  rollbacks: number
  /** `learned` at the last check, and the loss that it found (0 before the first). */
  checkedAt: number
  worstLoss: number
  /** `learned` at which to check again. */
  nextCheckAt: number
}

export const createGuardRecord = (): GuardRecord => ({
  stepScale: 1,
  rollbacks: 0,
  checkedAt: 0,
  nextCheckAt: 0,
  worstLoss: 0,
})
