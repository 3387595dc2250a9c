// What the tests of graphs share: random tensors from a seed, comparison with a clear message,
// symbolic shapes with numbers put in, model folders in memory.

import { expect } from 'vitest'
import { joinBytes } from '../base/concat.ts'
import type { Random } from '../base/random.ts'
import { f32, sizeOf, type F32Tensor, type Tensor } from '../base/tensor.ts'
import type { ByteFolder } from '../formats/byte-source.ts'
import { createMemorySource } from '../formats/memory-source.ts'
import { encodeSafetensors } from '../formats/safetensors/writer.ts'
import { type Dim, readFactor } from './ir.ts'

/** Standard normal numbers. */
export function normal(random: Random, shape: readonly number[], spread = 1): F32Tensor {
  return f32(
    shape,
    Float32Array.from({ length: sizeOf(shape) }, () => spread * random.normal()),
  )
}

/** The tensor in double precision; integers stay. */
export const doubled = (tensor: Tensor): Tensor =>
  tensor.dtype === 'f32'
    ? { dtype: 'f64', shape: tensor.shape, data: new Float64Array(tensor.data as Float32Array) }
    : tensor

/** Largest |a − b|; NaN if either contains NaN. */
export function largestGap(a: Tensor, b: Tensor): number {
  const x = Array.from(a.data as Float32Array, Number)
  const y = Array.from(b.data as Float32Array, Number)
  let worst = 0
  // Math.max keeps NaN
  for (let i = 0; i < y.length; i++) worst = Math.max(worst, Math.abs(x[i]! - y[i]!))
  return worst
}

/** The same relative to the largest |b|, where that is above 1. */
export const distance = (a: Tensor, b: Tensor): number =>
  largestGap(a, b) /
  Array.from(b.data as Float32Array, Number).reduce(
    (most, value) => Math.max(most, Math.abs(value)),
    1,
  )

/** Expects equal shapes and values within `tolerance` (see distance). */
export function expectClose(
  got: Tensor | undefined,
  expected: Tensor,
  tolerance: number,
  what = 'values',
): void {
  expect(got?.shape, `${what}: shape`).toEqual(expected.shape)
  expect(distance(got!, expected), `${what}: distance`).toBeLessThanOrEqual(tolerance)
}

/** A symbolic dimension with numbers for its names: '2*T', 'P+T'. */
export function boundDim(dim: Dim, dims: Readonly<Record<string, number>>): number {
  if (typeof dim === 'number') return dim
  return dim
    .split('+')
    .map((term) =>
      term
        .split('*')
        .reduce((product, factor) => product * readFactor(factor, (name) => dims[name])!, 1),
    )
    .reduce((sum, value) => sum + value)
}

export const boundShape = (
  shape: readonly Dim[],
  dims: Readonly<Record<string, number>>,
): number[] => shape.map((dim) => boundDim(dim, dims))

/** A model folder in memory: text files, and model.safetensors of the given weights. */
export function memoryFolder(
  name: string,
  files: Readonly<Record<string, string>>,
  weights?: ReadonlyMap<string, Tensor>,
): ByteFolder {
  const texts = Object.entries(files).map(
    ([path, text]) => [path, new TextEncoder().encode(text)] as const,
  )
  const contents = new Map<string, Uint8Array>(texts)
  if (weights) contents.set('model.safetensors', joinBytes(encodeSafetensors(weights)))
  return {
    name,
    open: async (path) => {
      const bytes = contents.get(path)
      return bytes && createMemorySource(`${name}/${path}`, bytes)
    },
  }
}
