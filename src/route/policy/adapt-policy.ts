// Learning from feedback while a policy runs: each answer that was judged is learned together with
// a few earlier ones, by Adam over the matrices of Router LoRA alone. Texts are kept in memory
// only.

import { random, type Random } from '../../base/random.ts'
import { adamw } from '../../train/optimizers/adamw.ts'
import type { F32Tensor } from '../../base/tensor.ts'
import {
  findLargest,
  type HeadName,
  type PolicyShape,
  type PolicyWeights,
} from './policy-weights.ts'
import { computeSigmoid, runPolicy } from './run-policy.ts'
import { addLoraGradients, createLoraGradients, initializeLora } from './router-lora.ts'

/** The outcome of a decision, in numbers. */
export interface PolicyFeedback {
  readonly words: readonly Int32Array[]
  /** The right expert; −1: none of them; undefined: only the reward is known. */
  readonly right?: number | undefined
  /** The expert that answered. */
  readonly chosen?: number | undefined
  /** How good its answer was, 0–1. */
  readonly reward?: number | undefined
}

export interface AdaptSettings {
  readonly learningRate: number
  /** Feedback that is kept and learned again, the last ones. */
  readonly memory: number
  /** Steps after each feedback, and examples in each. */
  readonly steps: number
  readonly batch: number
  /**
   * Prompts of the training that are learned again in each step, so that they are not forgotten.
   */
  readonly anchors: number
  readonly weightDecay: number
  readonly seed: number
}

export const adaptDefaults: AdaptSettings = {
  learningRate: 0.01,
  memory: 256,
  steps: 4,
  batch: 8,
  anchors: 8,
  weightDecay: 0,
  seed: 1,
}

/**
 * The gradient of the loss by the experts' logits. A right expert, or a reward from 0.5 on:
 * cross-entropy, in the measure 2r − 1. A reward below: −log(1 − p of the chosen one), in the
 * measure 1 − 2r. None is right: cross-entropy with even shares.
 */
export function computeExpertErrors(
  logits: Float64Array,
  { right, chosen, reward }: Omit<PolicyFeedback, 'words'>,
): Float64Array | undefined {
  const most = Math.max(...logits)
  const shares = logits.map((value) => Math.exp(value - most))
  const total = shares.reduce((sum, value) => sum + value, 0)
  for (let i = 0; i < shares.length; i++) shares[i]! /= total
  if (right !== undefined)
    return shares.map((p, i) => p - (right < 0 ? 1 / shares.length : Number(i === right)))
  if (chosen === undefined || reward === undefined || chosen < 0) return undefined
  const measure = 2 * reward - 1
  if (measure >= 0) return shares.map((p, i) => measure * (p - Number(i === chosen)))
  const own = shares[chosen]!
  const rest = Math.max(1e-6, 1 - own)
  return shares.map((p, i) => (-measure * own * (Number(i === chosen) - p)) / rest)
}

/** Whether the best expert was right, for the confidence; undefined if that is not known. */
function judgeBest(
  logits: Float64Array,
  { right, chosen, reward }: PolicyFeedback,
): 0 | 1 | undefined {
  const best = findLargest(logits)
  if (right !== undefined) return best === right ? 1 : 0
  if (best !== chosen || reward === undefined) return undefined
  return reward >= 0.5 ? 1 : 0
}

/** A policy with the changes that feedback made. */
export class AdaptedPolicy {
  readonly lora: Map<string, F32Tensor>
  readonly #shape: PolicyShape
  readonly #weights: PolicyWeights
  readonly #settings: AdaptSettings
  readonly #random: Random
  readonly #moments = new Map<string, Record<'mean' | 'square', Float32Array>>()
  readonly #memory: PolicyFeedback[] = []
  readonly #anchors: readonly PolicyFeedback[]
  #step = 0

  constructor(
    shape: PolicyShape,
    weights: PolicyWeights,
    settings: AdaptSettings = adaptDefaults,
    anchors: readonly PolicyFeedback[] = [],
    lora?: Map<string, F32Tensor>,
  ) {
    this.#shape = shape
    this.#weights = weights
    this.#settings = settings
    this.#anchors = anchors
    this.#random = random(settings.seed)
    this.lora = lora ?? initializeLora(shape, this.#random)
    for (const [name, { data }] of this.lora)
      this.#moments.set(name, {
        mean: new Float32Array(data.length),
        square: new Float32Array(data.length),
      })
  }

  run(words: readonly Int32Array[]) {
    return runPolicy(this.#shape, this.#weights, words, this.lora)
  }

  /** Learns from one feedback. One without words or without a judgement changes nothing. */
  learn(feedback: PolicyFeedback): void {
    if (feedback.words.length === 0) return
    if (feedback.right === undefined && feedback.reward === undefined) return
    const { memory, steps, batch, anchors } = this.#settings
    this.#memory.push(feedback)
    if (this.#memory.length > memory) this.#memory.shift()
    for (let step = 0; step < steps; step++) {
      const others = Math.min(batch, this.#memory.length) - 1
      const old = this.#anchors.length > 0 ? anchors : 0
      this.#learnTogether([
        feedback,
        ...this.#draw(this.#memory, others),
        ...this.#draw(this.#anchors, old),
      ])
    }
  }

  #draw(from: readonly PolicyFeedback[], count: number): PolicyFeedback[] {
    return Array.from({ length: count }, () => from[this.#random.integer(from.length)]!)
  }

  #learnTogether(batch: readonly PolicyFeedback[]): void {
    const gradients = createLoraGradients(this.lora)
    for (const feedback of batch) {
      const pass = this.run(feedback.words)
      const logits = pass.logits.get('expert')!
      const errors = computeExpertErrors(logits, feedback)
      if (!errors) continue
      const upstream = new Map<HeadName, Float64Array>([['expert', errors]])
      const wasRight = judgeBest(logits, feedback)
      const sure = pass.logits.get('confidence')
      if (sure && wasRight !== undefined)
        upstream.set(
          'confidence',
          sure.map((value) => computeSigmoid(value) - wasRight),
        )
      addLoraGradients(this.#shape, this.#weights, this.lora, pass, upstream, gradients)
    }
    this.#step++
    const { learningRate, weightDecay } = this.#settings
    const settings = adamw.complete({ weightDecay })
    for (const [name, gradient] of gradients)
      adamw.update(
        {
          parameter: this.lora.get(name)!.data,
          gradient: Float32Array.from(gradient, (value) => value / batch.length),
          shape: [gradient.length],
          state: this.#moments.get(name)!,
          step: this.#step,
          learningRate,
        },
        settings,
      )
  }
}
