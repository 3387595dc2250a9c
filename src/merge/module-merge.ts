// Merging one module in each of the three spaces: as a sum of factors, by entries of ΔW, or A and B
// apart. The result is a pair of factors.

import { MismatchError } from '../base/errors.ts'
import {
  truncateDense,
  truncateProduct,
  type LowRank,
  type RankChoice,
} from '../base/linalg/low-rank.ts'
import { multiply } from '../base/linalg/matmul.ts'
import { createMatrix, transpose, createZeros, type Matrix } from '../base/linalg/matrix.ts'
import { getFastKernels } from '../base/linalg/simd.ts'
import type { ModuleInfo } from '../graph/model-graph.ts'
import type { Delta } from './delta.ts'
import { mergeEntries, type MergeWorkspace } from './elementwise.ts'
import type { EntryMethod, FactorMethod, CompleteRecipe, SumMethod } from './method.ts'

/** Inputs of one module's merge. */
export interface ModuleMergeInput {
  readonly module: ModuleInfo
  /** undefined: the adapter does not touch the module, ΔW = 0. */
  readonly deltas: readonly (Delta | undefined)[]
  readonly recipe: CompleteRecipe
  readonly work: MergeWorkspace
}

export interface MergedFactors extends LowRank {
  readonly shift?: Float32Array | undefined
}

type Factors = NonNullable<Delta['factors']>

export function mergeSum(
  method: SumMethod,
  { module, deltas, recipe, work }: ModuleMergeInput,
): MergedFactors {
  const inner = (i: number, j: number): number =>
    computeInnerProduct(deltas[i], deltas[j], module, work)
  const coefficients = method.coefficients({ weights: recipe.weights, recipe, inner })
  const shift = sumShifts(deltas, coefficients)
  const factors = deltas.flatMap((delta, k) =>
    delta?.factors ? [{ ...delta.factors, scale: coefficients[k]! }] : [],
  )
  if (factors.length === deltas.filter(Boolean).length) {
    const stacked = stackFactors(factors, module)
    if (recipe.energy === undefined && stacked.b.columns <= (recipe.rank ?? Infinity))
      return { ...stacked, residual: 0, shift }
    return { ...truncateProduct(stacked.b, stacked.a, recipe), shift }
  }
  const whole = sumDense(deltas, coefficients, module, work)
  return {
    ...truncateDense(whole, {
      ...resolveRank(recipe, undefined),
      seed: recipe.seed,
      kernel: getFastKernels().f32,
    }),
    shift,
  }
}

export function mergeByEntries(
  method: EntryMethod,
  { module, deltas, recipe, work }: ModuleMergeInput,
): MergedFactors {
  const { inFeatures: columns, outFeatures: rows, path } = module
  const shifts = deltas.map((delta) => delta?.shift)
  const sources = deltas.map((delta) => delta?.formRows)
  const merged = createMatrix(
    rows,
    columns,
    mergeEntries(method, { name: path, sources, rows, columns }, recipe, work),
  )
  const ranks = deltas.flatMap((delta) => (delta?.factors ? [delta.factors.b.columns] : []))
  const choice = resolveRank(recipe, ranks.length > 0 ? Math.max(...ranks) : undefined)
  const low = truncateDense(merged, {
    ...choice,
    start: estimateRowSpace(deltas, recipe, choice, module),
    seed: recipe.seed,
    kernel: getFastKernels().f32,
  })
  if (!shifts.some(Boolean)) return low
  const byShift = shifts.map((shift) => shift && ((target: Float32Array) => target.set(shift)))
  const shift = mergeEntries(
    method,
    { name: `${path} shift`, sources: byShift, rows: 1, columns: rows },
    recipe,
    work,
  ).slice()
  return { ...low, shift }
}

/** Without a choice: the given rank. */
const resolveRank = (
  { rank, energy }: CompleteRecipe,
  otherwise: number | undefined,
): RankChoice => ({
  rank: rank ?? (energy === undefined ? otherwise : undefined),
  energy,
})

/**
 * Trimmed and elected sums keep much of the plain sum's row space, which its factors give away
 * cheaply.
 */
function estimateRowSpace(
  deltas: readonly (Delta | undefined)[],
  { weights }: CompleteRecipe,
  { rank = 32 }: RankChoice,
  module: ModuleInfo,
): Matrix | undefined {
  const factors = deltas.flatMap((delta, k) =>
    delta?.factors ? [{ ...delta.factors, scale: weights[k]! }] : [],
  )
  if (factors.length === 0) return undefined
  const { b, a } = stackFactors(factors, module)
  return transpose(truncateProduct(b, a, { rank }).a)
}

/** b = [s_1·b_1 … s_K·b_K], a = [a_1; …; a_K]. */
function stackFactors(
  factors: readonly (Factors & { readonly scale: number })[],
  { inFeatures, outFeatures }: ModuleInfo,
): Factors {
  const rank = factors.reduce((sum, { b }) => sum + b.columns, 0)
  const b = new Float32Array(outFeatures * rank)
  const a = new Float32Array(rank * inFeatures)
  let start = 0
  for (const part of factors) {
    const own = part.b.columns
    for (let row = 0, from = 0; row < outFeatures; row++)
      for (let to = row * rank + start, end = to + own; to < end; to++, from++)
        b[to] = part.scale * part.b.data[from]!
    copyRows(part.a, a.subarray(start * inFeatures, (start + own) * inFeatures))
    start += own
  }
  return { b: createMatrix(outFeatures, rank, b), a: createMatrix(rank, inFeatures, a) }
}

function copyRows(
  { data, rows, columns, rowStride, columnStride }: Matrix,
  target: Float32Array,
): void {
  if (columnStride === 1 && rowStride === columns)
    return target.set(data.subarray(0, rows * columns))
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      target[row * columns + column] = data[row * rowStride + column * columnStride]!
}

function sumShifts(
  deltas: readonly (Delta | undefined)[],
  coefficients: readonly number[],
): Float32Array | undefined {
  let sum: Float32Array | undefined
  deltas.forEach((delta, k) => {
    if (!delta?.shift) return
    sum ??= new Float32Array(delta.shift.length)
    for (let i = 0; i < sum.length; i++) sum[i]! += coefficients[k]! * delta.shift[i]!
  })
  return sum
}

/** Σ c_k·ΔW_k formed as a whole, for sums in which some ΔW has no factors. */
function sumDense(
  deltas: readonly (Delta | undefined)[],
  coefficients: readonly number[],
  module: ModuleInfo,
  work: MergeWorkspace,
): Matrix {
  const { inFeatures, outFeatures } = module
  const sum = work.getArray(0, inFeatures * outFeatures).fill(0)
  deltas.forEach((delta, k) => {
    if (!delta) return
    const values = work.getArray(1, sum.length)
    delta.formRows(values, 0, outFeatures)
    for (let i = 0; i < sum.length; i++) sum[i]! += coefficients[k]! * values[i]!
  })
  return createMatrix(outFeatures, inFeatures, sum)
}

/** ⟨b₁·a₁, b₂·a₂⟩ = Σ (b₁ᵀ·b₂) ⊙ (a₁·a₂ᵀ); formed whole if there are no factors. */
function computeInnerProduct(
  one: Delta | undefined,
  two: Delta | undefined,
  { inFeatures, outFeatures }: ModuleInfo,
  work: MergeWorkspace,
): number {
  if (!one || !two) return 0
  let sum = 0
  if (one.factors && two.factors) {
    const left = one.factors
    const right = two.factors
    const bs = createZeros(left.b.columns, right.b.columns)
    const as = createZeros(left.b.columns, right.b.columns)
    multiply(bs, transpose(left.b), right.b)
    multiply(as, left.a, transpose(right.a))
    for (let i = 0; i < bs.data.length; i++) sum += bs.data[i]! * as.data[i]!
    return sum
  }
  const x = work.getArray(0, inFeatures * outFeatures)
  const y = work.getArray(1, inFeatures * outFeatures)
  one.formRows(x, 0, outFeatures)
  two.formRows(y, 0, outFeatures)
  for (let i = 0; i < x.length; i++) sum += x[i]! * y[i]!
  return sum
}

/** An adapter's A and B, and their scale. */
export interface ScaledFactors {
  readonly a: Float32Array
  readonly b: Float32Array
  readonly rank: number
  readonly scale: number
}

/**
 * A and B apart, with weight √|w·s| on each and the sign on A. Adapters that do not touch the
 * module are left out, as in PEFT.
 */
export function mergeFactors(
  method: FactorMethod,
  { inFeatures, outFeatures, path }: ModuleInfo,
  own: readonly (ScaledFactors | undefined)[],
  recipe: CompleteRecipe,
  seed: number,
): MergedFactors {
  const parts = own.flatMap((factors, k) =>
    factors ? [{ ...factors, weight: recipe.weights[k]! * factors.scale }] : [],
  )
  const rank = parts[0]!.rank
  const odd = parts.filter((part) => part.rank !== rank)
  if (odd.length > 0) {
    const mismatches = odd.map((part) => ({
      name: path,
      got: `rank ${part.rank}`,
      expected: `rank ${rank}`,
    }))
    throw new MismatchError(
      `${method.name} needs equal ranks`,
      mismatches,
      'Merge by a method in the space of ΔW instead.',
    )
  }
  const roots = parts.map(({ weight }) => Math.sqrt(Math.abs(weight)))
  const signed = parts.map(({ weight }, k) => (weight >= 0 ? roots[k]! : -roots[k]!))
  const a = method.combine(
    parts.map((part) => part.a),
    signed,
    recipe,
    seed,
  )
  const b = method.combine(
    parts.map((part) => part.b),
    roots,
    recipe,
    seed + 1,
  )
  return {
    a: createMatrix(rank, inFeatures, a),
    b: createMatrix(outFeatures, rank, b),
    residual: 0,
  }
}
