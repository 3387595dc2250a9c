// MicroLoRA: adapters of a few kilobytes that learn from single examples and feedback, in
// microseconds, without a language model. micro-adapter.ts computes outputs, module/ has the
// numbers, files/ the formats.

import { OptionError } from '../base/errors.ts'
import { Exploration } from './exploration.ts'
import { checkFeedback, type Feedback, qualityOf, computeFeedbackReward } from './feedback.ts'
import { fromJson, type MicroLoraJson, toJson } from './files/json.ts'
import { fromSafetensors, toSafetensors } from './files/safetensors.ts'
import { checkSameSettings, type SavedMicroLora } from './files/saved.ts'
import { captureEmissions, restoreEmissions } from './files/saved-emissions.ts'
import { captureModules, restoreModules } from './files/saved-modules.ts'
import type { KernelName } from './kernels/context.ts'
import { MicroAdapter } from './micro-adapter.ts'
import type { MicroModule } from './module/module.ts'
import { checkRate, measureGradient } from './module/step.ts'
import type { TrustRegion } from './module/trust-region.ts'
import {
  addLoss,
  addQuality,
  computeAdvantage,
  computeBaseline,
  createRewardState,
  type RewardState,
  scaleRate,
} from './reward.ts'
import { type SessionStatistics, Sessions } from './sessions.ts'
import { computeStatistics, listWarnings, type MicroLoraStatistics } from './statistics.ts'
import type { MicroLoraWarning } from './warnings.ts'

/** One MicroLoRA over one module or several, with its statistics. See docs/micro.md. */
export class MicroLora extends MicroAdapter {
  readonly #exploration = new Exploration()
  readonly #sessions = new Sessions()
  #rewards: RewardState = createRewardState()
  #adaptations = 0

  /**
   * A new one from what `toJSON` returned, as value or text. Throws FormatError, UnsupportedError,
   * MismatchError, NumericError.
   */
  static fromJSON(json: MicroLoraJson | string, options: { kernels?: KernelName } = {}): MicroLora {
    return MicroLora.#from(fromJson(json), options)
  }

  /** A new one from the bytes that `toSafetensors` returned. */
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
   * base + the adapter's output + noise of the standard deviation `exploration`, remembered by
   * session until its reward arrives. Throws ShapeError, NumericError.
   */
  explore(
    input: Float32Array,
    options: { base?: Float32Array; module?: string; sessionId?: string } = {},
  ): Float32Array {
    const emitted = this.#exploration.emit(this.module(options.module), input, {
      base: options.base,
      adds: this.enabled,
      session: options.sessionId ?? '',
    })
    if (this.enabled) this.forwards++
    return emitted
  }

  /**
   * Accumulates the gradient of the loss that the feedback states; `applyUpdates` then moves along
   * it. Returns that loss where it is known here:
   *
   *     target    L = ½‖base + y − target‖²
   *     gradient  L is the caller's; ∂L/∂y is taken as it is
   *     emitted   L = −(reward − baseline) · log π(emitted | base + y), π normal around it, or
   *               softmax where `emitted` is a class
   *
   * With `explored` it is the session's last output of `explore` that was emitted.
   *
   * A target or gradient is followed whatever the quality is; quality and reward given with it
   * count in the statistics. Throws OptionError, ShapeError, NumericError; then nothing has
   * changed. Does nothing while not enabled.
   */
  adapt(input: Float32Array, feedback: Feedback): number | undefined {
    if (!this.enabled) return undefined
    checkFeedback(feedback)
    const own = this.module(feedback.sourceModule)
    const { target, gradient, base } = feedback
    const quality = qualityOf(feedback)
    const reward = computeFeedbackReward(feedback, this.config.targetLatencyUs)
    const baseline = this.#rewards.baseline ?? (feedback.reward === undefined ? 0.5 : 0)
    let loss: number | undefined
    if (target !== undefined) {
      loss = own.accumulateTarget(input, target, base)
      addLoss(this.#rewards, loss)
    } else if (gradient !== undefined) own.accumulate(input, gradient)
    else loss = this.#reinforce(own, input, feedback, reward, baseline)
    if (quality !== undefined) addQuality(this.#rewards, quality)
    if (feedback.sessionId !== undefined)
      this.#sessions.add(feedback.sessionId, quality, target && loss)
    if (reward !== undefined)
      this.#rewards.baseline = computeBaseline(baseline, reward, this.config.baselineKeep)
    this.#adaptations++
    return loss
  }

  #reinforce(
    own: MicroModule,
    input: Float32Array,
    feedback: Feedback,
    reward: number | undefined,
    baseline: number,
  ): number {
    if (reward === undefined)
      throw new OptionError(
        'feedback: give a target, a gradient, or a reward, quality or verdict with an emitted output.',
      )
    const { normalizeQuality } = this.config
    const advantage = computeAdvantage(reward - baseline, this.#rewards, normalizeQuality)
    return this.#exploration.reinforce(own, input, feedback, advantage)
  }

  /**
   * One step of every module with accumulated gradients, down the loss; with `trust`, of the one
   * module no further than it allows. Returns how many gradients there were. Throws OptionError for
   * rates that cannot work, NumericError for gradients that overflow: those are dropped, no weight
   * moves.
   */
  applyUpdates(learningRate: number, trust?: TrustRegion): number {
    return this.#apply(learningRate, 0, trust)
  }

  /**
   * The same, pulled towards the weights of earlier tasks (option ewc; `consolidate` ends a task).
   * λ is by default the option's.
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
    checkRate(learningRate, this.config.weightDecay, lambda)
    const several = this.modules.size > 1
    if (trust !== undefined && several)
      throw new OptionError(
        'MicroLoRA: a trust region belongs to one module: with several, call module(name).apply(rate, λ, trust).',
      )
    if (!this.enabled) return 0
    if (several)
      for (const module of this.modules.values())
        if (module.pendingUpdates > 0) measureGradient(module, module.pendingUpdates)
    const rate = scaleRate(learningRate, this.config.rate, this.#rewards)
    let count = 0
    for (const module of this.modules.values())
      if (module.pendingUpdates > 0) count += module.apply(rate, lambda, trust)
    return count
  }

  /** Ends a task: from now on `applyUpdatesWithEwc` keeps what it needed. */
  consolidate(): void {
    for (const module of this.modules.values()) module.consolidate()
  }

  /** Back to the start: the same A, B zero, statistics at zero. */
  reset(): void {
    for (const module of this.modules.values()) module.reset()
    this.#exploration.clear()
    this.#sessions.restore([])
    this.#rewards = createRewardState()
    this.#adaptations = 0
    this.forwards = 0
  }

  statistics(): MicroLoraStatistics {
    return computeStatistics(this.modules.values(), this.#rewards, {
      adaptations: this.#adaptations,
      forwards: this.forwards,
    })
  }

  /** Figures by the sessionId of the feedback: of the 256 sessions heard of last. */
  sessionStatistics(): ReadonlyMap<string, SessionStatistics> {
    return this.#sessions.statistics()
  }

  /** What to act on; empty where all is well or there was too little feedback. */
  warnings(): MicroLoraWarning[] {
    return listWarnings(this.modules.values(), this.#rewards)
  }

  #capture(): SavedMicroLora {
    const { config, enabled, forwards } = this
    const { modules, tensors } = captureModules(config, this.modules)
    const quality = { ...this.#rewards }
    const adaptations = this.#adaptations
    const { places, tensors: emitted } = captureEmissions(this.#exploration.list())
    const emissions = places.length > 0 && { emissions: places }
    const heard = this.#sessions.list()
    const sessions = heard.length > 0 && { sessions: heard }
    const counts = { enabled, adaptations, forwards, quality }
    return {
      meta: Object.assign(counts, { config, modules }, emissions, sessions),
      tensors: new Map([...tensors, ...emitted]),
    }
  }

  /** Restores a state that was checked. */
  #take(saved: SavedMicroLora): void {
    const { meta } = saved
    restoreModules(this.modules, saved)
    this.#exploration.restore(restoreEmissions(meta.emissions ?? [], saved.tensors))
    this.#sessions.restore(meta.sessions ?? [])
    this.#rewards = { ...meta.quality }
    this.#adaptations = meta.adaptations
    this.forwards = meta.forwards
    this.enabled = meta.enabled
  }

  /**
   * The whole state as a JSON value with a checksum; `JSON.stringify(lora)` is its text.
   */
  toJSON(): MicroLoraJson {
    return toJson(this.#capture())
  }

  /** The same as the bytes of a safetensors file whose A and B have PEFT's names. */
  toSafetensors(): Uint8Array {
    return toSafetensors(this.#capture())
  }

  /**
   * Goes back to a saved state of the same settings. Throws MismatchError that names what differs,
   * and what `fromJSON` throws; then nothing has changed.
   */
  restore(json: MicroLoraJson | string): void {
    const saved = fromJson(json)
    checkSameSettings(this.config, saved.meta.config)
    this.#take(saved)
  }
}
