// The contract of a merge method: one row in method-table.ts. A method defines how numbers combine.
// Independent of files and ranks.

import type { MergeWeights, methodOptions } from './merge-options.ts'

/** How to merge. Which options a method takes is in its row; any other one is an error. */
export interface MergeRecipe {
  /** A row of `mergeMethods`, or an alias of one. Default 'weighted'. */
  readonly method?: string
  /**
   * One per adapter, by position or by name. Default: 1 each. May be negative where the method does
   * not say otherwise.
   */
  readonly weights?: MergeWeights
  /** Divide the weights by their sum. */
  readonly normalize?: boolean
  /** Share of entries kept, above 0 and up to 1. Default 0.5. */
  readonly density?: number
  /** SLERP: 0 is the first adapter, 1 the second. Default 0.5. */
  readonly t?: number
  /**
   * DELLA: keep probabilities run from density − epsilon to density + epsilon. Default 0.1, less
   * near the ends of (0, 1).
   */
  readonly epsilon?: number
  /** Breadcrumbs: share of the largest entries dropped. Default 0.01. */
  readonly gamma?: number
  /** How peft-ties elects a sign: by the sum of the entries or by their number. Default 'total'. */
  readonly majority?: 'total' | 'frequency'
  /**
   * Rank of the result at most. Default: exact methods keep everything, others the largest rank
   * among the adapters.
   */
  readonly rank?: number
  /** The smallest rank that keeps this share of Σ σ², in each module separately. */
  readonly energy?: number
  /** For methods that draw at random. Default 0. */
  readonly seed?: number
}

export type MergeOption = keyof typeof methodOptions

/** A recipe that was checked, with its defaults. */
export interface CompleteRecipe {
  readonly weights: readonly number[]
  readonly density: number
  readonly t: number
  readonly epsilon: number
  readonly gamma: number
  readonly majority: 'total' | 'frequency'
  readonly rank: number | undefined
  readonly energy: number | undefined
  readonly seed: number
}

interface MethodBase {
  readonly name: string
  /** Other names that `method` may have. */
  readonly aliases?: readonly string[]
  /** One line; w are weights, K adapters, s a sign, [..] 1 if the condition is true, else 0. */
  readonly formula: string
  /** One sentence. */
  readonly summary: string
  readonly options: readonly MergeOption[]
  /** Properties that tests check. */
  readonly promises: {
    /** The order of the adapters (with their weights) does not matter. */
    readonly anyOrder: boolean
    /** One adapter of weight 1 comes out as it went in. */
    readonly oneIsItself: boolean
  }
  /** Where the method is for a fixed number of adapters. */
  readonly adapters?: number
  /** Where a negative weight has no meaning. */
  readonly positiveWeights?: boolean
}

export interface SumInput {
  readonly weights: readonly number[]
  readonly recipe: CompleteRecipe
  /** ⟨ΔW_i, ΔW_j⟩ in this module: the sum of the products of their entries. */
  inner(i: number, j: number): number
}

/** A sum c_1·ΔW_1 + … + c_K·ΔW_K: done on the factors, exactly, without forming any ΔW. */
export interface SumMethod extends MethodBase {
  readonly space: 'sum'
  /** The coefficients are the same in every module: they come from the weights alone. */
  readonly uniform: boolean
  coefficients(sum: SumInput): readonly number[]
}

/**
 * Rows of every adapter's ΔW (zeros where it has none), which may be changed, into the result's;
 * `rows[k]` and `out` may be one array.
 */
export type CombineRows = (
  rows: readonly Float32Array[],
  out: Float32Array,
  columns: number,
) => void

export interface EntriesInput {
  readonly count: number
  /** Number of entries of one ΔW. */
  readonly size: number
  readonly columns: number
  readonly recipe: CompleteRecipe
  /** A generator's seed for adapter k, another one in every module. */
  seedOf(k: number): number
  /** Every ΔW whole, in any order; only to be read, and only during the call. */
  scan(visit: (k: number, values: Float32Array) => void): void
  /** All ΔW side by side, some rows at a time, from the first row to the last. */
  blocks(visit: (rows: readonly Float32Array[], start: number) => void): void
}

/**
 * A rule for single entries of the ΔWs: they are formed module by module. The result can have full
 * rank and is truncated to a low one afterwards.
 */
export interface EntryMethod extends MethodBase {
  readonly space: 'entries'
  /**
   * How many whole matrices may be kept between `scan` and `blocks`, so that they are not formed
   * twice.
   */
  readonly held: 1 | 2
  /**
   * Looks at whole matrices where it must, and returns what to do with rows, which then come in
   * order, once.
   */
  prepare(entries: EntriesInput): CombineRows
}

/**
 * A rule for A and B apart, as PEFT's fast methods do it: it makes cross terms B_i·A_j that none of
 * the adapters has.
 */
export interface FactorMethod extends MethodBase {
  readonly space: 'factors'
  combine(
    tensors: readonly Float32Array[],
    weights: readonly number[],
    recipe: CompleteRecipe,
    seed: number,
  ): Float32Array
}

export type MergeMethod = SumMethod | EntryMethod | FactorMethod
