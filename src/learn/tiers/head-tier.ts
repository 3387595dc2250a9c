// The head tier of one user: a low-rank change of the final hidden state before the head, learned
// without a backward pass through the layers. kernels/head-update.ts has the arithmetic. Independent of:
// tokens, models.

import { NumericError, ShapeError } from '../../base/errors.ts'
import { isAllFinite } from '../../base/finite.ts'
import { multiply } from '../../base/linalg/matmul.ts'
import { createMatrix, transpose } from '../../base/linalg/matrix.ts'
import { getFastKernels } from '../../base/linalg/simd.ts'
import { readOptions } from '../../base/schema.ts'
import { f32, type F32Tensor, type Tensor } from '../../base/tensor.ts'
import type { ModuleMemory } from '../../micro/module/memory.ts'
import {
  addHeadUpdate,
  addPulledBack,
  computeHeadGradients,
  createHeadState,
  getHeadMemory,
  type HeadState,
  initializeHeadState,
  type LowRankPair,
  stepHead,
} from '../kernels/head-update.ts'
import { type HeadTierOptions, headTierFields } from './tier-options.ts'

/**
 *     h′ = h + B·(A·h)        A: [R, D]   B: [D, R]
 *
 * B starts at zero, so that a new tier changes nothing; A as LoRA's does. With g = ∂loss/∂h′:
 * ∂loss/∂B = Σ g·(A·h)ᵀ, ∂loss/∂A = Σ Bᵀ·g·hᵀ. At the head g is W_headᵀ·(p − y). One Adam step a
 * turn, shortened where it would move the turn's hidden states too far.
 */
export class HeadTier {
  readonly width: number
  readonly rank: number
  readonly learningRate: number
  readonly maxRelativeStep: number
  steps = 0
  /**
   * Another object after every change of the weights, so that results can be cached by it.
   */
  version: object = {}
  /** Mean ‖Δh′‖/‖h‖ of the last step, after it was shortened. */
  lastRelativeStep = 0
  readonly #memory: ModuleMemory
  readonly #state: HeadState
  readonly #decay: number
  readonly #seed: number
  #excluded: F32Tensor | undefined

  constructor(width: number, options: HeadTierOptions = {}) {
    const given = readOptions('Fast tier', options, headTierFields)
    const { rank, learningRate, trust, momentum, decay, seed } = given
    this.width = width
    this.rank = rank
    this.learningRate = learningRate
    this.maxRelativeStep = trust
    this.#memory = getHeadMemory(width, rank, momentum)
    this.#state = createHeadState(width, rank)
    this.#decay = decay
    this.#seed = seed
    this.clear()
  }

  /** Back to the start, which changes nothing. */
  clear(): void {
    initializeHeadState(this.#state, this.width, this.#seed)
    this.steps = 0
    this.lastRelativeStep = 0
    this.version = {}
    this.#removeExcluded(this.#state.weights.A)
  }

  get A(): F32Tensor {
    return f32([this.rank, this.width], this.#state.weights.A)
  }

  get B(): F32Tensor {
    return f32([this.width, this.rank], this.#state.weights.B)
  }

  /** h′ of hidden states [T, D]; a new array. Before the first step a copy. */
  apply(hidden: Float32Array): Float32Array {
    const result = hidden.slice()
    countRows(hidden, this.width)
    if (this.steps > 0) addHeadUpdate(this.#memory, this.#state.weights, hidden, result)
    return result
  }

  #checkRows(hidden: Float32Array, gradient: Float32Array): void {
    const states = countRows(hidden, this.width)
    const gradients = countRows(gradient, this.width)
    if (states !== gradients)
      throw new ShapeError(`Fast tier: got ${states} hidden states and ${gradients} gradients.`)
  }

  /** ∂loss/∂A [R, D] and ∂loss/∂B [D, R] from hidden states and ∂loss/∂h′, both [T, D]. */
  gradients(hidden: Float32Array, gradient: Float32Array): LowRankPair {
    this.#checkRows(hidden, gradient)
    return computeHeadGradients(this.#memory, this.#state.weights, hidden, gradient)
  }

  /** ∂loss/∂h from ∂loss/∂h′, both [T, D]: g + Aᵀ·Bᵀ·g. A new array. */
  pullBack(gradient: Float32Array): Float32Array {
    const result = gradient.slice()
    countRows(gradient, this.width)
    if (this.steps > 0) addPulledBack(this.#memory, this.#state.weights, gradient, result)
    return result
  }

  /**
   * One step against ∂loss/∂h′ [T, D] at hidden states [T, D]; `scale` multiplies the rate. Throws
   * NumericError if something is NaN or infinite; then nothing has changed.
   */
  step(hidden: Float32Array, gradient: Float32Array, scale = 1): void {
    if (!isAllFinite(hidden) || !isAllFinite(gradient))
      throw new NumericError('Fast tier: a hidden state or gradient is NaN or infinite.')
    this.#checkRows(hidden, gradient)
    this.lastRelativeStep = stepHead(this.#memory, this.#state, {
      hidden,
      gradient,
      step: this.steps + 1,
      learningRate: scale * this.learningRate,
      decay: this.#decay,
      maxRelativeStep: this.maxRelativeStep,
      ...(this.#excluded && { project: (ofA: Float32Array) => this.#removeExcluded(ofA) }),
    })
    this.steps++
    this.version = {}
  }

  /**
   * From now on does not change hidden states in these orthonormal directions U [K, D]: A's steps
   * are taken without their part in them, A ← A − A·Uᵀ·U, and so is the start of a tier that has
   * not learned yet. What it has learned stays.
   */
  excludeDirections(directions: F32Tensor): void {
    if (directions.shape[1] !== this.width)
      throw new ShapeError(
        `Fast tier: directions of shape [${directions.shape.join(', ')}] do not fit the width ${this.width}.`,
      )
    this.#excluded = directions
    if (this.steps > 0) return
    this.#removeExcluded(this.#state.weights.A)
    this.version = {}
  }

  #removeExcluded(A: Float32Array): void {
    if (!this.#excluded) return
    const kernel = getFastKernels().f32
    const [count] = this.#excluded.shape as [number]
    const directions = createMatrix(count, this.width, this.#excluded.data)
    const rows = createMatrix(this.rank, this.width, A)
    const parts = createMatrix(this.rank, count, new Float32Array(this.rank * count))
    multiply(parts, rows, transpose(directions), { kernel })
    for (let i = 0; i < parts.data.length; i++) parts.data[i]! *= -1
    multiply(rows, parts, directions, { add: true, kernel })
  }

  /** Its state as tensors: weights and moments. Not copies. */
  tensors(): Map<string, F32Tensor> {
    const shapes = { A: [this.rank, this.width], B: [this.width, this.rank] }
    return new Map(
      Object.entries(this.#state).flatMap(([name, pair]: [string, LowRankPair]) =>
        (['A', 'B'] as const).map(
          (part) => [`fast.${name}.${part}`, f32(shapes[part], pair[part])] as const,
        ),
      ),
    )
  }

  /**
   * Restores what `tensors` returned, after `steps` steps. Throws ShapeError for a tensor that is
   * missing or of another size; then nothing has changed.
   */
  restore(tensors: ReadonlyMap<string, Tensor>, steps: number): void {
    const own = [...this.tensors()]
    const wrong = own.filter(
      ([name, { data }]) =>
        tensors.get(name)?.dtype !== 'f32' || tensors.get(name)!.data.length !== data.length,
    )
    if (wrong.length > 0)
      throw new ShapeError(
        `Fast tier of rank ${this.rank} and width ${this.width}: ${wrong.map(([name]) => name).join(', ')} do not fit.`,
      )
    for (const [name, { data }] of own) data.set(tensors.get(name)!.data as Float32Array)
    this.steps = steps
    this.version = {}
  }
}

function countRows(values: Float32Array, width: number): number {
  if (values.length % width === 0) return values.length / width
  throw new ShapeError(`Fast tier: got ${values.length} values, expected rows of ${width}.`)
}
