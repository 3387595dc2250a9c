// What one user's tiers know together: a hidden state in, the blended next-token logits out; a turn
// in, one step of each tier. Knows no text, no prompts and no other user.

import { OptionError } from '../../base/errors.ts'
import { f32, type F32Tensor } from '../../base/tensor.ts'
import type { Head } from '../../runtime/index.ts'
import {
  interpolateLogits,
  computeTokenShare,
  type GateState,
  learnGate,
  computeInterpolationWeight,
  createGate,
  type GateExample,
  computeSharpness,
} from './memory-gate.ts'
import { HeadTier, type HeadTierOptions } from './head-tier.ts'
import { type HeadLoss, type ScoredPosition, rowOf } from './head-gradient.ts'
import { MemoryTier, type MemoryTierOptions, type Retrieval } from './memory-tier.ts'
import type { LogitSummary } from './logit-summary.ts'

export interface TierStackOptions {
  /** The fast tier's; false: none. */
  readonly fast?: HeadTierOptions | false
  /** The memory's; false: none. */
  readonly memory?: MemoryTierOptions | false
}

/** Hidden states [T, D] and the token that followed each. */
export interface TrainingExample {
  readonly hidden: Float32Array
  readonly tokens: readonly number[]
  /**
   * What the memory knows the positions by, [T, D], where that is not `hidden`: states further
   * down, say.
   */
  readonly keys?: Float32Array
  /** How much each position counts; 1 unless given. Below zero: away from it. */
  readonly weights?: readonly number[] | undefined
  /** Multiplies the fast tier's rate. */
  readonly rate?: number
  /** Whether the gradient at the hidden states is wanted, though no fast tier here takes it. */
  readonly wantsGradient?: boolean
  /** What `look` or `answer` saw at these states: what still holds of it is not computed again. */
  readonly observations?: readonly Observation[]
}

/** What serving computes at a hidden state, as far as learning from it needs that. */
export interface Observation {
  readonly summary: LogitSummary
  readonly retrieval: Retrieval | undefined
  /** The tiers as they were: a sight holds until they have learned something else. */
  readonly versions: { readonly fast: object | undefined; readonly memory: object | undefined }
}

export interface Scores {
  /**
   * −log p(token) of the blend, and of the model with the fast tier alone, before anything is
   * learned.
   */
  readonly losses: Float32Array // [T]
  readonly modelLosses: Float32Array // [T]
  /** Mean of 1 − p(token) where weights are not 0: how unsure the blend was. */
  readonly surprise: number
}

export interface UpdateResult extends Scores {
  /**
   * ∂(mean weighted loss of the model)/∂hidden [T, D], from before the step: for whoever learns
   * further down. Zeros where nobody wanted it.
   */
  readonly gradient: Float32Array
}

export interface TierStack {
  readonly fast: HeadTier | undefined
  readonly memory: MemoryTier | undefined
  readonly gate: GateState
  /** Logits [V] of what follows a hidden state [D]; `key` as a lesson's keys. */
  next(hidden: Float32Array, key?: Float32Array): Promise<Float32Array>
  /** The same, and what was seen on the way. */
  predict(
    hidden: Float32Array,
    key?: Float32Array,
  ): Promise<{ readonly logits: Float32Array; readonly observation: Observation }>
  /** What is seen at hidden states [T, D], which share one product with the head. */
  observe(hidden: Float32Array, keys?: Float32Array): Promise<Observation[]>
  /** Losses of a lesson; nothing is learned. */
  score(lesson: TrainingExample): Promise<Scores>
  /** Losses before, then one step of each tier: remembered are the pairs of positive weight. */
  learn(lesson: TrainingExample): Promise<UpdateResult>
  /** Forgets everything. */
  clear(): void
}

/** A position as it was seen, and what came there. */
interface Position extends ScoredPosition {
  readonly retrieval: Retrieval | undefined
}

function resolveWeights(
  { hidden, keys = hidden, tokens, weights = tokens.map(() => 1), observations }: TrainingExample,
  { width, vocabularySize }: Head,
): readonly number[] {
  const problems = [
    ...(tokens.length === 0 ? ['there are no tokens'] : []),
    ...(hidden.length === tokens.length * width && keys.length === hidden.length
      ? []
      : [`${hidden.length} numbers of hidden states do not make ${tokens.length} of ${width}`]),
    ...(weights.length === tokens.length && weights.every(Number.isFinite)
      ? []
      : ['there is not one finite weight for each token']),
    ...(observations && observations.length !== tokens.length
      ? ['there is not one sight for each token']
      : []),
    ...(tokens.every((token) => Number.isInteger(token) && token >= 0 && token < vocabularySize)
      ? []
      : ['a token is outside of the vocabulary']),
  ]
  if (problems.length > 0)
    throw new OptionError(`A lesson cannot be learned: ${problems.join('; ')}.`)
  return weights
}

/** A user's tiers over a model's head. */
export const createTierStack = (
  head: Head,
  headLoss: HeadLoss,
  options: TierStackOptions = {},
): TierStack => new HeadTierStack(head, headLoss, options)

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

  async predict(
    hidden: Float32Array,
    key = hidden,
  ): Promise<{ logits: Float32Array; observation: Observation }> {
    const { data } = await this.#logits(hidden)
    const observation = this.#toObservation(data, this.memory?.retrieve(key, this.#sharpness))
    const { summary, retrieval } = observation
    return {
      logits: retrieval
        ? interpolateLogits(
            data,
            summary.total,
            retrieval,
            computeInterpolationWeight(this.gate, retrieval, summary.largest),
          )
        : data,
      observation,
    }
  }

  get #sharpness(): number | undefined {
    return this.memory && computeSharpness(this.gate, this.memory.sharpness)
  }

  async observe(hidden: Float32Array, keys = hidden): Promise<Observation[]> {
    const logits = await this.#logits(hidden)
    const recalls = this.memory?.retrieveAll(keys, this.#sharpness)
    return Array.from({ length: logits.shape[0]! }, (_, t) =>
      this.#toObservation(rowOf(logits, t), recalls?.[t]),
    )
  }

  #toObservation(logits: Float32Array, retrieval: Retrieval | undefined): Observation {
    return {
      summary: this.#headLoss.summarize(logits),
      retrieval,
      versions: { fast: this.fast?.version, memory: this.memory?.version },
    }
  }

  async score(lesson: TrainingExample): Promise<Scores> {
    return this.#computeScores((await this.#resolvePositions(lesson)).places).reading
  }

  async learn(lesson: TrainingExample): Promise<UpdateResult> {
    const { hidden, keys = hidden, rate = 1 } = lesson
    const { places, logits } = await this.#resolvePositions(lesson)
    const size = places.reduce((sum, { weight }) => sum + Math.abs(weight), 0)
    const { reading, seen } = this.#computeScores(places)
    const isWanted = size > 0 && (this.fast !== undefined || lesson.wantsGradient === true)
    const gradient = isWanted
      ? await this.#gradient(places, size, logits)
      : new Float32Array(hidden.length)
    const below =
      lesson.wantsGradient === true && this.fast ? this.fast.pullBack(gradient) : gradient
    if (size > 0) this.fast?.step(hidden, gradient, rate)
    if (this.memory) {
      learnGate(this.gate, seen)
      this.#remember(this.memory, keys, places)
    }
    return { ...reading, gradient: below }
  }

  /** ∂(mean loss by weights)/∂h′ */
  async #gradient(
    places: readonly Position[],
    size: number,
    logits: F32Tensor | undefined,
  ): Promise<Float32Array> {
    const weighted = places.map((place) => ({ ...place, weight: place.weight / size }))
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
    return this.#head.logits(
      f32([hidden.length / width, width], this.fast?.apply(hidden) ?? hidden),
    )
  }

  /** What was seen where the lesson's sights hold, else what is seen now; then the logits too. */
  async #resolvePositions(
    lesson: TrainingExample,
  ): Promise<{ places: Position[]; logits?: F32Tensor }> {
    const weights = resolveWeights(lesson, this.#head)
    const { hidden, keys = hidden, tokens, observations } = lesson
    const recalls = observations?.every(({ versions }) => versions.memory === this.memory?.version)
      ? observations.map(({ retrieval }) => retrieval)
      : this.memory?.retrieveAll(keys, this.#sharpness)
    const place = (summary: LogitSummary, t: number, logit: number): Position => ({
      summary,
      token: tokens[t]!,
      logit,
      weight: weights[t]!,
      retrieval: recalls?.[t],
    })
    if (
      observations?.every(({ versions }) => versions.fast === this.fast?.version) &&
      this.#headLoss.breadth !== 'all'
    ) {
      const came = await this.#computeTargetLogits(hidden, tokens, observations)
      return { places: observations.map(({ summary }, t) => place(summary, t, came[t]!)) }
    }
    const logits = await this.#logits(hidden)
    const seen = (token: number, t: number): Position => {
      const row = rowOf(logits, t)
      return place(this.#headLoss.summarize(row), t, row[token]!)
    }
    return { places: tokens.map(seen), logits }
  }

  /** Logits of the tokens that came: noted, or by one row of the head each. */
  async #computeTargetLogits(
    hidden: Float32Array,
    tokens: readonly number[],
    sights: readonly Observation[],
  ): Promise<number[]> {
    const { width, softcap } = this.#head
    const found = sights.map(({ summary: { ids, logits } }, t) => logits[ids.indexOf(tokens[t]!)])
    const missing = [...found.keys()].filter((t) => found[t] === undefined)
    if (missing.length === 0) return found as number[]
    const rows = await this.#head.rows(missing.map((t) => tokens[t]!))
    const changed = this.fast?.apply(hidden) ?? hidden
    missing.forEach((t, i) => {
      let sum = 0
      for (let j = 0; j < width; j++) sum += rows[i * width + j]! * changed[t * width + j]!
      found[t] = softcap === 0 ? sum : softcap * Math.tanh(sum / softcap)
    })
    return found as number[]
  }

  #computeScores(places: readonly Position[]): { reading: Scores; seen: readonly GateExample[] } {
    const modelLosses = Float32Array.from(places, ({ summary: { total }, logit }) => total - logit)
    const seen = places.map(
      ({ retrieval, summary: { largest }, token, weight }, t): GateExample | undefined => {
        return (
          retrieval && {
            retrieval,
            token,
            largest,
            model: Math.exp(-modelLosses[t]!),
            cache: computeTokenShare(retrieval, token),
            weight: Math.max(0, weight),
          }
        )
      },
    )
    const losses = modelLosses.map((loss, t) => {
      const at = seen[t]
      if (!at) return loss
      const share = computeInterpolationWeight(this.gate, at.retrieval, at.largest)
      return -Math.log(Math.max(Number.MIN_VALUE, (1 - share) * at.model + share * at.cache))
    })
    const counted = [...losses].filter((_, t) => places[t]!.weight !== 0)
    const surprise =
      counted.reduce((sum, loss) => sum + 1 - Math.exp(-loss), 0) / Math.max(1, counted.length)
    return {
      reading: { losses, modelLosses, surprise },
      seen: seen.filter((one) => one !== undefined),
    }
  }

  /**
   * Credit for pairs that were right, none for those that said what was rejected; then the new
   * pairs.
   */
  #remember(memory: MemoryTier, keys: Float32Array, places: readonly Position[]): void {
    const { width } = this.#head
    memory.decayUsefulness()
    for (const { retrieval, weight, token } of places) {
      if (retrieval && weight > 0) memory.reinforce(retrieval, token)
      if (retrieval && weight < 0) memory.penalize(retrieval, token)
    }
    places.forEach(
      ({ weight, token }, t) =>
        weight > 0 && memory.add(keys.subarray(t * width, (t + 1) * width), token),
    )
  }
}
