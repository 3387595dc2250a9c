// What one user's tiers know together: a hidden state in, the blended next-token logits out; a turn
// in, one step of each tier. Knows no text, no prompts and no other user.

import { OptionError } from '../../base/errors.ts'
import { f32, type F32Tensor } from '../../base/tensor.ts'
import type { Head } from '../../runtime/index.ts'
import {
  blended,
  cachedShare,
  type GateState,
  learnGate,
  memoryShare,
  newGate,
  type Seen,
  sharpnessOf,
} from './memory-gate.ts'
import { FastTier, type FastTierOptions } from './head-tier.ts'
import { type HeadErrors, type NotedPlace, rowOf } from './head-gradient.ts'
import { MemoryTier, type MemoryOptions, type Recall } from './memory-tier.ts'
import type { Note } from './logit-summary.ts'

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
  readonly sights?: readonly Sight[]
}

/** What serving computes at a hidden state, as far as learning from it needs that. */
export interface Sight {
  readonly note: Note
  readonly recall: Recall | undefined
  /** The tiers as they were: a sight holds until they have learned something else. */
  readonly versions: { readonly fast: object | undefined; readonly memory: object | undefined }
}

export interface Reading {
  /**
   * −log p(token) of the blend, and of the model with the fast tier alone, before anything is
   * learned.
   */
  readonly losses: Float32Array // [T]
  readonly modelLosses: Float32Array // [T]
  /** Mean of 1 − p(token) where weights are not 0: how unsure the blend was. */
  readonly surprise: number
}

export interface Learned extends Reading {
  /**
   * ∂(mean weighted loss of the model)/∂hidden [T, D], from before the step: for whoever learns
   * further down. Zeros where nobody wanted it.
   */
  readonly gradient: Float32Array
}

export interface Student {
  readonly fast: FastTier | undefined
  readonly memory: MemoryTier | undefined
  readonly gate: GateState
  /** Logits [V] of what follows a hidden state [D]; `key` as a lesson's keys. */
  next(hidden: Float32Array, key?: Float32Array): Promise<Float32Array>
  /** The same, and what was seen on the way. */
  answer(
    hidden: Float32Array,
    key?: Float32Array,
  ): Promise<{ readonly logits: Float32Array; readonly sight: Sight }>
  /** What is seen at hidden states [T, D], which share one product with the head. */
  look(hidden: Float32Array, keys?: Float32Array): Promise<Sight[]>
  /** Losses of a lesson; nothing is learned. */
  read(lesson: Lesson): Promise<Reading>
  /** Losses before, then one step of each tier: remembered are the pairs of positive weight. */
  learn(lesson: Lesson): Promise<Learned>
  /** Forgets everything. */
  clear(): void
}

/** A position as it was seen, and what came there. */
interface Place extends NotedPlace {
  readonly recall: Recall | undefined
}

function checked(
  { hidden, keys = hidden, tokens, weights = tokens.map(() => 1), sights }: Lesson,
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
    ...(sights && sights.length !== tokens.length ? ['there is not one sight for each token'] : []),
    ...(tokens.every((token) => Number.isInteger(token) && token >= 0 && token < vocabularySize)
      ? []
      : ['a token is outside of the vocabulary']),
  ]
  if (problems.length > 0)
    throw new OptionError(`A lesson cannot be learned: ${problems.join('; ')}.`)
  return weights
}

/** A user's tiers over a model's head. */
export const createStudent = (
  head: Head,
  errors: HeadErrors,
  options: StudentOptions = {},
): Student => new Tiers(head, errors, options)

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

  async next(hidden: Float32Array, key = hidden): Promise<Float32Array> {
    return (await this.answer(hidden, key)).logits
  }

  async answer(
    hidden: Float32Array,
    key = hidden,
  ): Promise<{ logits: Float32Array; sight: Sight }> {
    const { data } = await this.#logits(hidden)
    const sight = this.#sight(data, this.memory?.recall(key, this.#sharpness))
    const { note, recall } = sight
    return {
      logits: recall
        ? blended(data, note.total, recall, memoryShare(this.gate, recall, note.largest))
        : data,
      sight,
    }
  }

  get #sharpness(): number | undefined {
    return this.memory && sharpnessOf(this.gate, this.memory.sharpness)
  }

  async look(hidden: Float32Array, keys = hidden): Promise<Sight[]> {
    const logits = await this.#logits(hidden)
    const recalls = this.memory?.recallAll(keys, this.#sharpness)
    return Array.from({ length: logits.shape[0]! }, (_, t) =>
      this.#sight(rowOf(logits, t), recalls?.[t]),
    )
  }

  #sight(logits: Float32Array, recall: Recall | undefined): Sight {
    return {
      note: this.#errors.note(logits),
      recall,
      versions: { fast: this.fast?.version, memory: this.memory?.version },
    }
  }

  async read(lesson: Lesson): Promise<Reading> {
    return this.#reading((await this.#places(lesson)).places).reading
  }

  async learn(lesson: Lesson): Promise<Learned> {
    const { hidden, keys = hidden, rate = 1 } = lesson
    const { places, logits } = await this.#places(lesson)
    const size = places.reduce((sum, { weight }) => sum + Math.abs(weight), 0)
    const { reading, seen } = this.#reading(places)
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
    places: readonly Place[],
    size: number,
    logits: F32Tensor | undefined,
  ): Promise<Float32Array> {
    const weighted = places.map((place) => ({ ...place, weight: place.weight / size }))
    if (this.#errors.breadth !== 'all') return this.#errors.gradient(weighted)
    const tokens = weighted.map(({ token }) => token)
    const weights = weighted.map(({ weight }) => weight)
    return (await this.#errors.of(logits!, tokens, weights)).gradient
  }

  clear(): void {
    this.fast?.clear()
    this.memory?.clear()
    Object.assign(this.gate, newGate())
  }

  #logits(hidden: Float32Array): Promise<F32Tensor> {
    const { width } = this.#head
    return this.#head.logits(
      f32([hidden.length / width, width], this.fast?.change(hidden) ?? hidden),
    )
  }

  /** What was seen where the lesson's sights hold, else what is seen now; then the logits too. */
  async #places(lesson: Lesson): Promise<{ places: Place[]; logits?: F32Tensor }> {
    const weights = checked(lesson, this.#head)
    const { hidden, keys = hidden, tokens, sights } = lesson
    const recalls = sights?.every(({ versions }) => versions.memory === this.memory?.version)
      ? sights.map(({ recall }) => recall)
      : this.memory?.recallAll(keys, this.#sharpness)
    const place = (note: Note, t: number, logit: number): Place => ({
      note,
      token: tokens[t]!,
      logit,
      weight: weights[t]!,
      recall: recalls?.[t],
    })
    if (
      sights?.every(({ versions }) => versions.fast === this.fast?.version) &&
      this.#errors.breadth !== 'all'
    ) {
      const came = await this.#logitsOf(hidden, tokens, sights)
      return { places: sights.map(({ note }, t) => place(note, t, came[t]!)) }
    }
    const logits = await this.#logits(hidden)
    const seen = (token: number, t: number): Place => {
      const row = rowOf(logits, t)
      return place(this.#errors.note(row), t, row[token]!)
    }
    return { places: tokens.map(seen), logits }
  }

  /** Logits of the tokens that came: noted, or by one row of the head each. */
  async #logitsOf(
    hidden: Float32Array,
    tokens: readonly number[],
    sights: readonly Sight[],
  ): Promise<number[]> {
    const { width, softcap } = this.#head
    const found = sights.map(({ note: { ids, logits } }, t) => logits[ids.indexOf(tokens[t]!)])
    const missing = [...found.keys()].filter((t) => found[t] === undefined)
    if (missing.length === 0) return found as number[]
    const rows = await this.#head.rows(missing.map((t) => tokens[t]!))
    const changed = this.fast?.change(hidden) ?? hidden
    missing.forEach((t, i) => {
      let sum = 0
      for (let j = 0; j < width; j++) sum += rows[i * width + j]! * changed[t * width + j]!
      found[t] = softcap === 0 ? sum : softcap * Math.tanh(sum / softcap)
    })
    return found as number[]
  }

  #reading(places: readonly Place[]): { reading: Reading; seen: readonly Seen[] } {
    const modelLosses = Float32Array.from(places, ({ note: { total }, logit }) => total - logit)
    const seen = places.map(({ recall, note: { largest }, token, weight }, t): Seen | undefined => {
      return (
        recall && {
          recall,
          token,
          largest,
          model: Math.exp(-modelLosses[t]!),
          cache: cachedShare(recall, token),
          weight: Math.max(0, weight),
        }
      )
    })
    const losses = modelLosses.map((loss, t) => {
      const at = seen[t]
      if (!at) return loss
      const share = memoryShare(this.gate, at.recall, at.largest)
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
  #remember(memory: MemoryTier, keys: Float32Array, places: readonly Place[]): void {
    const { width } = this.#head
    memory.fade()
    for (const { recall, weight, token } of places) {
      if (recall && weight > 0) memory.reward(recall, token)
      if (recall && weight < 0) memory.forget(recall, token)
    }
    places.forEach(
      ({ weight, token }, t) =>
        weight > 0 && memory.add(keys.subarray(t * width, (t + 1) * width), token),
    )
  }
}
