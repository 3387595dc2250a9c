// One pair A, B in the heap: forward passes, gradients gathered from a target or from a given
// ∂L/∂y, steps. Numbers in, numbers out; what feedback means is known to micro-lora.ts. No call but
// those that return a new array allocates.

import { NumericError, OptionError, ShapeError } from '../base/errors.ts'
import { isAllFinite } from '../base/finite.ts'
import { random, type Random, type RandomState } from '../base/random.ts'
import type { KernelContext } from './kernels/context.ts'
import { computeLayout, type MicroLayout, type SlotName } from './layout.ts'
import type { MicroLoraConfig } from './options.ts'
import {
  checkRate,
  consolidateModule,
  measureGradient,
  stepModule,
  type TrustRegion,
} from './step.ts'

export interface ModuleCounts {
  readonly pendingUpdates: number
  readonly steps: number
  readonly lastMove: number
  readonly consolidations: number
  readonly watched: number
}

const watchedShare = 0.01
const noiseSeed = 0x5bd1e995 // any number: keeps dropout's draws apart from A's

/**
 * A low-rank detour beside one linear layer, learned with its true gradient.
 *
 *     y = scale · B·(A·x) + bias     scale = alpha / R     A: [R, in]   B: [out, R]
 *
 * A starts uniform in ±1/√in (Kaiming with √5), B at zero, so a fresh one adds nothing. Hu et al.
 * 2021, arXiv:2106.09685.
 */
export class MicroModule {
  readonly name: string
  readonly layout: MicroLayout
  readonly scale: number
  readonly config: MicroLoraConfig
  readonly context: KernelContext
  readonly #seed: number
  /** Where the slots begin, and A, B and their gradients in the first two. */
  readonly #base: number
  readonly #a: number
  readonly #b: number
  readonly #gradientOfA: number
  readonly #gradientOfB: number
  readonly #gradientOfBias: number
  /** Draws dropout and exploration; A has a generator of its own. */
  noise: Random
  /** Gradients gathered since the last step. */
  pendingUpdates = 0
  /** Steps taken: corrects the averages' start at zero. */
  steps = 0
  /** Length of the last step as a share of the weights' length. */
  lastMove = 0
  /** Tasks consolidated; before the first there is nothing to keep. */
  consolidations = 0
  /** Inputs seen since the last consolidation. */
  watched = 0
  /** Where EWC's running squares lie. */
  readonly watchedAt: number
  #disposed = false
  #heapArray: Float32Array | undefined
  #y = -1
  #output: Float32Array | undefined

  constructor(name: string, config: MicroLoraConfig, context: KernelContext, seed: number) {
    this.name = name
    this.config = config
    this.context = context
    this.layout = computeLayout(config, config.modules[name]!)
    this.scale = config.alpha / config.rank
    this.#seed = seed
    context.scratch.widen(Math.max(this.layout.inStride, this.layout.outStride))
    this.#base = context.heap.allocate(this.#size)
    this.watchedAt = this.#base + this.layout.slotSize * this.layout.slots.length
    const { slotSize, parts } = this.layout
    this.#a = this.#base
    this.#b = this.#base + parts[1]!.start
    this.#gradientOfA = this.#a + slotSize
    this.#gradientOfB = this.#b + slotSize
    this.#gradientOfBias = parts[2] ? this.#base + slotSize + parts[2].start : 0
    this.noise = random(seed ^ noiseSeed)
    this.#fillA()
  }

  /** Where a slot lies; 0 where the configuration has none. */
  slot(name: SlotName): number {
    const at = this.layout.slots.indexOf(name)
    return at < 0 ? 0 : this.#base + at * this.layout.slotSize
  }

  /** Numbers the module takes in the heap. */
  get #size(): number {
    return this.layout.slotSize * this.layout.slots.length + this.layout.watchedSize
  }

  /** Back to the start: the same A, B zero, nothing gathered. */
  reset(): void {
    this.#alive()
    this.context.kernels.clear(this.#base, this.#size)
    this.noise = random(this.#seed ^ noiseSeed)
    this.pendingUpdates = this.steps = this.lastMove = this.consolidations = this.watched = 0
    this.#fillA()
  }

  /** Gives the memory back; the module cannot be used afterwards. */
  dispose(): void {
    if (this.#disposed) return
    this.#disposed = true
    this.context.heap.release(this.#base, this.#size)
  }

  /** What gives the memory back once nobody holds the module; holds no reference to it. */
  get releaser(): () => void {
    const { heap } = this.context
    const base = this.#base
    const size = this.#size
    return () => heap.release(base, size)
  }

  /**
   * y = scale·B·A·x + bias into `output`, or into a new array. Throws ShapeError, NumericError;
   * then `output` is as it was.
   */
  forward(input: Float32Array, output?: Float32Array): Float32Array {
    this.#check('input', input, this.layout.inFeatures)
    if (output) this.#check('output', output, this.layout.outFeatures)
    this.#start()
    this.#forwardFrom(input)
    const result = output ?? new Float32Array(this.layout.outFeatures)
    result.set(this.#result())
    return result
  }

  /** output += scale·B·A·x + bias */
  forwardAdd(input: Float32Array, output: Float32Array): void {
    const { inFeatures, outFeatures } = this.layout
    this.#check('input', input, inFeatures)
    this.#check('output', output, outFeatures)
    const { heap, kernels, scratch } = this.context
    this.#start()
    heap.array().set(output, scratch.y)
    if (!(kernels.squares(scratch.y, this.layout.outStride) < Infinity))
      this.#refuseNaN('output', output)
    this.#addBias()
    this.#forwardFrom(input)
    output.set(this.#result())
  }

  /**
   * N inputs one after the other: [N, in] → [N, out], into `outputs` or a new array. Throws
   * ShapeError, NumericError; then `outputs` is as it was.
   */
  forwardBatch(inputs: Float32Array, outputs?: Float32Array): Float32Array {
    const { inFeatures, outFeatures } = this.layout
    const count = inputs.length / inFeatures
    if (!(inputs instanceof Float32Array) || !Number.isInteger(count))
      throw new ShapeError(
        `${this.name}: inputs: got ${inputs?.length} values, expected a multiple of ${inFeatures} in a Float32Array.`,
      )
    if (outputs) this.#check('outputs', outputs, count * outFeatures)
    if (!isAllFinite(inputs)) this.#refuseNaN('inputs', inputs)
    const results = new Float32Array(count * outFeatures) // also beside `outputs`: a later input may be refused
    for (let n = 0; n < count; n++) {
      this.#start()
      this.#forwardFrom(inputs.subarray(n * inFeatures, (n + 1) * inFeatures))
      results.set(this.#result(), n * outFeatures)
    }
    if (!outputs) return results
    outputs.set(results)
    return outputs
  }

  /**
   * Adds the gradient of any loss whose ∂L/∂y [out] the caller knows. Throws ShapeError,
   * NumericError; then nothing has changed.
   */
  accumulate(input: Float32Array, outputGradient: Float32Array): void {
    this.#check('input', input, this.layout.inFeatures)
    this.#check('gradient', outputGradient, this.layout.outFeatures)
    const array = this.context.heap.array()
    const { x, y } = this.context.scratch
    this.#put(array, input, x, this.layout.inStride)
    this.#put(array, outputGradient, y, this.layout.outStride)
    this.#gather(input, outputGradient)
  }

  /**
   * Adds the gradient of L = ½‖base + y − target‖² and gives L. `base` is what the layer beside
   * gave, zero unless told. Dropout acts here. Throws ShapeError, NumericError; then nothing has
   * changed.
   */
  accumulateTarget(input: Float32Array, target: Float32Array, base?: Float32Array): number {
    const { inFeatures, outFeatures, inStride, outStride } = this.layout
    this.#check('input', input, inFeatures)
    this.#check('target', target, outFeatures)
    if (base) this.#check('base', base, outFeatures)
    const { heap, kernels, scratch } = this.context
    const array = heap.array()
    this.#start()
    if (base) {
      array.set(base, scratch.y)
      this.#addBias()
    }
    this.#put(array, input, scratch.x, inStride)
    if (this.config.dropout > 0) this.#drop(array, scratch.x)
    this.#put(array, target, scratch.t, outStride)
    kernels.forward(
      this.layout.rank,
      this.#a,
      this.#b,
      scratch.x,
      scratch.u,
      scratch.y,
      inStride,
      outStride,
      this.scale,
    )
    kernels.subtract(scratch.y, scratch.t, outStride)
    return this.#gather(input, target, base)
  }

  /**
   * One step along the mean of the gradients gathered, then they are forgotten. Gives how many they
   * were. With `trust` no further than it allows. Throws NumericError where their mean is not
   * finite: the weights stay, the gradients are dropped.
   */
  apply(learningRate: number, ewcLambda = 0, trust?: TrustRegion): number {
    this.#alive()
    checkRate(learningRate, this.config.decay, ewcLambda)
    const within = trust === undefined ? Infinity : this.#reach(trust)
    const count = this.pendingUpdates
    if (count > 0) stepModule(this, count, learningRate, ewcLambda, within)
    return count
  }

  /** Throws what `apply` would throw of the gradients gathered, which are dropped then. */
  checkGradients(): void {
    if (this.pendingUpdates > 0) measureGradient(this, this.pendingUpdates)
  }

  /** Ends a task for EWC. Throws OptionError without the option ewc. */
  consolidate(): void {
    this.#alive()
    consolidateModule(this)
  }

  /** Puts the input into the scratch and gives how far its output may move. */
  #reach({ input, share }: TrustRegion): number {
    this.#check('trust.input', input, this.layout.inFeatures)
    if (!(typeof share === 'number' && share > 0))
      throw new OptionError(`${this.name}: trust.share: got ${share}, expected a number above 0.`)
    const { heap, kernels, scratch } = this.context
    this.#put(heap.array(), input, scratch.x, this.layout.inStride)
    const squared = kernels.squares(scratch.x, this.layout.inStride)
    if (!(squared < Infinity)) this.#refuseNaN('trust.input', input)
    return share * Math.sqrt(squared)
  }

  /** Takes over counts and the state of the generator; numbers come by `write`. */
  restore({ noise, ...counts }: ModuleCounts & { readonly noise: RandomState }): void {
    Object.assign(this, counts)
    this.noise = random(noise)
  }

  /**
   * A copy of a slot's numbers without padding: A's rows, B's rows, bias. Zeros where the
   * configuration has no such slot.
   */
  read(name: SlotName): Float32Array {
    this.#alive()
    const values = new Float32Array(this.layout.parameterCount)
    const from = this.slot(name)
    const array = this.context.heap.array()
    if (from > 0)
      this.#eachRow((place, at, length) =>
        values.set(array.subarray(from + place, from + place + length), at),
      )
    return values
  }

  /** The other way round. */
  write(name: SlotName, values: Float32Array): void {
    this.#alive()
    if (values.length !== this.layout.parameterCount)
      throw new ShapeError(
        `${this.name}: ${name}: got ${values.length} values, expected ${this.layout.parameterCount}.`,
      )
    const to = this.slot(name)
    if (to === 0) throw new OptionError(`${this.name}: has no ${name} with its options.`)
    const array = this.context.heap.array()
    this.#eachRow((place, at, length) => array.set(values.subarray(at, at + length), to + place))
  }

  /** EWC's running mean squares: of the input [in], then of the low-rank values [R]. */
  readWatched(): Float32Array {
    const { inFeatures, inStride, rank } = this.layout
    const at = this.watchedAt
    const array = this.context.heap.array()
    return Float32Array.from([
      ...array.subarray(at, at + inFeatures),
      ...array.subarray(at + inStride, at + inStride + rank),
    ])
  }

  writeWatched(values: Float32Array): void {
    const { inFeatures, inStride } = this.layout
    const array = this.context.heap.array()
    array.set(values.subarray(0, inFeatures), this.watchedAt)
    array.set(values.subarray(inFeatures), this.watchedAt + inStride)
  }

  #eachRow(visit: (place: number, at: number, length: number) => void): void {
    let at = 0
    for (const { start, rows, length, stride } of this.layout.parts)
      for (let r = 0; r < rows; r++, at += length) visit(start + r * stride, at, length)
  }

  #fillA(): void {
    const { rank, inFeatures, inStride } = this.layout
    const [{ uniform }, array, bound] = [
      random(this.#seed),
      this.context.heap.array(),
      1 / Math.sqrt(inFeatures),
    ]
    for (let r = 0; r < rank; r++)
      for (let i = 0; i < inFeatures; i++)
        array[this.#a + r * inStride + i] = bound * (2 * uniform() - 1)
  }

  /** y in the scratch becomes the bias, or zero. */
  #start(): void {
    this.#alive()
    const { kernels, scratch } = this.context
    kernels.clear(scratch.y, this.layout.outStride)
    this.#addBias()
  }

  #addBias(): void {
    if (!this.config.bias) return
    const { heap, scratch } = this.context
    const [array, { outFeatures }, from] = [
      heap.array(),
      this.layout,
      this.#gradientOfBias - this.layout.slotSize,
    ]
    for (let i = 0; i < outFeatures; i++) array[scratch.y + i]! += array[from + i]!
  }

  /** y in the scratch += scale·B·A·x. Throws NumericError where x or the sum is not finite. */
  #forwardFrom(input: Float32Array): void {
    const { heap, kernels, scratch } = this.context
    const { rank, inStride, outStride } = this.layout
    this.#put(heap.array(), input, scratch.x, inStride)
    const squared = kernels.forward(
      rank,
      this.#a,
      this.#b,
      scratch.x,
      scratch.u,
      scratch.y,
      inStride,
      outStride,
      this.scale,
    )
    if (!(squared < Infinity)) this.#refuseNaN('input', input)
  }

  /** The gradient of what lies in the scratch as x and ∂L/∂y; gives ½‖∂L/∂y‖². */
  #gather(input: Float32Array, target: Float32Array, base?: Float32Array): number {
    const { kernels, scratch } = this.context
    const { rank, inStride, outStride } = this.layout
    const ga = this.#gradientOfA
    const gb = this.#gradientOfB
    const gBias = this.#gradientOfBias
    const loss = kernels.backward(
      rank,
      this.#a,
      this.#b,
      ga,
      gb,
      gBias,
      scratch.x,
      scratch.u,
      scratch.y,
      inStride,
      outStride,
      this.scale,
    )
    if (!(loss < Infinity)) this.#refuseGradient(input, target, base)
    this.pendingUpdates++
    if (this.config.ewc) this.#watch()
    return loss
  }

  #refuseGradient(input: Float32Array, target: Float32Array, base?: Float32Array): void {
    for (const [what, values] of [
      ['input', input],
      ['target or gradient', target],
      ['base', base ?? target],
    ] as const)
      if (!isAllFinite(values)) this.#refuseNaN(what, values)
    throw new NumericError(
      `${this.name}: input and error are too large for 32-bit numbers; scale them down.`,
    )
  }

  /** The running mean squares of x and u: plain means at first, then of about the last hundred. */
  #watch(): void {
    const { kernels, scratch } = this.context
    const share = Math.max(1 / ++this.watched, watchedShare)
    kernels.watch(this.watchedAt, scratch.x, this.layout.inStride, 1 - share, share)
    kernels.watch(this.watchedAt + this.layout.inStride, scratch.u, 16, 1 - share, share)
  }

  /** x becomes mask·x / (1 − dropout). */
  #drop(array: Float32Array, x: number): void {
    const { dropout } = this.config
    const kept = 1 / (1 - dropout)
    for (let i = x; i < x + this.layout.inFeatures; i++)
      array[i]! *= this.noise.uniform() < dropout ? 0 : kept
  }

  /** Values with zeros up to the stride behind them. */
  #put(array: Float32Array, values: Float32Array, place: number, stride: number): void {
    array.set(values, place)
    if (values.length < stride) array.fill(0, place + values.length, place + stride)
  }

  /** The output in the scratch, without a new view at every call. */
  #result(): Float32Array {
    const { heap, scratch } = this.context
    const array = heap.array()
    if (this.#heapArray !== array || this.#y !== scratch.y) {
      this.#heapArray = array
      this.#y = scratch.y
      this.#output = array.subarray(scratch.y, scratch.y + this.layout.outFeatures)
    }
    return this.#output!
  }

  #check(what: string, values: Float32Array, length: number): void {
    this.#alive()
    if (values instanceof Float32Array && values.length === length) return
    const got =
      values instanceof Float32Array
        ? `${values.length} values`
        : Object.prototype.toString.call(values)
    throw new ShapeError(
      `${this.name}: ${what}: got ${got}, expected ${length} values in a Float32Array.`,
    )
  }

  #refuseNaN(what: string, values: Float32Array): void {
    const at = values.findIndex((value) => !Number.isFinite(value))
    const found = at < 0 ? 'holds values too large for 32-bit sums' : `is ${values[at]} at ${at}`
    throw new NumericError(`${this.name}: ${what} ${found}; nothing was changed.`)
  }

  #alive(): void {
    if (this.#disposed) throw new OptionError(`${this.name}: this MicroLoRA was disposed of.`)
  }
}
