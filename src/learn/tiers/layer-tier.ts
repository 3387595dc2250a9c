// The fast tier of one user in modules of a model's layers: a small live LoRA there, one Adam step
// a turn, from the states that serving computed already. Knows hidden states and their errors; no
// tokens, no head, no text.

import { type Adapter, toInputName } from '../../adapters/index.ts'
import { assertInternal, NumericError, OptionError, ShapeError } from '../../base/errors.ts'
import { isAllFinite } from '../../base/finite.ts'
import { f32, type F32Tensor, type Tensor } from '../../base/tensor.ts'
import { adamw } from '../../train/optimizers/adamw.ts'
import type { TailInput, TailProgram } from '../../train/programs/tail-program.ts'
import { createChangeNorm, type LowRankPair, findStepScale } from './step-size.ts'

export interface LayerTierOptions {
  /** Adam's step; 5e-3 unless given (docs/learn.md: what other rates give). */
  readonly learningRate?: number
  /** No step changes a module's weight by more than this share of its norm. 0.01 unless given. */
  readonly trust?: number
  /** Of the running mean of gradients; 0.9 unless given. */
  readonly momentum?: number
  /** Share of the weights taken off at a step, times the learning rate; 0 unless given. */
  readonly decay?: number
}

export interface LayerTierParts {
  /** Shared by all users. */
  readonly program: TailProgram
  /** What a user starts from, which changes nothing. */
  readonly start: Adapter
  /**
   * Paths of the modules that are learned, each with a matrix A and a matrix B among the adapter's
   * tensors.
   */
  readonly modules: readonly string[]
  /** Modules stepped at a turn. */
  readonly top: number | undefined
  /** What B·A is multiplied by. */
  readonly scale: number
  readonly rank: number
}

/** One sequence's states as they enter the lowest layer [T, D], and the positions looked at. */
export type LayerTierInput = Omit<TailInput, 'tensors'>

const partNames = { A: 'lora_A.weight', B: 'lora_B.weight' } as const
type Part = keyof typeof partNames
const parts = Object.keys(partNames) as Part[]

/** Numbers of one module. */
interface ModuleState {
  readonly path: string
  readonly keys: Readonly<Record<Part, string>>
  readonly weights: Record<Part, Float32Array>
  readonly means: Record<Part, Float32Array>
  readonly squares: Record<Part, Float32Array>
  /** [steps, running mean of the gradient's norm] */
  readonly counts: Float32Array
}

/**
 * y = W·x + s·B·(A·x) in the chosen modules ∂loss/∂(A, B) = pull-back of ∂loss/∂h through the
 * layers from the lowest one on
 *
 * B starts at zero, so that a new tier changes nothing. A step is Adam's, module by module, cut
 * where it would change the module's weight too much. With `top` only the modules of the largest
 * gradients (running mean) take it.
 */
export class LayerTier {
  readonly learningRate: number
  readonly maxRelativeStep: number
  steps = 0
  /** The largest ‖Δ(s·B·A)‖/‖W‖ of the last step, after it was cut. */
  lastRelativeStep = 0
  /** The modules that took the last step. */
  lastModules: readonly string[] = []
  readonly #settings: ReturnType<typeof adamw.complete>
  readonly #parts: LayerTierParts
  readonly #states: readonly ModuleState[]
  #adapter: Adapter | undefined

  constructor(
    given: LayerTierParts,
    { learningRate = 5e-3, trust = 0.01, momentum = 0.9, decay = 0 }: LayerTierOptions = {},
  ) {
    const rules: readonly (readonly [boolean, string])[] = [
      [
        learningRate > 0 && Number.isFinite(learningRate),
        `learningRate is ${learningRate}, expected a number above 0`,
      ],
      [trust > 0, `trust is ${trust}, expected a number above 0`],
      [momentum >= 0 && momentum < 1, `momentum is ${momentum}, expected 0 or a number below 1`],
      [decay >= 0 && Number.isFinite(decay), `decay is ${decay}, expected a number ≥ 0`],
    ]
    const broken = rules.flatMap(([holds, message]) => (holds ? [] : [message]))
    if (broken.length > 0) throw new OptionError(`Fast tier on layers: ${broken.join('; ')}.`)
    this.learningRate = learningRate
    this.maxRelativeStep = trust
    this.#settings = adamw.complete({ beta1: momentum, weightDecay: decay })
    this.#parts = given
    this.#states = given.modules.map((path) => createModuleState(path, given))
    this.clear()
  }

  /** Back to the start, which changes nothing. */
  clear(): void {
    for (const { keys, weights, means, squares, counts } of this.#states) {
      for (const part of parts) {
        weights[part].set(this.#parts.start.tensors.get(keys[part])!.data as Float32Array)
        means[part].fill(0)
        squares[part].fill(0)
      }
      counts.fill(0)
    }
    this.steps = 0
    this.lastRelativeStep = 0
    this.lastModules = []
    this.#adapter = undefined
  }

  /**
   * What serves it, alone or in a mixture: an object of its own for each step, whose numbers stay.
   * Undefined before the first one.
   */
  get adapter(): Adapter | undefined {
    if (this.steps === 0) return undefined
    const { start } = this.#parts
    return (this.#adapter ??= {
      ...start,
      tensors: new Map(
        [...this.#currentTensors()].map(([key, { shape, data }]) => [
          key,
          f32(shape, data.slice()),
        ]),
      ),
    })
  }

  #currentTensors(): Map<string, F32Tensor> {
    const { tensors } = this.#parts.start
    return new Map(
      this.#states.flatMap(({ keys, weights }) =>
        parts.map((part) => [keys[part], f32(tensors.get(keys[part])!.shape, weights[part])]),
      ),
    )
  }

  /** Final hidden states [M, D] of the positions looked at, as this user's model has them. */
  hidden(input: LayerTierInput): Promise<F32Tensor> {
    return this.#parts.program.hidden({ ...input, tensors: this.#currentTensors() })
  }

  /** ∂(Σ error·hidden) by PEFT key. */
  gradients(input: LayerTierInput, error: F32Tensor): Promise<Map<string, F32Tensor>> {
    return this.#parts.program.pullBack({ ...input, tensors: this.#currentTensors() }, error)
  }

  /**
   * One step against ∂loss/∂hidden [M, D]; `scale` multiplies the rate. Throws NumericError where
   * something is NaN or infinite, and nothing has changed then.
   */
  async step(input: LayerTierInput, error: F32Tensor, scale = 1): Promise<void> {
    if (!isAllFinite(input.states.data) || !isAllFinite(error.data))
      throw new NumericError('Fast tier on layers: a hidden state or gradient is NaN or infinite.')
    const gradients = await this.gradients(input, error)
    if ([...gradients.values()].some(({ data }) => !isAllFinite(data)))
      throw new NumericError('Fast tier on layers: the gradient is NaN or infinite.')
    const norms = new Map<string, number>()
    for (const { path } of this.#states) norms.set(path, await this.#parts.program.weightNorm(path))
    // From here on nothing waits: a step is taken whole.
    const chosen = this.#selectModules(gradients)
    const moves = chosen.map((own) => this.#stepModule(own, gradients, scale, norms.get(own.path)!))
    this.steps++
    this.lastRelativeStep = Math.max(...moves)
    this.lastModules = chosen.map(({ path }) => path)
    this.#adapter = undefined
  }

  /** All modules, or those whose gradients have been largest. */
  #selectModules(gradients: ReadonlyMap<string, F32Tensor>): readonly ModuleState[] {
    const { top } = this.#parts
    if (top === undefined || top >= this.#states.length) return this.#states
    for (const { keys, counts } of this.#states) {
      const norm = Math.sqrt(
        parts.reduce((sum, part) => sum + sumSquares(gradients.get(keys[part])!.data), 0),
      )
      // a mean at first, then one that forgets
      counts[1]! += (norm - counts[1]!) / Math.min(this.steps + 1, 10)
    }
    const order = this.#states.toSorted((a, b) => b.counts[1]! - a.counts[1]!).slice(0, top)
    return this.#states.filter((own) => order.includes(own))
  }

  /**
   * Adam's step of one module, the part of it within the trust region; returns how much of the
   * weight that was.
   */
  #stepModule(
    { keys, weights, means, squares, counts }: ModuleState,
    gradients: ReadonlyMap<string, F32Tensor>,
    scale: number,
    norm: number,
  ): number {
    const { rank, scale: factor } = this.#parts
    const step = ++counts[0]!
    const moved = (part: Part): Float32Array => {
      const { data, shape } = gradients.get(keys[part])!
      const parameter = weights[part].slice()
      const state = { mean: means[part], square: squares[part] }
      adamw.update(
        { parameter, gradient: data, shape, state, step, learningRate: scale * this.learningRate },
        this.#settings,
      )
      for (let i = 0; i < parameter.length; i++) parameter[i]! -= weights[part][i]!
      return parameter
    }
    const move: LowRankPair = { A: moved('A'), B: moved('B') }
    const along = createChangeNorm(weights, move, rank)
    const change = (share: number): number =>
      (factor * along(share)) / Math.max(norm, Number.MIN_VALUE)
    const share = findStepScale(change, this.maxRelativeStep)
    for (const part of parts)
      for (let i = 0; i < move[part].length; i++) weights[part][i]! += share * move[part][i]!
    return change(share)
  }

  get rank(): number {
    return this.#parts.rank
  }

  /** Paths of the modules it lies in. */
  get modules(): readonly string[] {
    return this.#parts.modules
  }

  /** Numbers a turn learns. */
  get parameters(): number {
    return this.#states.reduce((sum, { weights }) => sum + weights.A.length + weights.B.length, 0)
  }

  /** Weights and moments, in bytes. */
  get sizeBytes(): number {
    return 12 * this.parameters + 8 * this.#states.length
  }

  /** Tensors that are its state: weights, moments, counts. Not copies. */
  tensors(): Map<string, F32Tensor> {
    const { tensors } = this.#parts.start
    return new Map(
      this.#states.flatMap(({ path, keys, counts, ...numbers }) => [
        ...(['weights', 'means', 'squares'] as const).flatMap((name) =>
          parts.map(
            (part) =>
              [
                `deep.${name}.${toInputName(keys[part])}`,
                f32(tensors.get(keys[part])!.shape, numbers[name][part]),
              ] as const,
          ),
        ),
        [`deep.counts.${path}`, f32([2], counts)] as const,
      ]),
    )
  }

  /**
   * Takes back what `tensors` gave, after `steps` steps. Throws ShapeError for a tensor that is
   * missing or of another size; nothing is changed then.
   */
  restore(given: ReadonlyMap<string, Tensor>, steps: number): void {
    const own = [...this.tensors()]
    const wrong = own.filter(
      ([name, { data }]) =>
        given.get(name)?.dtype !== 'f32' || given.get(name)!.data.length !== data.length,
    )
    if (wrong.length > 0)
      throw new ShapeError(
        `Fast tier on layers, rank ${this.#parts.rank}: ${wrong
          .map(([name]) => name)
          .slice(0, 8)
          .join(', ')} do not fit (${wrong.length} tensors).`,
      )
    for (const [name, { data }] of own) data.set(given.get(name)!.data as Float32Array)
    this.steps = steps
    this.#adapter = undefined
  }
}

const sumSquares = (values: Float32Array): number =>
  values.reduce((sum, value) => sum + value * value, 0)

function createModuleState(path: string, { start }: LayerTierParts): ModuleState {
  const keyOf = (part: Part): string => {
    const key = [...start.tensors.keys()].find(
      (name) => toInputName(name) === `${path}.${partNames[part]}`,
    )
    assertInternal(key, `the adapter has no ${part} at ${path}`)
    return key
  }
  const keys = { A: keyOf('A'), B: keyOf('B') }
  const made = (): Record<Part, Float32Array> => ({
    A: new Float32Array(start.tensors.get(keys.A)!.data.length),
    B: new Float32Array(start.tensors.get(keys.B)!.data.length),
  })
  return {
    path,
    keys,
    weights: made(),
    means: made(),
    squares: made(),
    counts: new Float32Array(2),
  }
}
