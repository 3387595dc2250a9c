// Values that adapter tensors start from, each for a shape and a generator of the tensor's own.

import type { Random } from '../../base/random.ts'
import { sizeOf } from '../../base/tensor.ts'

type Start = (random: Random) => Float32Array

const each =
  (shape: readonly number[], value: (random: Random) => number): Start =>
  (random) =>
    Float32Array.from({ length: sizeOf(shape) }, () => value(random))

export const filled = (shape: readonly number[], value: number): Start => each(shape, () => value)
export const zeros = (shape: readonly number[]): Start => filled(shape, 0)
export const normal = (shape: readonly number[], deviation: number): Start =>
  each(shape, (random) => deviation * random.normal())

/** Uniform in ±bound. */
export const uniform = (shape: readonly number[], bound: number): Start =>
  each(shape, (random) => bound * (2 * random.uniform() - 1))

/** Kaiming-uniform with a = √5 for a matrix [out, in]: ±1/√in. */
export const kaiming = (shape: readonly [number, number]): Start =>
  uniform(shape, 1 / Math.sqrt(shape[1]))
