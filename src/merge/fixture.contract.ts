// What the tests of merging share: small random adapters, their ΔW written out by the definition,
// and distances.

import { expect } from 'vitest'
import type { Adapter } from '../adapters/adapter.ts'
import { getKind } from '../adapters/kinds/kind-table.ts'
import { f32, type Tensor } from '../base/tensor.ts'
import { random } from '../base/random.ts'

/** Paths with [out, in]. */
export type Shapes = Readonly<Record<string, readonly [number, number]>>

export const smallShapes: Shapes = {
  'model.layers.0.self_attn.q_proj': [12, 9],
  'model.layers.0.mlp.down_proj': [7, 14],
}

export interface RandomAdapterOptions {
  readonly seed: number
  readonly rank?: number
  readonly shapes?: Shapes
  readonly config?: Readonly<Record<string, unknown>>
}

/** A LoRA adapter with normal A and B; scale 2 unless the configuration says otherwise. */
export function createRandomAdapter({
  seed,
  rank = 3,
  shapes = smallShapes,
  config = {},
}: RandomAdapterOptions): Adapter {
  const { normal } = random(seed)
  const tensors = new Map<string, Tensor>()
  for (const [path, [rows, columns]] of Object.entries(shapes)) {
    tensors.set(
      `base_model.model.${path}.lora_A.weight`,
      f32([rank, columns], Float32Array.from({ length: rank * columns }, normal)),
    )
    tensors.set(
      `base_model.model.${path}.lora_B.weight`,
      f32([rows, rank], Float32Array.from({ length: rows * rank }, normal)),
    )
  }
  const targets = Object.keys(shapes).map((path) => path.slice(path.lastIndexOf('.') + 1))
  return {
    kind: 'lora',
    config: getKind('lora').complete({ rank, alpha: 2 * rank, targets, ...config }),
    tensors,
  }
}

/** Changes what a configuration says, not its tensors. */
export const withConfig = (
  adapter: Adapter,
  config: Readonly<Record<string, unknown>>,
): Adapter => ({
  ...adapter,
  config: { ...adapter.config, ...config } as Adapter['config'],
})

/** Its own patternValue, so that the expectation does not come from the code under test. */
const selectPatternValue = (
  patterns: Readonly<Record<string, number>>,
  path: string,
  otherwise: number,
): number =>
  Object.entries(patterns).find(([pattern]) =>
    new RegExp(`(^|\\.)(${pattern})$`).test(path),
  )?.[1] ?? otherwise

/** s·B·A of each module, by path, summed in double precision. */
export function computeDeltas({ config, tensors }: Adapter): Map<string, Float64Array> {
  const { alpha, rankStabilized, alphaPattern } = config as unknown as {
    alpha: number
    rankStabilized: boolean
    alphaPattern: Record<string, number>
  }
  const deltas = new Map<string, Float64Array>()
  for (const [key, a] of tensors) {
    const path = /^base_model\.model\.(.*)\.lora_A\.weight$/.exec(key)?.[1]
    if (path === undefined) continue
    const b = tensors.get(`base_model.model.${path}.lora_B.weight`)!
    const [rank, columns] = a.shape as [number, number]
    const scale =
      selectPatternValue(alphaPattern, path, alpha) / (rankStabilized ? Math.sqrt(rank) : rank)
    deltas.set(
      path,
      multiplyFactors(
        b.data as Float32Array,
        a.data as Float32Array,
        b.shape[0]!,
        rank,
        columns,
        scale,
      ),
    )
  }
  return deltas
}

function multiplyFactors(
  b: Float32Array,
  a: Float32Array,
  rows: number,
  rank: number,
  columns: number,
  scale: number,
): Float64Array {
  return Float64Array.from({ length: rows * columns }, (_, i) => {
    let sum = 0
    for (let r = 0; r < rank; r++)
      sum += b[Math.floor(i / columns) * rank + r]! * a[r * columns + (i % columns)]!
    return scale * sum
  })
}

/** Σ w·ΔW by path; adapters that lack a module count as zero there. */
export function sumDeltas(
  adapters: readonly Adapter[],
  weights: readonly number[],
): Map<string, Float64Array> {
  const sums = new Map<string, Float64Array>()
  adapters.forEach((adapter, k) => {
    for (const [path, delta] of computeDeltas(adapter)) {
      const sum = sums.get(path) ?? new Float64Array(delta.length)
      sums.set(
        path,
        sum.map((value, i) => value + weights[k]! * delta[i]!),
      )
    }
  })
  return sums
}

export const computeNorm = (values: ArrayLike<number>): number =>
  Math.sqrt(Array.from(values).reduce((sum, value) => sum + value * value, 0))

/** ‖a − b‖ / ‖b‖ */
export const computeDistance = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  computeNorm(Array.from(a, (value, i) => value - b[i]!)) / (computeNorm(b) || 1)

/** Every module of both, and none beside. */
export function expectClose(
  got: ReadonlyMap<string, ArrayLike<number>>,
  expected: ReadonlyMap<string, ArrayLike<number>>,
  within: number,
): void {
  expect([...got.keys()].sort()).toEqual([...expected.keys()].sort())
  for (const [path, values] of expected)
    expect(computeDistance(got.get(path)!, values)).toBeLessThan(within)
}
