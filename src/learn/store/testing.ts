// Small states for tests of the store: a rank-2 adapter's matrices with momentum, second moments
// and statistics.

import { random } from '../../base/random.ts'
import { f32, type Tensor } from '../../base/tensor.ts'
import type { UserState } from './user-state.ts'

export interface TestState extends UserState {
  readonly tensors: Map<string, Tensor>
  readonly header: Record<string, number | string>
}

/** A state whose numbers follow from the seed; `width` is that of the layer, default 64. */
export function createTestState(seed: number, width = 64): TestState {
  const generator = random(seed)
  const normal = (...shape: number[]): Tensor =>
    f32(
      shape,
      Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => generator.normal()),
    )
  return {
    tensors: new Map([
      ['head.A', normal(2, width)],
      ['head.B', normal(width, 2)],
      ['momentum.head.A', normal(2, width)],
      ['second.head.A', normal(2, width)],
      ['bias', normal(3)],
      ['memory.ids', { dtype: 'i32', shape: [4], data: Int32Array.of(1, -2, 3, seed) }],
    ]),
    header: { samples: seed, meanQuality: 0.1 + 0.2, note: 'ü' },
    exact: ['second.head.A'],
  }
}

/**
 * The largest difference between a tensor's values in two states, as a share of the root mean
 * square of the first.
 */
export function measureStateError(name: string, expected: UserState, got: UserState): number {
  const [a, b] = [expected, got].map(({ tensors }) => tensors.get(name)!.data as Float32Array) as [
    Float32Array,
    Float32Array,
  ]
  const scale = Math.sqrt(a.reduce((sum, value) => sum + value * value, 0) / a.length)
  return a.reduce((worst, value, i) => Math.max(worst, Math.abs(value - b[i]!)), 0) / scale
}

/** Adds to one number of a state's tensor. */
export function nudge(state: UserState, name: string, index = 0, by = 1): void {
  const data = state.tensors.get(name)!.data as Float32Array
  data[index] = data[index]! + by
}
