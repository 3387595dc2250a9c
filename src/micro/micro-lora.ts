// MicroLoRA: adapters of a few kilobytes that learn from single examples and feedback, in
// microseconds, without a language model. Puts feedback, modules and figures together; the numbers
// themselves are module.ts's, files json.ts's and safetensors.ts's.

import { MismatchError, NumericError, OptionError, ShapeError } from '../base/errors.ts'
import { isAllFinite } from '../base/finite.ts'
import { checkFeedback, type Feedback, qualityOf, computeFeedbackReward } from './feedback.ts'
import { fromJson, type MicroLoraJson, toJson } from './json.ts'
import { getKernelContext, type KernelName } from './kernels/context.ts'
import { releaseRegistry } from './kernels/heap.ts'
import { computeMemoryReport, type MemoryReport } from './layout.ts'
import { MicroModule } from './module.ts'
import { completeOptions, type MicroLoraConfig, type MicroLoraOptions } from './options.ts'
import { encodePeftFiles, type PeftExport, type PeftFiles, toPeftTensors } from './peft.ts'
import { computePolicyGradient } from './policy.ts'
import {
  addLoss,
  addQuality,
  computeAdvantage,
  computeBaseline,
  computeRateDivisor,
  computeVariance,
  createRewardState,
  type RewardState,
} from './reward.ts'
import { fromSafetensors, toSafetensors } from './safetensors.ts'
import { type SavedMicroLora, listSavedSlots } from './saved.ts'
import { checkRate, type TrustRegion } from './step.ts'
import { computeEffectiveRank, type MicroLoraWarning, listMicroWarnings } from './warnings.ts'

/** Figures of a MicroLoRA. */
export interface MicroLoraStatistics {
  /** Feedback that had a quality or a verdict. */
  readonly samples: number
  readonly meanQuality: number
  /** Of the qualities, divided by samples − 1. */
  readonly variance: number
  /** Running mean of rewards. */
  readonly baseline: number | undefined
  readonly adaptations: number
  readonly forwards: number
  readonly pendingUpdates: number
  readonly parameters: number
  /** A, B and bias as numbers of 32 bits. `memory()` says what is kept beside them. */
  readonly bytes: number
  /** Mean of the first ten losses, and the running mean; 0 before the first. */
  readonly firstLoss: number
  readonly recentLoss: number
}

const rememberedEmissions = 256 // sessions whose last explored output waits for its reward

/** The module's length comes first, because names and sessions may hold spaces. */
const toEmissionKey = (module: string, session: string): string =>
  `${module.length} ${module} ${session}`

/** One MicroLoRA over one module or several, with its figures. See docs/micro.md. */
export class MicroLora {
  readonly config: MicroLoraConfig
  readonly kernels: KernelName
  /** Whether it adds anything and learns. */
  enabled = true
  readonly #modules = new Map<string, MicroModule>()
  readonly #errors = new Map<string, Float32Array>()
  readonly #emissions = new Map<string, Float32Array>()
  #quality: RewardState = createRewardState()
  #adaptations = 0
  #forwards = 0

  /** Throws one OptionError that names everything that is wrong. */
  constructor(options: MicroLoraOptions = {}) {
    this.config = completeOptions(options)
    const context = getKernelContext(options.kernels)
    this.kernels = context.name
    for (const [i, name] of Object.keys(this.config.modules).entries()) {
      const module = new MicroModule(
        name,
        this.config,
        context,
        (this.config.seed + Math.imul(i, 0x9e3779b1)) | 0,
      )
      this.#modules.set(name, module)
      releaseRegistry.register(module, module.releaser, module)
    }
  }

  /**
   * A new one from what `toJSON` gave, as value or text. Throws FormatError, UnsupportedError,
   * MismatchError, NumericError.
   */
  static fromJSON(json: MicroLoraJson | string, options: { kernels?: KernelName } = {}): MicroLora {
    return MicroLora.#from(fromJson(json), options)
  }

  /** A new one from the bytes that `toSafetensors` gave. */
  static async fromSafetensors(
    bytes: Uint8Array,
    options: { kernels?: KernelName } = {},
  ): Promise<MicroLora> {
    return MicroLora.#from(await fromSafetensors(bytes), options)
  }

  static #from(saved: SavedMicroLora, { kernels }: { kernels?: KernelName }): MicroLora {
    const lora = new MicroLora({ ...saved.meta.config, kernels })
    lora.#take(saved)
    return lora
  }

  /**
   * The module by name; the only one where no name is given. Its calls take and give numbers and
   * count nothing here.
   */
  module(name?: string): MicroModule {
    const found =
      name === undefined && this.#modules.size === 1
        ? this.#modules.values().next().value
        : this.#modules.get(name ?? '')
    if (found) return found
    const all = [...this.#modules.keys()].slice(0, 20).join(', ')
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
    this.#forwards++
    return result
  }

  /**
   * output += scale·B·A·x + bias; nothing while not enabled. Throws ShapeError, NumericError; then
   * `output` is as it was.
   */
  forwardAdd(input: Float32Array, output: Float32Array, module?: string): void {
    if (!this.enabled) return
    this.module(module).forwardAdd(input, output)
    this.#forwards++
  }

  /**
   * N inputs one after the other: [N, in] → [N, out]. Throws ShapeError, NumericError; then
   * `outputs` is as it was.
   */
  forwardBatch(inputs: Float32Array, outputs?: Float32Array, module?: string): Float32Array {
    const own = this.module(module)
    const results = own.forwardBatch(inputs, outputs)
    if (!this.enabled) return results.fill(0)
    this.#forwards += inputs.length / own.layout.inFeatures
    return results
  }

  /**
   * base + the adapter's output + noise of the standard deviation `exploration`: a try, remembered
   * by session until its reward arrives. Without noise a reward could not tell in which direction
   * better lies. Throws ShapeError, NumericError.
   */
  explore(
    input: Float32Array,
    {
      base,
      module,
      sessionId = '',
    }: { base?: Float32Array; module?: string; sessionId?: string } = {},
  ): Float32Array {
    const own = this.module(module)
    if (base !== undefined) checkBase(own, base)
    const emitted = own.forward(input)
    for (let i = 0; i < emitted.length; i++)
      emitted[i] =
        (this.enabled ? emitted[i]! : 0) +
        (base?.[i] ?? 0) +
        this.config.exploration * own.noise.normal()
    const key = toEmissionKey(own.name, sessionId)
    this.#emissions.delete(key)
    this.#emissions.set(key, emitted.slice())
    for (const oldest of this.#emissions.keys())
      if (this.#emissions.size > rememberedEmissions) this.#emissions.delete(oldest)
    if (this.enabled) this.#forwards++
    return emitted
  }

  /**
   * Gathers the gradient of the loss that the feedback states; `applyUpdates` then moves along it.
   * Gives that loss where it is known here:
   *
   *     target    L = ½‖base + y − target‖²
   *     gradient  L is the caller's; ∂L/∂y is taken as it is
   * emitted L = −(reward − baseline) · log π(emitted | base + y), π normal around it, or softmax
   * where `emitted` is a class
   *
   * A target or gradient is followed whatever the quality says; quality and reward beside it are
   * counted. Throws OptionError, ShapeError, NumericError; then nothing has changed. Does nothing
   * while not enabled.
   */
  adapt(input: Float32Array, feedback: Feedback): number | undefined {
    if (!this.enabled) return undefined
    checkFeedback(feedback)
    const own = this.module(feedback.sourceModule)
    const { target, gradient, base } = feedback
    const quality = qualityOf(feedback)
    const reward = computeFeedbackReward(feedback, this.config.targetLatencyUs)
    let loss: number | undefined
    if (target !== undefined)
      addLoss(this.#quality, (loss = own.accumulateTarget(input, target, base)))
    else if (gradient !== undefined) own.accumulate(input, gradient)
    else loss = this.#reinforce(own, input, feedback, reward)
    if (quality !== undefined) addQuality(this.#quality, quality)
    if (reward !== undefined)
      this.#quality.baseline = computeBaseline(
        this.#baseline(feedback.reward === undefined),
        reward,
        this.config.baselineKeep,
      )
    this.#adaptations++
    return loss
  }

  #reinforce(
    own: MicroModule,
    input: Float32Array,
    { emitted, base, sessionId = '', reward: given }: Feedback,
    reward: number | undefined,
  ): number {
    if (reward === undefined)
      throw new OptionError('feedback: give a target, a gradient, or a reward, quality or verdict.')
    const key = toEmissionKey(own.name, sessionId)
    const tried = emitted ?? this.#emissions.get(key)
    if (tried === undefined)
      throw new OptionError(
        'feedback: a reward alone says how good it was, not in which direction better lies: give what was emitted, a target or a gradient, or let `explore` make the output.',
      )
    const advantage = computeAdvantage(
      reward - this.#baseline(given === undefined),
      this.#quality,
      this.config.normalizeQuality,
    )
    const error = this.#errorOf(own)
    if (base === undefined) own.forward(input, error)
    else {
      checkBase(own, base)
      error.set(base)
      own.forwardAdd(input, error)
    }
    const loss = computePolicyGradient(error, tried, advantage, this.config.exploration)
    own.accumulate(input, error)
    if (emitted === undefined) this.#emissions.delete(key)
    return loss
  }

  /** Before the first reward 0, and ½ for qualities. */
  #baseline(isQuality: boolean): number {
    return this.#quality.baseline ?? (isQuality ? 0.5 : 0)
  }

  /** Room for ∂L/∂y, kept for the next call. */
  #errorOf({ name, layout }: MicroModule): Float32Array {
    const found = this.#errors.get(name)
    if (found) return found
    const made = new Float32Array(layout.outFeatures)
    this.#errors.set(name, made)
    return made
  }

  /**
   * One step of every module that gathered something, down the loss; with `trust` of the one module
   * no further than it allows. Gives how many gradients went in. Throws OptionError for rates that
   * cannot work, NumericError for gradients that overflow: those are dropped, no weight moves.
   */
  applyUpdates(learningRate: number, trust?: TrustRegion): number {
    return this.#apply(learningRate, 0, trust)
  }

  /**
   * The same, held back towards what earlier tasks need (option ewc; `consolidate` ends a task). λ:
   * the option's unless given.
   */
  applyUpdatesWithEwc(
    learningRate: number,
    lambda = this.config.ewcLambda,
    trust?: TrustRegion,
  ): number {
    if (!this.config.ewc)
      throw new OptionError('MicroLoRA: applyUpdatesWithEwc needs the option ewc.')
    return this.#apply(learningRate, lambda, trust)
  }

  #apply(learningRate: number, lambda: number, trust: TrustRegion | undefined): number {
    checkRate(learningRate, this.config.decay, lambda)
    if (trust !== undefined && this.#modules.size > 1)
      throw new OptionError(
        'MicroLoRA: a trust region belongs to one module: with several, call module(name).apply(rate, λ, trust).',
      )
    if (!this.enabled) return 0
    if (this.#modules.size > 1) for (const module of this.#modules.values()) module.checkGradients()
    const rate =
      this.config.rate === 'variance'
        ? learningRate / computeRateDivisor(this.#quality)
        : learningRate
    let count = 0
    for (const module of this.#modules.values())
      if (module.pendingUpdates > 0) count += module.apply(rate, lambda, trust)
    return count
  }

  /** Ends a task: from here on `applyUpdatesWithEwc` keeps what it needed. */
  consolidate(): void {
    for (const module of this.#modules.values()) module.consolidate()
  }

  /**
   * W + scale·B·A as a new array [out, in], or into `output`, which may be W itself. The bias stays
   * outside: see `bias`. Throws ShapeError, NumericError.
   */
  mergeInto(
    baseWeights: Float32Array,
    { output, module }: { output?: Float32Array; module?: string } = {},
  ): Float32Array {
    const { layout, scale, name, ...own } = this.#views(module)
    const size = layout.outFeatures * layout.inFeatures
    for (const [what, values] of [
      ['base weights', baseWeights],
      ['output', output ?? baseWeights],
    ] as const)
      if (!(values instanceof Float32Array) || values.length !== size)
        throw new ShapeError(
          `${name}: ${what}: got ${values?.length} values, expected ${size}: [${layout.outFeatures}, ${layout.inFeatures}] in a Float32Array.`,
        )
    if (!isAllFinite(baseWeights))
      throw new NumericError(
        `${name}: base weights: hold NaN or infinite values; nothing was changed.`,
      )
    const merged = output ?? new Float32Array(size)
    if (merged !== baseWeights) merged.set(baseWeights)
    if (!this.enabled) return merged
    for (let o = 0; o < layout.outFeatures; o++)
      for (let r = 0; r < layout.rank; r++) {
        const share = scale * own.b[r]![o]!
        const row = own.a[r]!
        for (let i = 0; i < layout.inFeatures; i++)
          merged[o * layout.inFeatures + i]! += share * row[i]!
      }
    return merged
  }

  /** Copies of A's rows [R, in], B's rows [R, out] and the bias. */
  #views(module?: string) {
    const own = this.module(module)
    const { layout, name, scale } = own
    const weights = own.read('weights')
    const rows = (from: number, length: number): Float32Array[] =>
      Array.from({ length: layout.rank }, (_, r) =>
        weights.subarray(from + r * length, from + (r + 1) * length),
      )
    const endOfA = layout.rank * layout.inFeatures
    const bias = weights.subarray(endOfA + layout.rank * layout.outFeatures)
    return {
      name,
      layout,
      scale,
      a: rows(0, layout.inFeatures),
      b: rows(endOfA, layout.outFeatures),
      bias,
    }
  }

  /** A copy of the learned bias [out]; empty without the option. */
  bias(module?: string): Float32Array {
    return this.#views(module).bias.slice()
  }

  /** As it was new: the same A, B zero, figures at zero. */
  reset(): void {
    for (const module of this.#modules.values()) module.reset()
    this.#emissions.clear()
    this.#quality = createRewardState()
    this.#adaptations = this.#forwards = 0
  }

  /** Gives the memory back at once instead of when nobody holds this any more. */
  dispose(): void {
    for (const module of this.#modules.values()) {
      releaseRegistry.unregister(module)
      module.dispose()
    }
  }

  /** Gradients gathered since the last step. */
  get pendingUpdates(): number {
    let sum = 0
    for (const { pendingUpdates } of this.#modules.values()) sum += pendingUpdates
    return sum
  }

  /** What lies in memory for this adapter, by purpose. */
  memory(): MemoryReport {
    const modules = [...this.#modules.values()]
    return computeMemoryReport(
      modules.map(({ layout }) => layout),
      modules[0]!.context.scratch.sizeBytes,
    )
  }

  statistics(): MicroLoraStatistics {
    const { count, mean, baseline, firstLoss, recentLoss } = this.#quality
    const parameters = [...this.#modules.values()].reduce(
      (sum, { layout }) => sum + layout.parameterCount,
      0,
    )
    const adaptations = this.#adaptations
    const forwards = this.#forwards
    const pendingUpdates = this.pendingUpdates
    const figures = {
      adaptations,
      forwards,
      pendingUpdates,
      parameters,
      bytes: 4 * parameters,
      firstLoss,
      recentLoss,
    }
    return {
      samples: count,
      meanQuality: mean,
      variance: computeVariance(this.#quality),
      baseline,
      ...figures,
    }
  }

  /** What to act on; empty where all is well or too little was heard. */
  warnings(): MicroLoraWarning[] {
    const { samples: qualities, meanQuality, firstLoss, recentLoss } = this.statistics()
    const modules = [...this.#modules.values()].map(
      ({ name, layout: { rank }, steps, lastMove }) => {
        const { a, b } = this.#views(name)
        return { name, rank, steps, lastMove, rankInUse: computeEffectiveRank(a, b) }
      },
    )
    return [...listMicroWarnings({ qualities, meanQuality, firstLoss, recentLoss, modules })]
  }

  #saved(): SavedMicroLora {
    const { config, enabled } = this
    const tensors = new Map<string, Float32Array>()
    const modules: Record<string, SavedMicroLora['meta']['modules'][string]> = Object.create(null)
    for (const [name, module] of this.#modules) {
      const { pendingUpdates, steps, lastMove, consolidations, watched, noise } = module
      modules[name] = {
        pendingUpdates,
        steps,
        lastMove,
        consolidations,
        watched,
        noise: noise.state(),
      }
      for (const slot of listSavedSlots(config, pendingUpdates))
        tensors.set(`${name}.${slot}`, module.read(slot))
      if (config.ewc) tensors.set(`${name}.watched`, module.readWatched())
    }
    return {
      meta: {
        config,
        enabled,
        adaptations: this.#adaptations,
        forwards: this.#forwards,
        quality: { ...this.#quality },
        modules,
      },
      tensors,
    }
  }

  /** Takes over a state that fits; called with checked ones only. */
  #take({ meta, tensors }: SavedMicroLora): void {
    for (const [name, module] of this.#modules) {
      module.reset()
      module.restore(meta.modules[name]!)
      for (const slot of listSavedSlots(meta.config, module.pendingUpdates))
        module.write(slot, tensors.get(`${name}.${slot}`)!)
      if (meta.config.ewc) module.writeWatched(tensors.get(`${name}.watched`)!)
    }
    this.#emissions.clear()
    this.#quality = { ...meta.quality }
    this.#adaptations = meta.adaptations
    this.#forwards = meta.forwards
    this.enabled = meta.enabled
  }

  /**
   * Everything, weights to counts, as a JSON value with a checksum; `JSON.stringify(lora)` is its
   * text.
   */
  toJSON(): MicroLoraJson {
    return toJson(this.#saved())
  }

  /** The same as the bytes of a safetensors file whose A and B have PEFT's names. */
  toSafetensors(): Uint8Array {
    return toSafetensors(this.#saved())
  }

  /** Only the weights, as PEFT's two files. */
  toPeft(options: PeftExport = {}): PeftFiles {
    const tensors = [...this.#modules.values()].flatMap((module) => [
      ...toPeftTensors(module.name, module.layout, module.read('weights'), module.scale),
    ])
    return encodePeftFiles(this.config, new Map(tensors), options)
  }

  /**
   * Goes back to a saved state of the same settings. Throws MismatchError that names what differs,
   * and what `fromJSON` throws; then nothing changed.
   */
  restore(json: MicroLoraJson | string): void {
    const saved = fromJson(json)
    const own = flattenConfig(this.config)
    const other = flattenConfig(saved.meta.config)
    const names = [...new Set([...Object.keys(own), ...Object.keys(other)])].filter(
      (name) => own[name] !== other[name],
    )
    const mismatches = names.map((name) => ({
      name,
      got: other[name] ?? 'nothing',
      expected: own[name] ?? 'nothing',
    }))
    if (mismatches.length > 0)
      throw new MismatchError(
        'The saved MicroLoRA has other settings',
        mismatches,
        'MicroLora.fromJSON makes one of its own from it.',
      )
    this.#take(saved)
  }
}

function checkBase({ name, layout: { outFeatures } }: MicroModule, base: Float32Array): void {
  if (!(base instanceof Float32Array) || base.length !== outFeatures)
    throw new ShapeError(
      `${name}: base: got ${(base as Float32Array | null)?.length} values, expected ${outFeatures} in a Float32Array.`,
    )
  const at = base.findIndex((value) => !Number.isFinite(value))
  if (at >= 0) throw new NumericError(`${name}: base is ${base[at]} at ${at}; nothing was changed.`)
}

/** Settings and dimensions as texts by name. */
function flattenConfig({ modules, ...settings }: MicroLoraConfig): Record<string, string> {
  const dimensions = Object.entries(modules).map(([name, { inFeatures, outFeatures }]) => [
    `modules.${name}`,
    `${inFeatures} → ${outFeatures}`,
  ])
  return Object.fromEntries([
    ...Object.entries(settings).map(([name, value]) => [name, String(value)]),
    ...dimensions,
  ]) as Record<string, string>
}
