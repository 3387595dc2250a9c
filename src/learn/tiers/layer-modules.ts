// Weights and Adam state of a fast tier's target modules: A and B with their moments for each, and
// one step of a module, cut to its trust region. Independent of how gradients are computed.

import type { Adapter } from '../../adapters/index.ts'
import { toInputName } from '../../adapters/keys.ts'
import { assertInternal } from '../../base/errors.ts'
import { f32, type F32Tensor } from '../../base/tensor.ts'
import { adamw } from '../../train/optimizers/adamw.ts'
import type { LowRankPair } from '../kernels/head-update.ts'
import { createChangeNorm, findStepScale } from './step-size.ts'

const partNames = { A: 'lora_A.weight', B: 'lora_B.weight' } as const
export type Part = keyof typeof partNames
export const parts = Object.keys(partNames) as Part[]

/** Numbers of one module. */
export interface ModuleState {
  readonly path: string
  /** PEFT keys of A and B. */
  readonly keys: Readonly<Record<Part, string>>
  readonly weights: Record<Part, Float32Array>
  readonly means: Record<Part, Float32Array>
  readonly squares: Record<Part, Float32Array>
  /** [steps, running mean of the gradient's norm] */
  readonly counts: Float32Array
}

const createPair = (start: Adapter, keys: ModuleState['keys']): Record<Part, Float32Array> => ({
  A: new Float32Array(start.tensors.get(keys.A)!.data.length),
  B: new Float32Array(start.tensors.get(keys.B)!.data.length),
})

/** A module of the adapter that every user starts from, with all numbers at zero. */
export function createModuleState(path: string, start: Adapter): ModuleState {
  const findKey = (part: Part): string => {
    const key = [...start.tensors.keys()].find(
      (name) => toInputName(name) === `${path}.${partNames[part]}`,
    )
    assertInternal(key, `the adapter has no ${part} at ${path}`)
    return key
  }
  const keys = { A: findKey('A'), B: findKey('B') }
  return {
    path,
    keys,
    weights: createPair(start, keys),
    means: createPair(start, keys),
    squares: createPair(start, keys),
    counts: new Float32Array(2),
  }
}

/** Sets the weights to the adapter's and the moments to zero. */
export function clearModule(
  { keys, weights, means, squares, counts }: ModuleState,
  start: Adapter,
) {
  for (const part of parts) {
    weights[part].set(start.tensors.get(keys[part])!.data as Float32Array)
    means[part].fill(0)
    squares[part].fill(0)
  }
  counts.fill(0)
}

/** Tensors of the states as they are saved: weights, moments, counts. Not copies. */
export function collectModuleTensors(
  states: readonly ModuleState[],
  start: Adapter,
): Map<string, F32Tensor> {
  return new Map(
    states.flatMap(({ path, keys, counts, ...numbers }) => [
      ...(['weights', 'means', 'squares'] as const).flatMap((name) =>
        parts.map(
          (part) =>
            [
              `deep.${name}.${toInputName(keys[part])}`,
              f32(start.tensors.get(keys[part])!.shape, numbers[name][part]),
            ] as const,
        ),
      ),
      [`deep.counts.${path}`, f32([2], counts)] as const,
    ]),
  )
}

const sumSquares = (values: Float32Array): number =>
  values.reduce((sum, value) => sum + value * value, 0)

/** Updates each module's running mean of its gradient's norm; `steps`: those before this one. */
export function trackGradientNorms(
  states: readonly ModuleState[],
  gradients: ReadonlyMap<string, F32Tensor>,
  steps: number,
): void {
  for (const { keys, counts } of states) {
    const norm = Math.sqrt(
      parts.reduce((sum, part) => sum + sumSquares(gradients.get(keys[part])!.data), 0),
    )
    // a plain mean over the first ten steps, then an exponential one
    counts[1]! += (norm - counts[1]!) / Math.min(steps + 1, 10)
  }
}

export interface ModuleStep {
  /** By PEFT key. */
  readonly gradients: ReadonlyMap<string, F32Tensor>
  readonly learningRate: number
  readonly settings: ReturnType<typeof adamw.complete>
  readonly rank: number
  /** Factor of B·A. */
  readonly scale: number
  /** ‖W‖ of the module. */
  readonly weightNorm: number
  readonly maxRelativeStep: number
}

/**
 * Adam's step of one module, cut to the share of it within the trust region. Returns the relative
 * step ‖Δ(s·B·A)‖/‖W‖.
 */
export function stepModule(
  { keys, weights, means, squares, counts }: ModuleState,
  { gradients, learningRate, settings, rank, scale, weightNorm, maxRelativeStep }: ModuleStep,
): number {
  const step = ++counts[0]!
  const computeStep = (part: Part): Float32Array => {
    const { data, shape } = gradients.get(keys[part])!
    const parameter = weights[part].slice()
    const state = { mean: means[part], square: squares[part] }
    adamw.update({ parameter, gradient: data, shape, state, step, learningRate }, settings)
    for (let i = 0; i < parameter.length; i++) parameter[i]! -= weights[part][i]!
    return parameter
  }
  const direction: LowRankPair = { A: computeStep('A'), B: computeStep('B') }
  const changeNorm = createChangeNorm(weights, direction, rank)
  const change = (share: number): number =>
    (scale * changeNorm(share)) / Math.max(weightNorm, Number.MIN_VALUE)
  const share = findStepScale(change, maxRelativeStep)
  for (const part of parts)
    for (let i = 0; i < direction[part].length; i++)
      weights[part][i]! += share * direction[part][i]!
  return change(share)
}
