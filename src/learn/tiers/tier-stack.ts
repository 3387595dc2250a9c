// One user's tiers over a model's head: from a hidden state to the next token's logits, mixed with
// the memory; from a training example to one step of each tier. Independent of prompts and other
// users.

import { checkOptions } from '../../base/schema.ts'
import { f32, type F32Tensor } from '../../base/tensor.ts'
import type { Head } from '../../runtime/index.ts'
import { type HeadLoss, rowOf } from './head-gradient.ts'
import { HeadTier } from './head-tier.ts'
import type { LogitSummary } from './logit-summary.ts'
import {
  computeInterpolationWeight,
  computeSharpness,
  createGate,
  type GateState,
  interpolateLogits,
  learnGate,
} from './memory-gate.ts'
import { MemoryTier } from './memory-tier.ts'
import type { Retrieval } from './retrieval.ts'
import { type Position, scorePositions } from './score-positions.ts'
import { tierStackFields, type TierStackOptions } from './tier-options.ts'
import {
  type Observation,
  resolveWeights,
  type Scores,
  type TrainingExample,
  type UpdateResult,
} from './training-example.ts'

/** Logits [V] of the next token, and what learning can reuse. */
export interface Prediction {
  readonly logits: Float32Array
  readonly observation: Observation
}

export interface TierStack {
  readonly fast: HeadTier | undefined
  readonly memory: MemoryTier | undefined
  readonly gate: GateState
  /** Logits [V] of the token after a hidden state [D]; `key`: the memory's key of the position. */
  next(hidden: Float32Array, key?: Float32Array): Promise<Float32Array>
  /** The hidden state [D] that the head is given: changed by the fast tier, or as it is. */
  adjust(hidden: Float32Array): Float32Array
  /** The prediction from the head's logits [V] of an adjusted state, mixed with the memory. */
  complete(logits: Float32Array, key: Float32Array): Prediction
  /** The same as `next`, and what learning can reuse. */
  predict(hidden: Float32Array, key?: Float32Array): Promise<Prediction>
  /** Observations at hidden states [T, D], which share one product with the head. */
  observe(hidden: Float32Array, keys?: Float32Array): Promise<Observation[]>
  /** Losses of an example; nothing is learned. */
  score(example: TrainingExample): Promise<Scores>
  /**
   * Losses from before, then one step of each tier; the memory stores positions of positive weight.
   */
  learn(example: TrainingExample): Promise<UpdateResult>
  /** Resets all tiers. */
  clear(): void
}

/** A user's tiers over a model's head. */
export function createTierStack(
  head: Head,
  headLoss: HeadLoss,
  options: TierStackOptions = {},
): TierStack {
  checkOptions('Tiers', options, tierStackFields)
  return new HeadTierStack(head, headLoss, options)
}

class HeadTierStack implements TierStack {
  readonly fast: HeadTier | undefined
  readonly memory: MemoryTier | undefined
  readonly gate: GateState = createGate()
  readonly #head: Head
  readonly #headLoss: HeadLoss

  constructor(head: Head, headLoss: HeadLoss, { fast, memory }: TierStackOptions) {
    this.fast = fast === false ? undefined : new HeadTier(head.width, fast)
    this.memory = memory === false ? undefined : new MemoryTier(head.width, memory)
    this.#head = head
    this.#headLoss = headLoss
  }

  async next(hidden: Float32Array, key = hidden): Promise<Float32Array> {
    return (await this.predict(hidden, key)).logits
  }

  async predict(hidden: Float32Array, key = hidden): Promise<Prediction> {
    const { data } = await this.#logits(hidden)
    return this.complete(data, key)
  }

  adjust(hidden: Float32Array): Float32Array {
    return this.fast?.apply(hidden) ?? hidden
  }

  complete(data: Float32Array, key: Float32Array): Prediction {
    const observation = this.#toObservation(data, this.memory?.retrieve(key, this.#sharpness))
    const { summary, retrieval } = observation
    if (!retrieval) return { logits: data, observation }
    const share = computeInterpolationWeight(this.gate, retrieval, summary.largest)
    return { logits: interpolateLogits(data, summary.total, retrieval, share), observation }
  }

  get #sharpness(): number | undefined {
    return this.memory && computeSharpness(this.gate, this.memory.sharpness)
  }

  async observe(hidden: Float32Array, keys = hidden): Promise<Observation[]> {
    const logits = await this.#logits(hidden)
    const retrievals = this.memory?.retrieveAll(keys, this.#sharpness)
    return Array.from({ length: logits.shape[0]! }, (_, t) =>
      this.#toObservation(rowOf(logits, t), retrievals?.[t]),
    )
  }

  #toObservation(logits: Float32Array, retrieval: Retrieval | undefined): Observation {
    return {
      summary: this.#headLoss.summarize(logits),
      retrieval,
      versions: { fast: this.fast?.version, memory: this.memory?.version },
    }
  }

  async score(example: TrainingExample): Promise<Scores> {
    return scorePositions((await this.#resolvePositions(example)).positions, this.gate).scores
  }

  async learn(example: TrainingExample): Promise<UpdateResult> {
    const { hidden, keys = hidden, rate = 1, wantsGradient = false } = example
    const { positions, logits } = await this.#resolvePositions(example)
    const totalWeight = positions.reduce((sum, { weight }) => sum + Math.abs(weight), 0)
    const { scores, gateExamples } = scorePositions(positions, this.gate)
    const isWanted = totalWeight > 0 && (this.fast !== undefined || wantsGradient)
    const headGradient = isWanted
      ? await this.#gradient(positions, totalWeight, logits)
      : new Float32Array(hidden.length)
    const gradient = wantsGradient && this.fast ? this.fast.pullBack(headGradient) : headGradient
    if (totalWeight > 0) this.fast?.step(hidden, headGradient, rate)
    if (this.memory) {
      learnGate(this.gate, gateExamples)
      this.memory.learn(positions, keys)
    }
    return { ...scores, gradient }
  }

  /** ∂(mean loss by weights)/∂h′ */
  async #gradient(
    positions: readonly Position[],
    totalWeight: number,
    logits: F32Tensor | undefined,
  ): Promise<Float32Array> {
    const weighted = positions.map((position) => ({
      ...position,
      weight: position.weight / totalWeight,
    }))
    if (this.#headLoss.breadth !== 'all') return this.#headLoss.gradient(weighted)
    const tokens = weighted.map(({ token }) => token)
    const weights = weighted.map(({ weight }) => weight)
    return (await this.#headLoss.compute(logits!, tokens, weights)).gradient
  }

  clear(): void {
    this.fast?.clear()
    this.memory?.clear()
    Object.assign(this.gate, createGate())
  }

  #logits(hidden: Float32Array): Promise<F32Tensor> {
    const { width } = this.#head
    return this.#head.logits(f32([hidden.length / width, width], this.adjust(hidden)))
  }

  /**
   * Positions from the observations that are still valid; others are computed, then with logits.
   */
  async #resolvePositions(
    example: TrainingExample,
  ): Promise<{ positions: Position[]; logits?: F32Tensor }> {
    const weights = resolveWeights(example, this.#head)
    const { hidden, keys = hidden, tokens, observations } = example
    const retrievals = observations?.every(
      ({ versions }) => versions.memory === this.memory?.version,
    )
      ? observations.map(({ retrieval }) => retrieval)
      : this.memory?.retrieveAll(keys, this.#sharpness)
    const toPosition = (summary: LogitSummary, t: number, logit: number): Position => ({
      summary,
      token: tokens[t]!,
      logit,
      weight: weights[t]!,
      retrieval: retrievals?.[t],
    })
    if (
      observations?.every(({ versions }) => versions.fast === this.fast?.version) &&
      this.#headLoss.breadth !== 'all'
    ) {
      const targetLogits = await this.#computeTargetLogits(hidden, tokens, observations)
      return {
        positions: observations.map(({ summary }, t) => toPosition(summary, t, targetLogits[t]!)),
      }
    }
    const logits = await this.#logits(hidden)
    const positions = tokens.map((token, t) => {
      const row = rowOf(logits, t)
      return toPosition(this.#headLoss.summarize(row), t, row[token]!)
    })
    return { positions, logits }
  }

  /** Logits of the target tokens: from the summaries, or by one row of the head each. */
  async #computeTargetLogits(
    hidden: Float32Array,
    tokens: readonly number[],
    observations: readonly Observation[],
  ): Promise<number[]> {
    const { width, softcap } = this.#head
    const found = observations.map(
      ({ summary: { ids, logits } }, t) => logits[ids.indexOf(tokens[t]!)],
    )
    const missing = [...found.keys()].filter((t) => found[t] === undefined)
    if (missing.length === 0) return found as number[]
    const rows = await this.#head.rows(missing.map((t) => tokens[t]!))
    const changed = this.adjust(hidden)
    missing.forEach((t, i) => {
      let sum = 0
      for (let j = 0; j < width; j++) sum += rows[i * width + j]! * changed[t * width + j]!
      found[t] = softcap === 0 ? sum : softcap * Math.tanh(sum / softcap)
    })
    return found as number[]
  }
}
