// The fast tier of one user in modules of the model's layers: a small LoRA, one Adam step a turn,
// from hidden states that serving computed. Independent of tokens, the head and prompts.

import type { Adapter } from '../../adapters/index.ts'
import { NumericError, ShapeError } from '../../base/errors.ts'
import { isAllFinite } from '../../base/finite.ts'
import { readOptions } from '../../base/schema.ts'
import { f32, type F32Tensor, type Tensor } from '../../base/tensor.ts'
import { adamw } from '../../train/optimizers/adamw.ts'
import type { TailInput, TailProgram } from '../../train/programs/tail-program.ts'
import {
  collectModuleTensors,
  createModuleState,
  type ModuleState,
  parts,
  clearModule,
  stepModule,
  trackGradientNorms,
} from './layer-modules.ts'
import { layerTierFields, type LayerTierOptions } from './tier-options.ts'

export interface LayerTierParts {
  /** Shared by all users. */
  readonly program: TailProgram
  /** The adapter that every user starts from; it changes nothing. */
  readonly start: Adapter
  /**
   * Paths of the target modules, each with a matrix A and a matrix B among the adapter's tensors.
   */
  readonly modules: readonly string[]
  /** How many modules take each step; undefined: all. */
  readonly top: number | undefined
  /** Factor of B·A. */
  readonly scale: number
  readonly rank: number
}

/**
 * One sequence's hidden states at the input of the lowest layer [T, D], and the scored positions.
 */
export type LayerTierInput = Omit<TailInput, 'tensors'>

/**
 *     y = W·x + s·B·(A·x)   in the target modules
 *     ∂loss/∂(A, B)          by a backward pass of ∂loss/∂h through the layers from the lowest one
 *
 * B starts at zero, so that a new tier changes nothing. Each module takes Adam's step, cut where it
 * would change the module's weight too much. With `top` only the modules with the largest gradients
 * (running mean) take it.
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

  constructor(given: LayerTierParts, options: LayerTierOptions = {}) {
    const { learningRate, trust, momentum, decay } = readOptions(
      'Fast tier on layers',
      options,
      layerTierFields,
    )
    this.learningRate = learningRate
    this.maxRelativeStep = trust
    this.#settings = adamw.complete({ beta1: momentum, weightDecay: decay })
    this.#parts = given
    this.#states = given.modules.map((path) => createModuleState(path, given.start))
    this.clear()
  }

  /** Back to the start, which changes nothing. */
  clear(): void {
    for (const state of this.#states) clearModule(state, this.#parts.start)
    this.steps = 0
    this.lastRelativeStep = 0
    this.lastModules = []
    this.#adapter = undefined
  }

  /**
   * The adapter to serve, alone or in a mixture: a new object after each step, whose numbers do not
   * change. Undefined before the first step.
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

  /** Final hidden states [M, D] of the scored positions, under this user's model. */
  hidden(input: LayerTierInput): Promise<F32Tensor> {
    return this.#parts.program.hidden({ ...input, tensors: this.#currentTensors() })
  }

  /** ∂(Σ error·hidden) by PEFT key. */
  gradients(input: LayerTierInput, error: F32Tensor): Promise<Map<string, F32Tensor>> {
    return this.#parts.program.pullBack({ ...input, tensors: this.#currentTensors() }, error)
  }

  /**
   * One step against ∂loss/∂hidden [M, D]; `scale` multiplies the rate. Throws NumericError if
   * something is NaN or infinite, and nothing has changed then.
   */
  async step(input: LayerTierInput, error: F32Tensor, scale = 1): Promise<void> {
    if (!isAllFinite(input.states.data) || !isAllFinite(error.data))
      throw new NumericError('Fast tier on layers: a hidden state or gradient is NaN or infinite.')
    const gradients = await this.gradients(input, error)
    if ([...gradients.values()].some(({ data }) => !isAllFinite(data)))
      throw new NumericError('Fast tier on layers: the gradient is NaN or infinite.')
    const { program, rank, scale: factor } = this.#parts
    const norms = new Map<string, number>()
    for (const { path } of this.#states) norms.set(path, await program.weightNorm(path))
    // Synchronous from here on, so that no caller sees half a step.
    const selected = this.#selectModules(gradients)
    const step = {
      gradients,
      learningRate: scale * this.learningRate,
      settings: this.#settings,
      rank,
      scale: factor,
      maxRelativeStep: this.maxRelativeStep,
    }
    const sizes = selected.map((state) =>
      stepModule(state, { ...step, weightNorm: norms.get(state.path)! }),
    )
    this.steps++
    this.lastRelativeStep = Math.max(...sizes)
    this.lastModules = selected.map(({ path }) => path)
    this.#adapter = undefined
  }

  /** All modules, or those with the largest gradients. */
  #selectModules(gradients: ReadonlyMap<string, F32Tensor>): readonly ModuleState[] {
    const { top } = this.#parts
    if (top === undefined || top >= this.#states.length) return this.#states
    trackGradientNorms(this.#states, gradients, this.steps)
    const order = this.#states.toSorted((a, b) => b.counts[1]! - a.counts[1]!).slice(0, top)
    return this.#states.filter((state) => order.includes(state))
  }

  get rank(): number {
    return this.#parts.rank
  }

  /** Paths of the target modules. */
  get modules(): readonly string[] {
    return this.#parts.modules
  }

  /** How many numbers are learned. */
  get parameters(): number {
    return this.#states.reduce((sum, { weights }) => sum + weights.A.length + weights.B.length, 0)
  }

  /** Weights and moments, in bytes. */
  get sizeBytes(): number {
    return 12 * this.parameters + 8 * this.#states.length
  }

  /** Tensors of its state: weights, moments, counts. Not copies. */
  tensors(): Map<string, F32Tensor> {
    return collectModuleTensors(this.#states, this.#parts.start)
  }

  /**
   * Takes what `tensors` returned after `steps` steps. Throws ShapeError for a tensor that is
   * missing or of another size; nothing is changed then.
   */
  restore(given: ReadonlyMap<string, Tensor>, steps: number): void {
    const current = [...this.tensors()]
    const wrong = current.filter(
      ([name, { data }]) =>
        given.get(name)?.dtype !== 'f32' || given.get(name)!.data.length !== data.length,
    )
    const names = wrong.slice(0, 8).map(([name]) => name)
    if (wrong.length > 0)
      throw new ShapeError(
        `Fast tier on layers, rank ${this.#parts.rank}: ${names.join(', ')} do not fit (${wrong.length} tensors).`,
      )
    for (const [name, { data }] of current) data.set(given.get(name)!.data as Float32Array)
    this.steps = steps
    this.#adapter = undefined
  }
}
