// The fast tier of one user: a low-rank change of the final hidden state before the head, learned
// without going back through the model. Knows hidden states and their gradients; no tokens, no
// model.

import { getFastKernels } from '../../base/linalg/simd.ts'
import { multiply } from '../../base/linalg/matmul.ts'
import { type Matrix, createMatrix, transpose } from '../../base/linalg/matrix.ts'
import { isAllFinite } from '../../base/finite.ts'
import { NumericError, ShapeError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import { readOptions } from '../../base/schema.ts'
import { f32, type F32Tensor, type Tensor } from '../../base/tensor.ts'
import { adamw } from '../../train/optimizers/adamw.ts'
import { type HeadTierOptions, headTierFields } from './tier-options.ts'

type Part = 'A' | 'B'

/**
 *     h′ = h + B·(A·h)        A: [R, D]   B: [D, R]
 *
 * B starts at zero, so that a new tier changes nothing; A as LoRA's does. With g = ∂loss/∂h′:
 * ∂loss/∂B = Σ g·(A·h)ᵀ, ∂loss/∂A = Σ Bᵀ·g·hᵀ. At the head g is W_headᵀ·(p − y). One Adam step a
 * turn, cut where it would move the turn's hidden states too far.
 */
export class HeadTier {
  readonly width: number
  readonly rank: number
  readonly learningRate: number
  readonly maxRelativeStep: number
  steps = 0
  /**
   * Another object after every change of the weights: what was computed under one holds as long as
   * it is this one.
   */
  version: object = {}
  /** Mean ‖Δh′‖/‖h‖ of the last step, after it was cut. */
  lastRelativeStep = 0
  readonly #weights: Record<Part, Float32Array>
  readonly #means: Record<Part, Float32Array>
  readonly #squares: Record<Part, Float32Array>
  readonly #settings: ReturnType<typeof adamw.complete>
  readonly #seed: number
  #excluded: F32Tensor | undefined

  constructor(width: number, options: HeadTierOptions = {}) {
    const given = readOptions('Fast tier', options, headTierFields)
    const { rank, learningRate, trust, momentum, decay, seed } = given
    this.width = width
    this.rank = rank
    this.learningRate = learningRate
    this.maxRelativeStep = trust
    this.#settings = adamw.complete({ beta1: momentum, weightDecay: decay })
    this.#seed = seed
    const made = (): Record<Part, Float32Array> => ({
      A: new Float32Array(rank * width),
      B: new Float32Array(rank * width),
    })
    this.#weights = made()
    this.#means = made()
    this.#squares = made()
    this.clear()
  }

  /** Back to the start, which changes nothing. */
  clear(): void {
    const { uniform } = random(this.#seed)
    const bound = 1 / Math.sqrt(this.width)
    for (const values of [
      this.#weights.B,
      ...Object.values(this.#means),
      ...Object.values(this.#squares),
    ])
      values.fill(0)
    for (let i = 0; i < this.#weights.A.length; i++)
      this.#weights.A[i] = (2 * uniform() - 1) * bound
    this.steps = 0
    this.lastRelativeStep = 0
    this.version = {}
    this.#removeExcluded(this.#weights.A)
  }

  get A(): F32Tensor {
    return f32([this.rank, this.width], this.#weights.A)
  }

  get B(): F32Tensor {
    return f32([this.width, this.rank], this.#weights.B)
  }

  /** h′ of hidden states [T, D]; a new array. Before the first step a copy. */
  apply(hidden: Float32Array): Float32Array {
    const result = hidden.slice()
    if (this.steps > 0) this.#addUpdate(result, hidden, this.#weights)
    return result
  }

  #rows(values: Float32Array, columns: number): Matrix<Float32Array> {
    if (values.length % columns !== 0)
      throw new ShapeError(`Fast tier: got ${values.length} numbers, expected rows of ${columns}.`)
    return createMatrix(values.length / columns, columns, values)
  }

  /** result += hidden·Aᵀ·Bᵀ */
  #addUpdate(
    result: Float32Array,
    hidden: Float32Array,
    { A, B }: Record<Part, Float32Array>,
  ): void {
    const x = this.#rows(hidden, this.width)
    const low = createMatrix(x.rows, this.rank, new Float32Array(x.rows * this.rank)) // [T, R]
    multiplyInto(low, x, transpose(createMatrix(this.rank, this.width, A)))
    multiply(
      this.#rows(result, this.width),
      low,
      transpose(createMatrix(this.width, this.rank, B)),
      {
        add: true,
        kernel: getFastKernels().f32,
      },
    )
  }

  /** ∂loss/∂A [R, D] and ∂loss/∂B [D, R] from hidden states and ∂loss/∂h′, both [T, D]. */
  gradients(hidden: Float32Array, gradient: Float32Array): Record<Part, Float32Array> {
    const x = this.#rows(hidden, this.width)
    const g = this.#rows(gradient, this.width)
    if (x.rows !== g.rows)
      throw new ShapeError(`Fast tier: got ${x.rows} hidden states and ${g.rows} gradients.`)
    const { A, B } = this.#weights
    const matrix = (rows: number, columns: number) =>
      createMatrix(rows, columns, new Float32Array(rows * columns))
    const low = matrix(x.rows, this.rank)
    const back = matrix(x.rows, this.rank)
    multiplyInto(low, x, transpose(createMatrix(this.rank, this.width, A)))
    multiplyInto(back, g, createMatrix(this.width, this.rank, B))
    const ofA = matrix(this.rank, this.width)
    const ofB = matrix(this.width, this.rank)
    multiplyInto(ofA, transpose(back), x)
    multiplyInto(ofB, transpose(g), low)
    return { A: ofA.data, B: ofB.data }
  }

  /** ∂loss/∂h from ∂loss/∂h′, both [T, D]: g + Aᵀ·Bᵀ·g. A new array. */
  pullBack(gradient: Float32Array): Float32Array {
    const result = gradient.slice()
    if (this.steps === 0) return result
    const g = this.#rows(gradient, this.width)
    const low = createMatrix(g.rows, this.rank, new Float32Array(g.rows * this.rank)) // [T, R]
    multiplyInto(low, g, createMatrix(this.width, this.rank, this.#weights.B))
    multiply(
      this.#rows(result, this.width),
      low,
      createMatrix(this.rank, this.width, this.#weights.A),
      {
        add: true,
        kernel: getFastKernels().f32,
      },
    )
    return result
  }

  /**
   * One step against ∂loss/∂h′ [T, D] at hidden states [T, D]; `scale` multiplies the rate. Throws
   * NumericError where something is NaN or infinite, and nothing has changed then.
   */
  step(hidden: Float32Array, gradient: Float32Array, scale = 1): void {
    if (!isAllFinite(hidden) || !isAllFinite(gradient))
      throw new NumericError('Fast tier: a hidden state or gradient is NaN or infinite.')
    const gradients = this.gradients(hidden, gradient)
    this.steps++
    const moved = {
      A: this.#computeStep('A', gradients.A, scale),
      B: this.#computeStep('B', gradients.B, scale),
    }
    const before = new Float32Array(hidden.length)
    this.#addUpdate(before, hidden, this.#weights)
    const share = (part: number): { weights: Record<Part, Float32Array>; move: number } => {
      const weights = {
        A: this.#stepWeights('A', moved.A, part),
        B: this.#stepWeights('B', moved.B, part),
      }
      return { weights, move: this.#measureRelativeStep(hidden, before, weights) }
    }
    let taken = share(1)
    if (taken.move > this.maxRelativeStep) taken = this.#shortenStep(share)
    this.lastRelativeStep = taken.move
    this.version = {}
    this.#weights.A.set(taken.weights.A)
    this.#weights.B.set(taken.weights.B)
  }

  /**
   * The longest part of a step within the trust region. Far from the start the change grows with
   * the square of the step, so it is sought.
   */
  #shortenStep<Moved extends { readonly move: number }>(share: (part: number) => Moved): Moved {
    let low = 1e-6
    let high = 1
    let taken = share(low)
    for (let tries = 0; tries < 10; tries++) {
      const middle = Math.sqrt(low * high)
      const tried = share(middle)
      if (tried.move > this.maxRelativeStep) high = middle
      else {
        low = middle
        taken = tried
      }
    }
    return taken
  }

  /**
   * From now on leaves hidden states alone that lie in these orthonormal directions U [K, D]: A's
   * steps are taken without their part in them, A ← A − A·Uᵀ·U, and so is the start of a tier that
   * has not learned yet. What it has learned stays.
   */
  excludeDirections(directions: F32Tensor): void {
    if (directions.shape[1] !== this.width)
      throw new ShapeError(
        `Fast tier: directions of shape [${directions.shape.join(', ')}] do not fit the width ${this.width}.`,
      )
    this.#excluded = directions
    if (this.steps > 0) return
    this.#removeExcluded(this.#weights.A)
    this.version = {}
  }

  #removeExcluded(A: Float32Array): void {
    if (!this.#excluded) return
    const [count] = this.#excluded.shape as [number]
    const directions = createMatrix(count, this.width, this.#excluded.data)
    const parts = createMatrix(this.rank, count, new Float32Array(this.rank * count))
    multiplyInto(parts, createMatrix(this.rank, this.width, A), transpose(directions))
    for (let i = 0; i < parts.data.length; i++) parts.data[i]! *= -1
    multiply(createMatrix(this.rank, this.width, A), parts, directions, {
      add: true,
      kernel: getFastKernels().f32,
    })
  }

  /** AdamW's step for one matrix, moments updated. */
  #computeStep(part: Part, gradient: Float32Array, scale: number): Float32Array {
    const weights = this.#weights[part]
    const parameter = weights.slice()
    const state = { mean: this.#means[part], square: this.#squares[part] }
    const step = {
      gradient,
      shape: [gradient.length],
      state,
      step: this.steps,
      learningRate: scale * this.learningRate,
    }
    adamw.update({ parameter, ...step }, this.#settings)
    for (let i = 0; i < parameter.length; i++) parameter[i] = weights[i]! - parameter[i]!
    if (part === 'A') this.#removeExcluded(parameter)
    return parameter
  }

  #stepWeights(part: Part, direction: Float32Array, share: number): Float32Array {
    const weights = this.#weights[part].slice()
    for (let i = 0; i < weights.length; i++) weights[i]! -= share * direction[i]!
    return weights
  }

  /** Mean ‖change under `weights` − `before`‖ / ‖h‖ over the rows. */
  #measureRelativeStep(
    hidden: Float32Array,
    before: Float32Array,
    weights: Record<Part, Float32Array>,
  ): number {
    const after = new Float32Array(hidden.length)
    this.#addUpdate(after, hidden, weights)
    const rows = hidden.length / this.width
    let sum = 0
    for (let t = 0; t < rows; t++) {
      let change = 0
      let length = 0
      for (let i = t * this.width; i < (t + 1) * this.width; i++) {
        change += (after[i]! - before[i]!) ** 2
        length += hidden[i]! ** 2
      }
      sum += Math.sqrt(change / Math.max(length, Number.MIN_VALUE))
    }
    return rows === 0 ? 0 : sum / rows
  }

  /** Tensors that are its state: weights and moments. Not copies. */
  tensors(): Map<string, F32Tensor> {
    const shapes = { A: [this.rank, this.width], B: [this.width, this.rank] }
    const named = { weights: this.#weights, means: this.#means, squares: this.#squares }
    return new Map(
      Object.entries(named).flatMap(([name, parts]) =>
        (['A', 'B'] as const).map(
          (part) => [`fast.${name}.${part}`, f32(shapes[part], parts[part])] as const,
        ),
      ),
    )
  }

  /**
   * Takes back what `tensors` gave, after `steps` steps. Throws ShapeError for a tensor that is
   * missing or of another size; nothing is changed then.
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

const multiplyInto = (target: Matrix, left: Matrix, right: Matrix): void =>
  multiply(target, left, right, { kernel: getFastKernels().f32 })
