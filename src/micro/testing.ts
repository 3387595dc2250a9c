// Small problems for MicroLoRA's tests: random vectors, targets that a low-rank map reaches, losses
// as separate formulas.

import { random } from '../base/random.ts'
import type { MicroLora } from './micro-lora.ts'
import type { MicroModule } from './module/module.ts'

export function randomVector(length: number, seed: number, size = 1): Float32Array {
  const { normal } = random(seed)
  return Float32Array.from({ length }, () => size * normal())
}

/** A module with B that is not zero, so that every gradient is alive. */
export function awaken(module: MicroModule, seed = 7): void {
  const { parameterCount } = module.layout
  module.write('weights', randomVector(parameterCount, seed, 0.3))
}

/** scale·B·A·x + bias in 64-bit numbers, straight from the formula. */
export function slowForward(
  module: MicroModule,
  weights: ArrayLike<number>,
  x: ArrayLike<number>,
): number[] {
  const { rank, inFeatures, outFeatures, parameterCount } = module.layout
  const endOfA = rank * inFeatures
  const endOfB = endOfA + rank * outFeatures
  const low = Array.from({ length: rank }, (_, r) => {
    let sum = 0
    for (let i = 0; i < inFeatures; i++) sum += weights[r * inFeatures + i]! * x[i]!
    return sum
  })
  return Array.from({ length: outFeatures }, (_, o) => {
    let sum = parameterCount > endOfB ? weights[endOfB + o]! : 0
    for (let r = 0; r < rank; r++)
      sum += module.scale * weights[endOfA + r * outFeatures + o]! * low[r]!
    return sum
  })
}

export const halfSquaredError = (y: ArrayLike<number>, target: ArrayLike<number>): number =>
  Array.from(target).reduce((sum, value, i) => sum + 0.5 * (y[i]! - value) ** 2, 0)

/** The gradient of `loss` by central differences, in 64-bit numbers. */
export function differences(
  weights: ArrayLike<number>,
  loss: (weights: number[]) => number,
  step = 1e-5,
): number[] {
  const at = Array.from(weights)
  return at.map((value, i) => {
    const moved = (by: number): number => loss(at.with(i, value + by))
    return (moved(step) - moved(-step)) / (2 * step)
  })
}

/** Largest difference as a share of the largest value. */
export function measureRelativeError(got: ArrayLike<number>, expected: ArrayLike<number>): number {
  let most = 1e-30
  let error = 0
  for (let i = 0; i < expected.length; i++) {
    most = Math.max(most, Math.abs(expected[i]!))
    error = Math.max(error, Math.abs(got[i]! - expected[i]!))
  }
  return error / most
}

/** A map of low rank to be learned: inputs and their outputs. */
export function problem(rank: number, seed: number, { nIn, nOut } = { nIn: 12, nOut: 8 }) {
  const a = randomVector(rank * nIn, seed)
  const b = randomVector(rank * nOut, seed + 1)
  const { normal } = random(seed + 2)
  return () => {
    const input = Float32Array.from({ length: nIn }, normal)
    const low = Array.from({ length: rank }, (_, r) =>
      input.reduce((sum, value, i) => sum + (value * a[r * nIn + i]!) / Math.sqrt(nIn), 0),
    )
    return {
      input,
      target: Float32Array.from({ length: nOut }, (_, o) =>
        low.reduce((sum, value, r) => sum + value * b[r * nOut + o]!, 0),
      ),
    }
  }
}

/** Mean of ½‖y − target‖² over examples. */
export function meanLoss(lora: MicroLora, next: ReturnType<typeof problem>, count = 50): number {
  let sum = 0
  for (let i = 0; i < count; i++) {
    const { input, target: wanted } = next()
    sum += halfSquaredError(lora.forward(input), wanted) / count
  }
  return sum
}
