// One pair A, B: forward passes, gradients, steps. Vectors in, numbers out; micro-lora.ts knows
// what feedback means. Only calls that return a new array allocate.

import { random, type Random, type RandomState } from '../../base/random.ts'
import type { KernelContext } from '../kernels/context.ts'
import type { MicroLoraConfig } from '../options.ts'
import { accumulateGradient, accumulateTarget } from './accumulate.ts'
import { consolidateWeights, averageInputs } from './ewc.ts'
import { addForward, loadOutput, runForwardBatch, startOutput } from './forward.ts'
import type { MicroLayout, SlotName } from './layout.ts'
import { ModuleMemory } from './memory.ts'
import { readSlot, writeSlot } from './slot-values.ts'
import { checkRate, stepModule } from './step.ts'
import { loadTrustRegion, type TrustRegion } from './trust-region.ts'

export interface ModuleCounts {
  readonly pendingUpdates: number
  readonly pendingWeight: number
  readonly steps: number
  readonly lastMove: number
  readonly consolidations: number
  readonly watched: number
}

const noiseSeed = 0x5bd1e995 // any number: keeps dropout's draws apart from A's

/**
 * A low-rank update of one linear layer, learned with its true gradient.
 *
 *     y = scale · B·(A·x) + bias     scale = alpha / R     A: [R, in]   B: [out, R]
 *
 * A starts uniform in ±1/√in (Kaiming with √5), B at zero, so a new one adds nothing. Hu et al.
 * 2021, arXiv:2106.09685.
 */
export class MicroModule {
  readonly name: string
  readonly layout: MicroLayout
  readonly scale: number
  readonly config: MicroLoraConfig
  readonly memory: ModuleMemory
  readonly #seed: number
  /** Draws dropout and exploration; A has a separate generator. */
  noise: Random
  /** Gradients accumulated since the last step. */
  pendingUpdates = 0
  /** Sum of their weights, by which a step's bound is multiplied; see `accumulate`. */
  pendingWeight = 0
  /** Steps taken: corrects the averages' start at zero. */
  steps = 0
  /** Length of the last step as a share of the weights' length. */
  lastMove = 0
  /** Tasks consolidated; before the first there is nothing to keep. */
  consolidations = 0
  /** Inputs seen since the last consolidation. */
  watched = 0

  constructor(name: string, config: MicroLoraConfig, context: KernelContext, seed: number) {
    this.memory = new ModuleMemory(name, config, context)
    this.name = name
    this.config = config
    this.layout = this.memory.layout
    this.scale = this.memory.scale
    this.#seed = seed
    this.noise = random(seed ^ noiseSeed)
    this.memory.initialize(seed)
  }

  /** Back to the start: the same A, B zero, nothing accumulated. */
  reset(): void {
    this.memory.checkAlive()
    this.memory.initialize(this.#seed)
    this.noise = random(this.#seed ^ noiseSeed)
    this.pendingUpdates = 0
    this.pendingWeight = 0
    this.steps = 0
    this.lastMove = 0
    this.consolidations = 0
    this.watched = 0
  }

  /**
   * y = scale·B·A·x + bias into `output`, or into a new array. Throws ShapeError, NumericError;
   * then `output` is unchanged.
   */
  forward(input: Float32Array, output?: Float32Array): Float32Array {
    const { inFeatures, outFeatures } = this.layout
    this.memory.checkVector('input', input, inFeatures)
    if (output) this.memory.checkVector('output', output, outFeatures)
    startOutput(this.memory)
    addForward(this.memory, input)
    const result = output ?? new Float32Array(outFeatures)
    result.set(this.memory.output)
    return result
  }

  /** output += scale·B·A·x + bias */
  forwardAdd(input: Float32Array, output: Float32Array): void {
    this.memory.checkVector('input', input, this.layout.inFeatures)
    this.memory.checkVector('output', output, this.layout.outFeatures)
    loadOutput(this.memory, output)
    addForward(this.memory, input)
    output.set(this.memory.output)
  }

  /**
   * N inputs one after the other: [N, in] → [N, out], into `outputs` or a new array. Throws
   * ShapeError, NumericError; then `outputs` is unchanged.
   */
  forwardBatch(inputs: Float32Array, outputs?: Float32Array): Float32Array {
    return runForwardBatch(this.memory, inputs, outputs)
  }

  /**
   * Adds the gradient of any loss whose ∂L/∂y [out] the caller knows. The option clip bounds the
   * step by the mean of the `weight`s (0 to 1), so that the gradient of a weak rating cannot move
   * as far as that of a clear one. Throws ShapeError, NumericError; then nothing has changed.
   */
  accumulate(input: Float32Array, outputGradient: Float32Array, weight = 1): void {
    accumulateGradient(this.memory, input, outputGradient)
    countGradient(this, weight)
  }

  /**
   * Adds the gradient of L = ½‖base + y − target‖² and returns L. `base` is the output of the
   * layer, by default zero. Dropout acts here. Throws ShapeError, NumericError; then nothing has
   * changed.
   */
  accumulateTarget(input: Float32Array, target: Float32Array, base?: Float32Array): number {
    const loss = accumulateTarget(this.memory, this.noise, input, target, base)
    countGradient(this, 1)
    return loss
  }

  /**
   * One step along the mean of the accumulated gradients, with `trust` no further than it allows;
   * returns how many gradients there were. Throws NumericError if their mean is not finite: then
   * the weights stay, the gradients are dropped.
   */
  apply(learningRate: number, ewcLambda = 0, trust?: TrustRegion): number {
    this.memory.checkAlive()
    checkRate(learningRate, this.config.weightDecay, ewcLambda)
    const within = trust === undefined ? Infinity : loadTrustRegion(this.memory, trust)
    const count = this.pendingUpdates
    if (count > 0) stepModule(this, learningRate, ewcLambda, within)
    return count
  }

  /** Ends a task for EWC. Throws OptionError without the option ewc. */
  consolidate(): void {
    this.memory.checkAlive()
    consolidateWeights(this.memory, this.consolidations === 0)
    this.watched = 0
    this.consolidations++
  }

  /** Takes over counts and the generator's state; numbers come by `write`. */
  restore({ noise, ...counts }: ModuleCounts & { readonly noise: RandomState }): void {
    Object.assign(this, counts)
    this.noise = random(noise)
  }

  /**
   * A copy of a slot's numbers without padding: A's rows, B's rows, bias. Zeros where the
   * configuration has no such slot.
   */
  read(name: SlotName): Float32Array {
    return readSlot(this.memory, name)
  }

  /** Replaces a slot's numbers. Throws ShapeError, OptionError if there is no such slot. */
  write(name: SlotName, values: Float32Array): void {
    writeSlot(this.memory, name, values)
  }
}

function countGradient(module: MicroModule, weight: number): void {
  module.pendingUpdates++
  module.pendingWeight += weight
  if (module.config.ewc) averageInputs(module.memory, ++module.watched)
}
