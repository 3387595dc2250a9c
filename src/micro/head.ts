// Learning at a language model's head: the loss of the target token and its gradient at the hidden
// state, from the top-k tokens' logits and rows. Caches rows by token. Independent of: adapters,
// where rows are read.

import { NumericError, OptionError, ShapeError } from '../base/errors.ts'
import { isAllFinite } from '../base/finite.ts'
import {
  createField,
  findOptionProblems,
  integer,
  isRecord,
  joinProblems,
  number,
  oneOf,
  type OptionFields,
} from '../base/schema.ts'
import {
  getKernelContext,
  type KernelContext,
  type KernelName,
  kernelNames,
} from './kernels/context.ts'
import { releaseRegistry } from './kernels/heap.ts'
import { padLength } from './module/layout.ts'
import { RowSlots } from './row-slots.ts'

export interface HeadRowsOptions {
  /** Of the hidden state and of a row. */
  readonly width: number
  /** Rows that are cached; 4 · width bytes each, allocated at once. Default 2048. */
  readonly capacity?: number
  /**
   * The vocabulary's average row [width], which represents all tokens that are not among the ids.
   * Without it they are left out.
   */
  readonly averageRow?: Float32Array
  /** Of models that cap logits as cap · tanh(l / cap). Default 0: no cap. */
  readonly softcap?: number
  readonly kernels?: KernelName
}

/** A model's prediction at one position, and the target token. */
export interface HeadPrediction {
  /** Tokens, each once: the top 64, say, and the target token. */
  readonly ids: ArrayLike<number>
  /** Their logits, in the same order. */
  readonly logits: ArrayLike<number>
  /** log Σ exp over the logits of the whole vocabulary; over those given where it is missing. */
  readonly total?: number
  /** The target token; one of `ids`. */
  readonly came: number
  /** Multiplies loss and gradient; below 0 makes the target less likely. Default 1. */
  readonly weight?: number
}

export interface HeadGradient {
  /** −weight · log p(came) */
  readonly loss: number
  /** The probability of tokens that are not among the ids. */
  readonly rest: number
  /** ∂loss/∂h [width] */
  readonly gradient: Float32Array
}

const mostTokens = 2 ** 24 // row numbers are floats in the heap
const slack = 1e-3 // probabilities from 32-bit logits may add up to a little over 1

const fields: OptionFields<HeadRowsOptions> = {
  width: integer({ from: 1, to: 2 ** 20 }),
  capacity: integer({ from: 1, below: mostTokens }),
  averageRow: createField<Float32Array>(
    'a Float32Array of finite values',
    {},
    (value) => value instanceof Float32Array && isAllFinite(value),
  ),
  softcap: number({ from: 0 }),
  kernels: oneOf(kernelNames),
}

/** Throws one OptionError that names everything that is wrong. */
function checkHeadRowsOptions(options: HeadRowsOptions): void {
  if (!isRecord(options))
    throw new OptionError(`HeadRows options: got ${String(options)}, expected an object.`)
  const { averageRow, width } = options
  const problems = findOptionProblems(options, fields)
  if (width === undefined) problems.push(`width: got undefined, expected ${fields.width.expected}`)
  if (averageRow && averageRow.length !== width)
    problems.push(`averageRow: got ${averageRow.length} values, expected ${width}`)
  if (problems.length > 0) throw new OptionError(`HeadRows options: ${joinProblems(problems)}`)
}

/**
 * Rows of a head W [V, width] by token, and with them the gradient of a prediction's cross-entropy
 * at the hidden state h, logits = W·h:
 *
 *     L = −log p(came)     ∂L/∂h = Σ over ids (p − y)·w_token + rest·w_average
 *
 * y: 1 for the target token, else 0.
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
  readonly #slots: RowSlots
  #disposed = false

  /** Throws one OptionError that names everything that is wrong. */
  constructor(options: HeadRowsOptions) {
    checkHeadRowsOptions(options)
    const { width, capacity = 2048, averageRow, softcap = 0, kernels } = options
    this.width = width
    this.capacity = capacity
    this.#softcap = softcap
    this.#context = getKernelContext(kernels)
    this.#stride = padLength(width)
    this.#hasAverage = averageRow !== undefined
    this.#slots = new RowSlots(capacity)
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
   * Those of these tokens whose rows are missing; rows that are cached stay until after the next
   * `add`. Throws OptionError.
   */
  missing(ids: ArrayLike<number>): number[] {
    this.#alive()
    const call = this.#slots.startCall()
    const absent: number[] = []
    for (let i = 0; i < ids.length; i++) {
      const slot = this.#slots.find(ids[i]!)
      if (slot === undefined) absent.push(ids[i]!)
      else this.#slots.use(slot, call)
    }
    return absent.length > 1 ? [...new Set(absent)] : absent
  }

  /**
   * Caches the rows [N, width] of N tokens; if there is no room, the least recently used are
   * evicted. Throws OptionError, ShapeError, NumericError.
   */
  add(ids: readonly number[], rows: Float32Array): void {
    this.#alive()
    if (!(rows instanceof Float32Array) || rows.length !== ids.length * this.width)
      throw new ShapeError(
        `HeadRows: rows: got ${(rows as Float32Array | null)?.length} values, expected ${ids.length} × ${this.width} in a Float32Array.`,
      )
    if (!isAllFinite(rows))
      throw new NumericError('HeadRows: rows: hold NaN or infinite values; nothing was changed.')
    const slots = this.#slots.assign(ids)
    if (slots === undefined)
      throw new OptionError(
        `HeadRows: no room for ${new Set(ids).size} rows besides those just asked for: capacity ${this.capacity}.`,
      )
    const array = this.#context.heap.array()
    for (const [i, slot] of slots.entries())
      array.set(
        rows.subarray(i * this.width, (i + 1) * this.width),
        this.#rows + slot * this.#stride,
      )
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
    const call = this.#slots.startCall()
    let sum = 0
    let loss = NaN
    for (let k = 0; k < count; k++) {
      const id = ids[k]!
      const logit = logits[k]!
      const slot = this.#slots.find(id)
      if (slot === undefined)
        throw new OptionError(
          `HeadRows: the row of token ${id} is missing: \`missing\` names those to \`add\`.`,
        )
      if (!this.#slots.use(slot, call))
        throw new OptionError(`HeadRows: ids: token ${id} is there twice.`)
      const share = Math.exp(logit - total)
      sum += share
      if (id === came) loss = total - logit
      array[this.#places + k] = slot
      array[this.#weights + k] = weight * (share - (id === came ? 1 : 0)) * this.#damp(logit)
    }
    if (!(sum <= 1 + slack))
      throw new NumericError(
        `HeadRows: logits: their probabilities add up to ${sum} with the total ${total}; a logit is NaN, or the total is of other logits.`,
      )
    if (Number.isNaN(loss))
      throw new OptionError(
        `HeadRows: came: token ${came} is not among ids; add it there with its logit.`,
      )
    const rest = Math.max(0, 1 - sum)
    array[this.#places + count] = this.capacity
    array[this.#weights + count] = this.#hasAverage ? weight * rest : 0
    return { loss, rest }
  }

  /** The slope of the softcap at a logit. */
  #damp(logit: number): number {
    return this.#softcap === 0 ? 1 : 1 - (logit / this.#softcap) ** 2
  }

  /** Frees the memory at once instead of when this is collected. */
  dispose(): void {
    if (this.#disposed) return
    this.#disposed = true
    releaseRegistry.unregister(this)
    this.#release()
  }

  #alive(): void {
    if (this.#disposed) throw new OptionError('HeadRows: this was disposed of.')
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
