// Initial values of adapter tensors, each for a shape and the tensor's own generator.

import type { Random } from '../../base/random.ts'
import { sizeOf } from '../../base/tensor.ts'

type Initializer = (random: Random) => Float32Array

const createInitializer =
  (shape: readonly number[], value: (random: Random) => number): Initializer =>
  (random) =>
    Float32Array.from({ length: sizeOf(shape) }, () => value(random))

export const fillConstant = (shape: readonly number[], value: number): Initializer =>
  createInitializer(shape, () => value)
export const fillZeros = (shape: readonly number[]): Initializer => fillConstant(shape, 0)
export const drawNormal = (shape: readonly number[], deviation: number): Initializer =>
  createInitializer(shape, (random) => deviation * random.normal())

/** Uniform in ±bound. */
export const drawUniform = (shape: readonly number[], bound: number): Initializer =>
  createInitializer(shape, (random) => bound * (2 * random.uniform() - 1))

/** Kaiming-uniform with a = √5 for a matrix [out, in]: ±1/√in. */
export const drawKaiming = (shape: readonly [number, number]): Initializer =>
  drawUniform(shape, 1 / Math.sqrt(shape[1]))
