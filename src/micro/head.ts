// Learning at a language model's head: the loss of the token that came and its gradient at the
// hidden state, from the likeliest tokens' logits and rows. Keeps rows by token, the ones used
// last; reads none itself and knows no adapter.

import { NumericError, OptionError, ShapeError } from '../base/errors.ts'
import { isAllFinite } from '../base/finite.ts'
import { getKernelContext, type KernelContext, type KernelName } from './kernels/context.ts'
import { releaseRegistry } from './kernels/heap.ts'
import { padLength } from './layout.ts'

export interface HeadRowsOptions {
  /** Of the hidden state and of a row. */
  readonly width: number
  /** Rows that are kept; 4 · width bytes each, taken at once. Default 2048. */
  readonly capacity?: number
  /**
   * The vocabulary's average row [width], along which tokens that are not looked at are taken to
   * lie. Without it they are left out.
   */
  readonly averageRow?: Float32Array
  /** Of models that cap logits as cap · tanh(l / cap). Default 0: no cap. */
  readonly softcap?: number
  readonly kernels?: KernelName
}

/** What the model said at one place, and what came. */
export interface HeadPrediction {
  /** The tokens looked at, each once: the 64 likeliest, say, and the one that came. */
  readonly ids: ArrayLike<number>
  /** Their logits, by the same places. */
  readonly logits: ArrayLike<number>
  /** log Σ exp over the logits of the whole vocabulary; over those given where it is missing. */
  readonly total?: number
  /** The token that came; one of `ids`. */
  readonly came: number
  /** Multiplies loss and gradient; below 0 away from what came. Default 1. */
  readonly weight?: number
}

export interface HeadGradient {
  /** −weight · log p(came) */
  readonly loss: number
  /** The probability of tokens that were not looked at. */
  readonly rest: number
  /** ∂loss/∂h [width] */
  readonly gradient: Float32Array
}

const mostTokens = 2 ** 24
// row numbers are floats in the heap; probabilities from 32-bit logits may add up to a little over
// 1
const slack = 1e-3

/**
 * Rows of a head W [V, width] by token, and with them the gradient of a prediction's cross-entropy
 * at the hidden state h, logits = W·h:
 *
 * L = −log p(came) ∂L/∂h = Σ_looked at (p − y)·w_token + rest·w_average y: 1 for the token that
 * came, else 0
 *
 * Exact where `ids` is the whole vocabulary.
 */
export class HeadRows {
  readonly width: number
  readonly capacity: number
  readonly #context: KernelContext
  readonly #softcap: number
  readonly #stride: number
  readonly #hasAverage: boolean
  /** Rows, the average behind them; then row numbers and weights of a call, and its gradient. */
  readonly #rows: number
  readonly #places: number
  readonly #weights: number
  readonly #y: number
  readonly #release: () => void
  readonly #slots = new Map<number, number>()
  readonly #free: number[]
  readonly #usedAt: Float64Array
  #now = 0
  #disposed = false

  /** Throws one OptionError that names everything that is wrong. */
  constructor({ width, capacity = 2048, averageRow, softcap = 0, kernels }: HeadRowsOptions) {
    const rules: readonly (readonly [boolean, string])[] = [
      [
        Number.isInteger(width) && width > 0 && width <= 2 ** 20,
        `width: got ${width}, expected a whole number from 1 to 1048576`,
      ],
      [
        Number.isInteger(capacity) && capacity > 0 && capacity < mostTokens,
        `capacity: got ${capacity}, expected a whole number from 1 to ${mostTokens - 1}`,
      ],
      [
        Number.isFinite(softcap) && softcap >= 0,
        `softcap: got ${softcap}, expected 0 or a number above`,
      ],
      [
        averageRow === undefined || (averageRow.length === width && isAllFinite(averageRow)),
        `averageRow: expected ${width} finite values`,
      ],
    ]
    const broken = rules.flatMap(([holds, message]) => (holds ? [] : [message]))
    if (broken.length > 0) throw new OptionError(`HeadRows: ${broken.join('; ')}.`)
    this.width = width
    this.capacity = capacity
    this.#softcap = softcap
    this.#context = getKernelContext(kernels)
    this.#stride = padLength(width)
    this.#hasAverage = averageRow !== undefined
    this.#usedAt = new Float64Array(capacity)
    this.#free = Array.from({ length: capacity }, (_, slot) => capacity - 1 - slot)
    const { heap } = this.#context
    const most = padLength(capacity + 1)
    const stride = this.#stride
    const size = (capacity + 2) * stride + 2 * most
    this.#rows = heap.allocate(size)
    const base = this.#rows
    this.#release = () => heap.release(base, size)
    this.#y = base + (capacity + 1) * stride
    this.#places = this.#y + stride
    this.#weights = this.#places + most
    if (averageRow) heap.array().set(averageRow, base + capacity * stride)
    releaseRegistry.register(this, this.#release, this)
  }

  /** Bytes in the heap that adapters share. */
  get sizeBytes(): number {
    return 4 * ((this.capacity + 2) * this.#stride + 2 * padLength(this.capacity + 1))
  }

  /**
   * Of these tokens the ones whose rows are not here; those that are stay until after the next
   * `add`. Throws OptionError.
   */
  missing(ids: ArrayLike<number>): number[] {
    this.#alive()
    this.#now++
    const absent: number[] = []
    for (let i = 0; i < ids.length; i++) {
      const slot = this.#slots.get(ids[i]!)
      if (slot === undefined) absent.push(ids[i]!)
      else this.#usedAt[slot] = this.#now
    }
    return absent.length > 1 ? [...new Set(absent)] : absent
  }

  /**
   * Keeps the rows [N, width] of N tokens; where there is no room the ones not asked for the
   * longest go. Throws OptionError, ShapeError, NumericError.
   */
  add(ids: readonly number[], rows: Float32Array): void {
    this.#alive()
    if (!(rows instanceof Float32Array) || rows.length !== ids.length * this.width)
      throw new ShapeError(
        `HeadRows: rows: got ${(rows as Float32Array | null)?.length} values, expected ${ids.length} × ${this.width} in a Float32Array.`,
      )
    if (!isAllFinite(rows))
      throw new NumericError('HeadRows: rows: hold NaN or infinite values; nothing was changed.')
    const fresh = new Set(ids.filter((id) => !this.#slots.has(id)))
    const free = this.#freed(fresh.size)
    const array = this.#context.heap.array()
    for (const [i, id] of ids.entries()) {
      const slot = this.#slots.get(id) ?? free.pop()!
      this.#slots.set(id, slot)
      this.#usedAt[slot] = this.#now
      array.set(
        rows.subarray(i * this.width, (i + 1) * this.width),
        this.#rows + slot * this.#stride,
      )
    }
  }

  /**
   * The free slots, so many or more: an eighth of all at a time, so that the oldest are not sought
   * at every call.
   */
  #freed(count: number): number[] {
    const free = this.#free
    if (free.length >= count) return free
    const old = [...this.#slots]
      .filter(([, slot]) => this.#usedAt[slot]! < this.#now)
      .toSorted(([, a], [, b]) => this.#usedAt[a]! - this.#usedAt[b]!)
    const wanted = count - free.length
    if (old.length < wanted)
      throw new OptionError(
        `HeadRows: no room for ${count} rows beside those just asked for: capacity ${this.capacity}.`,
      )
    for (const [id, slot] of old.slice(0, Math.max(wanted, this.capacity >> 3))) {
      this.#slots.delete(id)
      free.push(slot)
    }
    return free
  }

  /**
   * The loss of a prediction and its gradient [width], into `output` or a new array. Throws
   * OptionError, ShapeError, NumericError; then nothing changed.
   */
  gradient(prediction: HeadPrediction, output?: Float32Array): HeadGradient {
    this.#alive()
    if (output && !(output instanceof Float32Array && output.length === this.width))
      throw new ShapeError(
        `HeadRows: output: got ${output.length} values, expected ${this.width} in a Float32Array.`,
      )
    const { ids, weight = 1 } = prediction
    const { loss, rest } = this.#errors(prediction)
    const { heap, kernels } = this.#context
    kernels.clear(this.#y, this.#stride)
    kernels.gather(this.#rows, this.#places, this.#weights, ids.length + 1, this.#y, this.#stride)
    const gradient = output ?? new Float32Array(this.width)
    gradient.set(heap.array().subarray(this.#y, this.#y + this.width))
    return { loss: weight * loss, rest, gradient }
  }

  /** Puts row numbers and weight·(p − y) into the heap, the average row last. */
  #errors({ ids, logits, total = computeLogSumExp(logits), came, weight = 1 }: HeadPrediction): {
    loss: number
    rest: number
  } {
    const array = this.#context.heap.array()
    const count = ids.length
    if (count !== logits.length)
      throw new ShapeError(
        `HeadRows: logits: got ${logits.length}, expected one for each of ${count} ids.`,
      )
    if (count > this.capacity)
      throw new OptionError(
        `HeadRows: got ${count} ids, expected up to the capacity of ${this.capacity}.`,
      )
    if (!Number.isFinite(total) || !Number.isFinite(weight))
      throw new NumericError(
        `HeadRows: total is ${total}, weight is ${weight}; expected finite numbers.`,
      )
    const call = ++this.#now
    let sum = 0
    let loss = NaN
    for (let k = 0; k < count; k++) {
      const id = ids[k]!
      const logit = logits[k]!
      const slot = this.#slots.get(id)
      if (slot === undefined)
        throw new OptionError(
          `HeadRows: the row of token ${id} is not here: \`missing\` names those to \`add\`.`,
        )
      if (this.#usedAt[slot] === call)
        throw new OptionError(`HeadRows: ids: token ${id} stands there twice.`)
      this.#usedAt[slot] = call
      const share = Math.exp(logit - total)
      sum += share
      if (id === came) loss = total - logit
      array[this.#places + k] = slot
      array[this.#weights + k] = weight * (share - (id === came ? 1 : 0)) * this.#damp(logit)
    }
    if (!(sum <= 1 + slack))
      throw new NumericError(
        `HeadRows: logits: their probabilities add up to ${sum} by the total ${total}; a logit is NaN, or the total is of others.`,
      )
    if (Number.isNaN(loss))
      throw new OptionError(
        `HeadRows: came: token ${came} is none of ids; put it there with its logit.`,
      )
    const rest = Math.max(0, 1 - sum)
    array[this.#places + count] = this.capacity
    array[this.#weights + count] = this.#hasAverage ? weight * rest : 0
    return { loss, rest }
  }

  /** The slope of a cap where a logit stands. */
  #damp(logit: number): number {
    return this.#softcap === 0 ? 1 : 1 - (logit / this.#softcap) ** 2
  }

  /** Gives the memory back at once instead of when nobody holds this any more. */
  dispose(): void {
    if (this.#disposed) return
    this.#disposed = true
    releaseRegistry.unregister(this)
    this.#release()
  }

  #alive(): void {
    if (this.#disposed) throw new OptionError('HeadRows: these were disposed of.')
  }
}

/** log Σ exp */
function computeLogSumExp(logits: ArrayLike<number>): number {
  let most = -Infinity
  let sum = 0
  for (let k = 0; k < logits.length; k++) most = Math.max(most, logits[k]!)
  for (let k = 0; k < logits.length; k++) sum += Math.exp(logits[k]! - most)
  return most + Math.log(sum)
}
