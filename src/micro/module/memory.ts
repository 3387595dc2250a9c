// Where one module's weights, gradients and averages are in the heap, and the checks before values
// go there. Independent of: feedback, optimisers.

import { NumericError, OptionError, ShapeError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import type { KernelContext } from '../kernels/context.ts'
import type { MicroLoraConfig } from '../options.ts'
import { computeLayout, type MicroLayout, type SlotName } from './layout.ts'

/** The part of the heap that belongs to one module. Places are indices into the heap's array. */
export class ModuleMemory {
  readonly name: string
  readonly config: MicroLoraConfig
  readonly context: KernelContext
  readonly layout: MicroLayout
  readonly scale: number
  readonly a: number
  readonly b: number
  readonly gradientOfA: number
  readonly gradientOfB: number
  /** 0 without a bias. */
  readonly gradientOfBias: number
  /** EWC's running mean squares: of the input, then of the low-rank values. */
  readonly watchedAt: number
  readonly #size: number
  #disposed = false
  #heapArray: Float32Array | undefined
  #output: Float32Array | undefined

  constructor(name: string, config: MicroLoraConfig, context: KernelContext) {
    this.name = name
    this.config = config
    this.context = context
    this.layout = computeLayout(config, config.modules[name]!)
    this.scale = config.alpha / config.rank
    const { slotSize, slots, parts, inStride, outStride, watchedSize } = this.layout
    context.scratch.widen(Math.max(inStride, outStride))
    this.#size = slotSize * slots.length + watchedSize
    this.a = context.heap.allocate(this.#size)
    this.b = this.a + parts[1]!.start
    this.gradientOfA = this.a + slotSize
    this.gradientOfB = this.b + slotSize
    this.gradientOfBias = parts[2] ? this.gradientOfA + parts[2].start : 0
    this.watchedAt = this.a + slotSize * slots.length
  }

  /** Where a slot begins; 0 where the configuration has none. */
  slot(name: SlotName): number {
    const at = this.layout.slots.indexOf(name)
    return at < 0 ? 0 : this.a + at * this.layout.slotSize
  }

  /** Everything zero but A, which is uniform in ±1/√in (Kaiming with √5) or ±√(2/in). */
  initialize(seed: number): void {
    const { rank, inFeatures, inStride } = this.layout
    const { uniform } = random(seed)
    const array = this.context.heap.array()
    const bound = (this.config.init === 'random' ? Math.SQRT2 : 1) / Math.sqrt(inFeatures)
    this.context.kernels.clear(this.a, this.#size)
    for (let r = 0; r < rank; r++)
      for (let i = 0; i < inFeatures; i++)
        array[this.a + r * inStride + i] = bound * (2 * uniform() - 1)
  }

  /** Values, with zeros behind them up to the stride. */
  put(values: Float32Array, place: number, stride: number): void {
    const array = this.context.heap.array()
    array.set(values, place)
    if (values.length < stride) array.fill(0, place + values.length, place + stride)
  }

  /** The output in the scratch, without a new view at every call. */
  get output(): Float32Array {
    const array = this.context.heap.array()
    const { y } = this.context.scratch
    if (this.#heapArray !== array || this.#output!.byteOffset !== 4 * y) {
      this.#heapArray = array
      this.#output = array.subarray(y, y + this.layout.outFeatures)
    }
    return this.#output!
  }

  /** Throws ShapeError for anything but a Float32Array of this length. */
  checkVector(what: string, values: Float32Array, length: number): void {
    this.checkAlive()
    if (values instanceof Float32Array && values.length === length) return
    const got =
      values instanceof Float32Array
        ? `${values.length} values`
        : Object.prototype.toString.call(values)
    throw new ShapeError(
      `${this.name}: ${what}: got ${got}, expected ${length} values in a Float32Array.`,
    )
  }

  /** Throws NumericError with the places of values that are not finite. */
  refuseNonFinite(what: string, values: Float32Array): never {
    const at = values.findIndex((value) => !Number.isFinite(value))
    const found = at < 0 ? 'contains values too large for 32-bit sums' : `is ${values[at]} at ${at}`
    throw new NumericError(`${this.name}: ${what} ${found}; nothing was changed.`)
  }

  /** Throws OptionError after `dispose`. */
  checkAlive(): void {
    if (this.#disposed) throw new OptionError(`${this.name}: this MicroLoRA was disposed of.`)
  }

  /** Frees the memory; the module cannot be used afterwards. */
  dispose(): void {
    if (this.#disposed) return
    this.#disposed = true
    this.releaser()
  }

  /** A function that frees the memory and has no reference to this. */
  get releaser(): () => void {
    const { heap } = this.context
    const place = this.a
    const size = this.#size
    return () => heap.release(place, size)
  }
}
