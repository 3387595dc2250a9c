// The modules of one MicroLoRA and what they compute: forward passes, merging, memory, PEFT's
// files. Independent of: feedback, statistics.

import { NumericError, OptionError, ShapeError } from '../base/errors.ts'
import { isAllFinite } from '../base/finite.ts'
import { encodePeftFiles, type PeftExport, type PeftFiles, toPeftTensors } from './files/peft.ts'
import { getKernelContext, type KernelName } from './kernels/context.ts'
import { releaseRegistry } from './kernels/heap.ts'
import {
  computeLayout,
  computeMemoryReport,
  computeScratchSize,
  type MemoryReport,
  type MicroLayout,
} from './module/layout.ts'
import { MicroModule } from './module/module.ts'
import { completeOptions, type MicroLoraConfig, type MicroLoraOptions } from './options.ts'

/** The part of a MicroLoRA that computes outputs; MicroLora adds what it learns from. */
export class MicroAdapter {
  readonly config: MicroLoraConfig
  readonly kernels: KernelName
  /** Whether it adds anything and learns. */
  enabled = true
  protected readonly modules: ReadonlyMap<string, MicroModule>
  protected forwards = 0

  /**
   * Bytes that an adapter of these options takes, by purpose, before it is made: the same values as
   * `memory()` afterwards. Throws OptionError.
   */
  static memoryReport(options: MicroLoraOptions = {}): MemoryReport {
    const config = completeOptions(options)
    const layouts = Object.values(config.modules).map((own) => computeLayout(config, own))
    return computeMemoryReport(layouts, computeScratchSize(layouts))
  }

  /** Throws one OptionError that names everything that is wrong. */
  constructor(options: MicroLoraOptions = {}) {
    this.config = completeOptions(options)
    const context = getKernelContext(options.kernels)
    this.kernels = context.name
    const modules = new Map<string, MicroModule>()
    for (const [i, name] of Object.keys(this.config.modules).entries()) {
      const seed = (this.config.seed + Math.imul(i, 0x9e3779b1)) | 0
      const module = new MicroModule(name, this.config, context, seed)
      modules.set(name, module)
      releaseRegistry.register(module, module.memory.releaser, module)
    }
    this.modules = modules
  }

  /**
   * The module by name; the only one where no name is given. Its calls do not change the statistics
   * of this MicroLoRA. Throws OptionError.
   */
  module(name?: string): MicroModule {
    const found =
      name === undefined && this.modules.size === 1
        ? this.modules.values().next().value
        : this.modules.get(name ?? '')
    if (found) return found
    const all = [...this.modules.keys()].slice(0, 20).join(', ')
    throw new OptionError(
      name === undefined
        ? `MicroLoRA: which module? There are ${all}.`
        : `MicroLoRA: there is no module ${JSON.stringify(String(name).slice(0, 100))}; there are ${all}.`,
    )
  }

  /**
   * scale·B·A·x + bias [out], into `output` or a new array; zeros while not enabled. Throws
   * ShapeError, NumericError.
   */
  forward(input: Float32Array, output?: Float32Array, module?: string): Float32Array {
    const result = this.module(module).forward(input, output)
    if (!this.enabled) return result.fill(0)
    this.forwards++
    return result
  }

  /**
   * output += scale·B·A·x + bias; nothing while not enabled. Throws ShapeError, NumericError; then
   * `output` is unchanged.
   */
  forwardAdd(input: Float32Array, output: Float32Array, module?: string): void {
    if (!this.enabled) return
    this.module(module).forwardAdd(input, output)
    this.forwards++
  }

  /**
   * N inputs one after the other: [N, in] → [N, out]. Throws ShapeError, NumericError; then
   * `outputs` is unchanged.
   */
  forwardBatch(inputs: Float32Array, outputs?: Float32Array, module?: string): Float32Array {
    const own = this.module(module)
    const results = own.forwardBatch(inputs, outputs)
    if (!this.enabled) return results.fill(0)
    this.forwards += inputs.length / own.layout.inFeatures
    return results
  }

  /**
   * W + scale·B·A as a new array [out, in], or into `output`, which may be W itself. The bias is
   * not merged: see `bias`. Throws ShapeError, NumericError.
   */
  mergeInto(
    baseWeights: Float32Array,
    { output, module }: { output?: Float32Array; module?: string } = {},
  ): Float32Array {
    const own = this.module(module)
    checkWeights(own, 'base weights', baseWeights)
    if (output) checkWeights(own, 'output', output)
    if (!isAllFinite(baseWeights))
      throw new NumericError(
        `${own.name}: base weights: hold NaN or infinite values; nothing was changed.`,
      )
    const merged = output ?? new Float32Array(baseWeights.length)
    if (merged !== baseWeights) merged.set(baseWeights)
    if (this.enabled) addProduct(own, merged)
    return merged
  }

  /** A copy of the learned bias [out]; empty without the option. */
  bias(module?: string): Float32Array {
    return splitWeights(this.module(module)).bias.slice()
  }

  /** Gradients accumulated since the last step. */
  get pendingUpdates(): number {
    let sum = 0
    for (const { pendingUpdates } of this.modules.values()) sum += pendingUpdates
    return sum
  }

  /** Bytes of this adapter, by purpose. */
  memory(): MemoryReport {
    const modules = [...this.modules.values()]
    return computeMemoryReport(
      modules.map(({ layout }) => layout),
      modules[0]!.memory.context.scratch.sizeBytes,
    )
  }

  /** Only the weights, as PEFT's two files. */
  toPeft(options: PeftExport = {}): PeftFiles {
    const tensors = [...this.modules.values()].flatMap((module) => [
      ...toPeftTensors(module.name, module.layout, module.read('weights'), module.scale),
    ])
    return encodePeftFiles(this.config, new Map(tensors), options)
  }

  /** Frees the memory at once instead of when this is collected. */
  dispose(): void {
    for (const module of this.modules.values()) {
      releaseRegistry.unregister(module)
      module.memory.dispose()
    }
  }
}

function checkWeights(
  { name, layout: { inFeatures, outFeatures } }: { name: string; layout: MicroLayout },
  what: string,
  values: Float32Array,
): void {
  const size = outFeatures * inFeatures
  if (!(values instanceof Float32Array) || values.length !== size)
    throw new ShapeError(
      `${name}: ${what}: got ${(values as Float32Array | null)?.length} values, expected ${size}: [${outFeatures}, ${inFeatures}] in a Float32Array.`,
    )
}

/** merged += scale·B·A */
function addProduct(module: MicroModule, merged: Float32Array): void {
  const { layout, scale } = module
  const { a, b } = splitWeights(module)
  for (let o = 0; o < layout.outFeatures; o++)
    for (let r = 0; r < layout.rank; r++) {
      const share = scale * b[r]![o]!
      const row = a[r]!
      for (let i = 0; i < layout.inFeatures; i++)
        merged[o * layout.inFeatures + i]! += share * row[i]!
    }
}

/** Copies of A's rows [R, in], B's rows [R, out] and the bias. */
export function splitWeights(module: MicroModule): {
  readonly a: readonly Float32Array[]
  readonly b: readonly Float32Array[]
  readonly bias: Float32Array
} {
  const { rank, inFeatures, outFeatures } = module.layout
  const weights = module.read('weights')
  const rows = (from: number, length: number): Float32Array[] =>
    Array.from({ length: rank }, (_, r) =>
      weights.subarray(from + r * length, from + (r + 1) * length),
    )
  const endOfA = rank * inFeatures
  return {
    a: rows(0, inFeatures),
    b: rows(endOfA, outFeatures),
    bias: weights.subarray(endOfA + rank * outFeatures),
  }
}
