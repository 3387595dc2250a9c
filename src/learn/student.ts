// What one user's tiers know together: a hidden state in, the blended next-token logits out; a turn in, one step of each tier. Knows no text, no
// prompts and no other user.

import { OptionError } from '../base/errors.ts'
import { f32, type F32Tensor } from '../base/tensor.ts'
import type { Head } from '../runtime/index.ts'
import { blended, cachedShare, type GateState, learnGate, memoryShare, newGate, type Seen } from './blend.ts'
import { FastTier, type FastTierOptions } from './fast-tier.ts'
import type { HeadErrors } from './head-error.ts'
import { MemoryTier, type MemoryOptions, type Recall } from './memory-tier.ts'

export interface StudentOptions {
  /** The fast tier's; false: none. */
  readonly fast?: FastTierOptions | false
  /** The memory's; false: none. */
  readonly memory?: MemoryOptions | false
}

/** Hidden states [T, D] and the token that followed each. */
export interface Lesson {
  readonly hidden: Float32Array
  readonly tokens: readonly number[]
  /** How much each position counts; 1 unless given. Below zero: away from it. */
  readonly weights?: readonly number[] | undefined
  /** Multiplies the fast tier's rate. */
  readonly rate?: number
}

export interface Reading {
  /** −log p(token) of the blend, and of the model with the fast tier alone, before anything is learned. */
  readonly losses: Float32Array // [T]
  readonly modelLosses: Float32Array // [T]
  /** Mean of 1 − p(token) where weights are not 0: how unsure the blend was. */
  readonly surprise: number
}

export interface Student {
  readonly fast: FastTier | undefined
  readonly memory: MemoryTier | undefined
  readonly gate: GateState
  /** Logits [V] of what follows a hidden state [D]. */
  next(hidden: Float32Array): Promise<Float32Array>
  /** Losses of a lesson; nothing is learned. */
  read(lesson: Lesson): Promise<Reading>
  /** Losses before, then one step of each tier: remembered are the pairs of positive weight. */
  learn(lesson: Lesson): Promise<Reading>
  /** Forgets everything. */
  clear(): void
}

interface Looked {
  readonly logits: F32Tensor
  readonly recalls: readonly (Recall | undefined)[]
  readonly weights: readonly number[]
}

function checked({ hidden, tokens, weights = tokens.map(() => 1) }: Lesson, { width, vocabularySize }: Head): readonly number[] {
  const problems = [
    ...(tokens.length === 0 ? ['there are no tokens'] : []),
    ...(hidden.length === tokens.length * width
      ? []
      : [`${hidden.length} numbers of hidden states do not make ${tokens.length} of ${width}`]),
    ...(weights.length === tokens.length && weights.every(Number.isFinite) ? [] : ['there is not one finite weight for each token']),
    ...(tokens.every((token) => Number.isInteger(token) && token >= 0 && token < vocabularySize) ? [] : ['a token is outside of the vocabulary']), // prettier-ignore
  ]
  if (problems.length > 0) throw new OptionError(`A lesson cannot be learned: ${problems.join('; ')}.`)
  return weights
}

/** A user's tiers over a model's head. */
export const createStudent = (head: Head, errors: HeadErrors, options: StudentOptions = {}): Student => new Tiers(head, errors, options)

class Tiers implements Student {
  readonly fast: FastTier | undefined
  readonly memory: MemoryTier | undefined
  readonly gate: GateState = newGate()
  readonly #head: Head
  readonly #errors: HeadErrors

  constructor(head: Head, errors: HeadErrors, { fast, memory }: StudentOptions) {
    this.fast = fast === false ? undefined : new FastTier(head.width, fast)
    this.memory = memory === false ? undefined : new MemoryTier(head.width, memory)
    this.#head = head
    this.#errors = errors
  }

  async next(hidden: Float32Array): Promise<Float32Array> {
    const { data } = await this.#logits(hidden)
    const recall = this.memory?.recall(hidden)
    if (!recall) return data
    const { total, largest } = sumOf(data)
    return blended(data, total, recall, memoryShare(this.gate, recall, largest))
  }

  async read(lesson: Lesson): Promise<Reading> {
    const looked = await this.#look(lesson)
    const seen = Array.from(lesson.tokens, (token, t) => lossOf(looked.logits, t, token))
    const losses = Float32Array.from(seen, ({ loss }) => loss)
    return this.#reading(
      lesson.tokens,
      looked,
      losses,
      seen.map(({ largest }) => largest),
    ).reading
  }

  async learn(lesson: Lesson): Promise<Reading> {
    const { hidden, tokens, rate = 1 } = lesson
    const looked = await this.#look(lesson)
    const size = looked.weights.reduce((sum, weight) => sum + Math.abs(weight), 0)
    const shares = looked.weights.map((weight) => (size > 0 ? weight / size : 0))
    const { losses, largest, gradient } = await this.#errors.of(looked.logits, tokens, shares)
    const { reading, seen } = this.#reading(tokens, looked, losses, largest)
    if (size > 0) this.fast?.step(hidden, gradient, rate)
    if (this.memory) {
      learnGate(this.gate, seen)
      this.#remember(this.memory, lesson, looked)
    }
    return reading
  }

  clear(): void {
    this.fast?.clear()
    this.memory?.clear()
    Object.assign(this.gate, newGate())
  }

  #logits(hidden: Float32Array): Promise<F32Tensor> {
    const { width } = this.#head
    return this.#head.logits(f32([hidden.length / width, width], this.fast?.change(hidden) ?? hidden))
  }

  async #look(lesson: Lesson): Promise<Looked> {
    const weights = checked(lesson, this.#head)
    const { width } = this.#head
    const recalls = lesson.tokens.map((_, t) => this.memory?.recall(lesson.hidden.subarray(t * width, (t + 1) * width)))
    return { logits: await this.#logits(lesson.hidden), recalls, weights }
  }

  #reading(tokens: readonly number[], { recalls, weights }: Looked, losses: Float32Array, largest: ArrayLike<number>) {
    const seen: (Seen | undefined)[] = tokens.map((token, t) => {
      const recall = recalls[t]
      return recall && { recall, largest: largest[t]!, model: Math.exp(-losses[t]!), cache: cachedShare(recall, token), weight: Math.max(0, weights[t]!) } // prettier-ignore
    })
    const mixed = losses.map((loss, t) => {
      const at = seen[t]
      if (!at) return loss
      const share = memoryShare(this.gate, at.recall, at.largest)
      return -Math.log(Math.max(Number.MIN_VALUE, (1 - share) * at.model + share * at.cache))
    })
    const counted = [...mixed].filter((_, t) => weights[t] !== 0)
    const surprise = counted.reduce((sum, loss) => sum + 1 - Math.exp(-loss), 0) / Math.max(1, counted.length)
    return { reading: { losses: mixed, modelLosses: losses, surprise } satisfies Reading, seen: seen.filter((one) => one !== undefined) }
  }

  /** Credit for pairs that were right, none for those that said what was rejected; then the new pairs. */
  #remember(memory: MemoryTier, { hidden, tokens }: Lesson, { recalls, weights }: Looked): void {
    const { width } = this.#head
    memory.fade()
    tokens.forEach((token, t) => {
      const recall = recalls[t]
      if (recall && weights[t]! > 0) memory.reward(recall, token)
      if (recall && weights[t]! < 0) memory.forget(recall, token)
    })
    tokens.forEach((token, t) => weights[t]! > 0 && memory.add(hidden.subarray(t * width, (t + 1) * width), token))
  }
}

function sumOf(logits: Float32Array): { total: number; largest: number } {
  let top = -Infinity
  for (let i = 0; i < logits.length; i++) if (logits[i]! > top) top = logits[i]!
  let sum = 0
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i]! - top)
  return { total: top + Math.log(sum), largest: 1 / sum }
}

function lossOf({ data, shape }: F32Tensor, t: number, token: number): { loss: number; largest: number } {
  const row = data.subarray(t * shape[1]!, (t + 1) * shape[1]!)
  const { total, largest } = sumOf(row)
  return { loss: total - row[token]!, largest }
}
