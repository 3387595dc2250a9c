// The state of a linear bandit: for each arm ridge regression of the reward on the context, updated
// one reward at a time. Independent of texts and of how an arm is chosen.

/** Expected reward of an arm in a context, and the standard deviation of the estimate. */
export interface ArmEstimate {
  readonly mean: number
  readonly deviation: number
}

/** The reward assumed before any observation; the regression fits the difference from it. */
export const priorReward = 0.5

interface Arm {
  /** (λ·1 + Σ x·xᵀ)⁻¹, [D, D] */
  readonly inverse: Float64Array
  /** Σ (r − ½)·x, [D] */
  readonly moment: Float64Array
  /** Rewards it was updated by. */
  count: number
}

/** The arms of a bandit, for contexts of one width. */
export class LinearArms {
  readonly width: number // D
  readonly #arms: Arm[]

  constructor(arms: number, width: number, ridge: number) {
    this.width = width
    this.#arms = Array.from({ length: arms }, () => createArm(width, ridge))
  }

  get size(): number {
    return this.#arms.length
  }

  /** Rewards that all arms together were updated by. */
  get rewards(): number {
    return this.#arms.reduce((sum, { count }) => sum + count, 0)
  }

  addArm(ridge: number): void {
    this.#arms.push(createArm(this.width, ridge))
  }

  /** mean = ½ + xᵀ·A⁻¹·b, deviation = √(xᵀ·A⁻¹·x). */
  estimate(arm: number, x: Float64Array): ArmEstimate {
    const { inverse, moment } = this.#arms[arm]!
    const spread = multiplySquare(inverse, x)
    return {
      mean: priorReward + computeDot(spread, moment),
      deviation: Math.sqrt(Math.max(0, computeDot(spread, x))),
    }
  }

  /** Takes one reward into account (Sherman and Morrison 1950). */
  update(arm: number, x: Float64Array, reward: number): void {
    const own = this.#arms[arm]!
    const spread = multiplySquare(own.inverse, x)
    const scale = 1 / (1 + computeDot(spread, x))
    for (let i = 0, at = 0; i < x.length; i++)
      for (let j = 0; j < x.length; j++, at++) own.inverse[at]! -= scale * spread[i]! * spread[j]!
    for (let i = 0; i < x.length; i++) own.moment[i]! += (reward - priorReward) * x[i]!
    own.count++
  }

  /** All inverses [arms·D·D], all moments [arms·D], and the counts. */
  read(): { inverses: Float32Array; moments: Float32Array; counts: Int32Array } {
    return {
      inverses: Float32Array.from(this.#arms.flatMap(({ inverse }) => [...inverse])),
      moments: Float32Array.from(this.#arms.flatMap(({ moment }) => [...moment])),
      counts: Int32Array.from(this.#arms, ({ count }) => count),
    }
  }

  /** Restores what `read` gave. */
  restore(inverses: Float32Array, moments: Float32Array, counts: Int32Array): void {
    const { width } = this
    for (const [i, arm] of this.#arms.entries()) {
      arm.inverse.set(inverses.subarray(i * width * width, (i + 1) * width * width))
      arm.moment.set(moments.subarray(i * width, (i + 1) * width))
      arm.count = counts[i]!
    }
  }
}

function createArm(width: number, ridge: number): Arm {
  const inverse = new Float64Array(width * width)
  for (let i = 0; i < width; i++) inverse[i * (width + 1)] = 1 / ridge
  return { inverse, moment: new Float64Array(width), count: 0 }
}

function multiplySquare(matrix: Float64Array, x: Float64Array): Float64Array {
  const out = new Float64Array(x.length)
  for (let i = 0, at = 0; i < x.length; i++) {
    let sum = 0
    for (let j = 0; j < x.length; j++, at++) sum += matrix[at]! * x[j]!
    out[i] = sum
  }
  return out
}

function computeDot(a: Float64Array, b: Float64Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!
  return sum
}
